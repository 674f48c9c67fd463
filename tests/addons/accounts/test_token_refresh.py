"""Renewing tokens against a strict auth server, from many tasks and from several processes."""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from addons.accounts import locked_file as disk
from addons.accounts import oauth
from addons.accounts import token_refresh as fresh
from addons.accounts.codex_auth_file import CodexFile, timestamp
from addons.accounts.oauth import Dead, Unreachable
from addons.accounts.token_refresh import EARLY, REST, SPREAD, Fresh, early
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Book, Entry, Slot, Vault
from tests.fake_auth import FakeAuth, Trouble, person, running, web_token, within

ROOT = Path(__file__).parents[3]
ENDED = -5.0  # s of life


@pytest.fixture
def auth() -> Iterator[FakeAuth]:
    with running() as server:
        yield server


def in_vault(folder: Path, tokens: Tokens) -> Slot:
    vault = Vault(folder / "logins")
    vault.change(lambda book: book.having(tokens.name, Entry(tokens)))
    return Slot(vault, tokens.name)


def in_codex(folder: Path, tokens: Tokens) -> CodexFile:
    path = folder / "auth.json"
    kept = {"access_token": tokens.access, "refresh_token": tokens.refresh, "id_token": tokens.id}
    path.write_text(json.dumps({"tokens": kept, "last_refresh": timestamp(tokens.at)}))
    path.chmod(0o600)
    return CodexFile(path)


type Place = Callable[[Path, Tokens], Slot | CodexFile]
PLACES = pytest.mark.parametrize("place", [in_vault, in_codex])


def counting(auth: FakeAuth) -> int:
    return len(auth.asked)


@PLACES
def test_fifty_at_once_renew_once(auth: FakeAuth, tmp_path: Path, place: Place) -> None:
    home = place(tmp_path, auth.give(lifetime=ENDED))
    auth.delay = 0.1
    ours = Fresh(home)

    async def ask() -> list[Tokens]:
        return await asyncio.gather(*(ours.tokens() for _ in range(50)))

    found = within(auth, ask())
    assert auth.refreshes == counting(auth) == 1
    assert {tokens.access for tokens in found} == {home.read().access}
    assert found[0].access in auth.access and found[0].expires > time.time() + 3000
    assert home.read().refresh in auth.fresh


@PLACES
def test_two_processes_renew_once(auth: FakeAuth, tmp_path: Path, place: Place) -> None:
    tokens = auth.give(lifetime=ENDED)
    home = place(tmp_path, tokens)
    auth.delay = 0.3
    file, name = (
        (home.path, []) if isinstance(home, CodexFile) else (tmp_path / "logins", [tokens.name])
    )
    command = [sys.executable, "-m", "tests.addons.renewer", auth.url, str(file), *name]
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    for one in both:
        assert one.stdout and one.stdout.readline() == "ready\n"
    for one in both:
        assert one.stdin
        one.stdin.write("\n")
        one.stdin.flush()
    told = [one.communicate(timeout=25) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    assert auth.refreshes == counting(auth) == 1
    got = [access for output, _ in told for access in json.loads(output)]
    assert len(got) == 50 and set(got) == {home.read().access}


def test_what_lasts_is_not_renewed(auth: FakeAuth, tmp_path: Path) -> None:
    tokens = auth.give()
    assert within(auth, Fresh(in_vault(tmp_path, tokens)).tokens()) == tokens
    assert counting(auth) == 0


def test_tokens_that_tell_no_end_are_used(auth: FakeAuth, tmp_path: Path) -> None:
    tokens = replace(auth.give(), access="opaque")
    assert within(auth, Fresh(in_vault(tmp_path, tokens)).tokens()) == tokens
    assert counting(auth) == 0


def test_each_account_has_its_own_time() -> None:
    times = set()
    for name in ("ada", "bob", "eve"):
        claims = {"exp": 2e9, "https://api.openai.com/auth": {"chatgpt_user_id": name}}
        tokens = Tokens(web_token(claims), "", "", 1e9)
        times.add(early(tokens))
        assert EARLY <= early(tokens) <= EARLY + SPREAD
        assert early(replace(tokens, at=2e9 - 60)) == 12  # a short life
        assert early(replace(tokens, at=0)) == early(tokens)
    assert len(times) == 3


def test_requests_do_not_wait_while_the_old_ones_serve(auth: FakeAuth, tmp_path: Path) -> None:
    old = replace(auth.give(lifetime=200), at=0)
    home = in_vault(tmp_path, old)
    auth.delay = 0.3
    ours = Fresh(home)

    async def ask() -> tuple[Tokens, float, Tokens]:
        begin = time.monotonic()
        first = await ours.tokens()
        took = time.monotonic() - begin
        await ours.finish()
        return first, took, await ours.tokens()

    first, took, then = within(auth, ask())
    assert first == old and took < 0.25
    assert then.access != old.access and then == home.read()
    assert counting(auth) == 1


def test_the_service_may_keep_the_refresh_token(auth: FakeAuth, tmp_path: Path) -> None:
    old = auth.give(lifetime=ENDED)
    auth.rotate = False
    new = within(auth, Fresh(in_vault(tmp_path, old)).tokens())
    assert new.refresh == old.refresh and new.access != old.access


@PLACES
def test_a_reused_token_adopts_the_newer_one(auth: FakeAuth, tmp_path: Path, place: Place) -> None:
    """Codex renews without our lock, and writes it down a moment later."""
    old, newer = auth.give(lifetime=ENDED), auth.give()
    auth.end(old.refresh, "refresh_token_reused")
    home = place(tmp_path, old)

    async def ask() -> Tokens:
        asking = asyncio.create_task(Fresh(home).tokens())
        await asyncio.sleep(0.25)
        place(tmp_path, newer)
        return await asking

    found = within(auth, ask())
    assert found.access == newer.access and home.read().refresh == newer.refresh
    assert len(auth.asked) == 1
    auth.refusals.clear()


@PLACES
@pytest.mark.parametrize("code", ["refresh_token_reused", "refresh_token_expired"])
def test_a_dead_login_is_asked_for_once(
    auth: FakeAuth, tmp_path: Path, place: Place, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "SETTLE", (0.0, 0.05))
    old = auth.give(lifetime=ENDED)
    auth.end(old.refresh, code)
    home = place(tmp_path, old)
    ours = Fresh(home)

    async def ask() -> None:
        for _ in range(3):
            with pytest.raises(Dead, match=code):
                await ours.tokens()

    within(auth, ask())
    assert len(auth.asked) == 1
    auth.refusals.clear()


def test_no_refresh_token_is_the_end(auth: FakeAuth, tmp_path: Path) -> None:
    home = in_vault(tmp_path, replace(auth.give(lifetime=ENDED), refresh=""))
    with pytest.raises(Dead, match="no_refresh_token"):
        within(auth, Fresh(home).tokens())
    assert counting(auth) == 0


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def test_a_service_that_is_away_is_left_alone_for_a_while(auth: FakeAuth, tmp_path: Path) -> None:
    clock, old = Clock(), auth.give(lifetime=ENDED)
    ours = Fresh(in_vault(tmp_path, old), now=clock)
    auth.troubles += [Trouble(503), Trouble()]

    async def ask() -> Tokens:
        for _ in range(5):
            with pytest.raises(Unreachable, match="HTTP 503"):
                await ours.tokens()
        clock.ahead = REST + 1
        with pytest.raises(Unreachable):
            await ours.tokens()
        clock.ahead = 2 * REST + 2
        return await ours.tokens()

    assert within(auth, ask()).access != old.access
    assert len(auth.asked) == 3


def test_a_clock_that_is_put_back(auth: FakeAuth, tmp_path: Path) -> None:
    clock, old = Clock(), auth.give(lifetime=ENDED)
    ours = Fresh(in_vault(tmp_path, old), now=clock)
    auth.troubles += [Trouble(503)]

    async def ask() -> tuple[Tokens, Tokens | None]:
        clock.ahead = 86_400
        with pytest.raises(Unreachable, match="HTTP 503"):
            await ours.tokens()
        clock.ahead = 0
        new = await ours.tokens()
        clock.ahead = -86_400  # when they were given out is yet to come
        return new, await ours.better(new)

    new, better = within(auth, ask())
    assert new.access != old.access
    assert better and better.access != new.access


def test_all_who_wait_hear_of_one_failure(auth: FakeAuth, tmp_path: Path) -> None:
    ours = Fresh(in_vault(tmp_path, auth.give(lifetime=ENDED)))
    auth.delay = 0.1
    auth.troubles.append(Trouble(500))

    async def ask() -> list[Tokens | BaseException]:
        return await asyncio.gather(*(ours.tokens() for _ in range(20)), return_exceptions=True)

    assert {type(one) for one in within(auth, ask())} == {Unreachable}
    assert counting(auth) == 1


def test_an_id_token_that_is_not_given_again_stays(auth: FakeAuth, tmp_path: Path) -> None:
    old = auth.give(lifetime=ENDED)

    async def refresh(token: str) -> Tokens:
        return replace(await oauth.refresh(token), id="", refresh="")

    new = within(auth, Fresh(in_vault(tmp_path, old), refresh).tokens())
    assert (new.id, new.refresh) == (old.id, old.refresh) and new.access != old.access


def test_the_old_ones_serve_while_the_service_is_away(auth: FakeAuth, tmp_path: Path) -> None:
    old = replace(auth.give(lifetime=20), at=0)
    ours = Fresh(in_vault(tmp_path, old))
    auth.troubles.append(Trouble(500))

    async def ask() -> list[Tokens]:
        return [await ours.tokens() for _ in range(3)]

    assert within(auth, ask()) == [old] * 3
    assert len(auth.asked) == 1


def test_a_refused_token_is_replaced_once(auth: FakeAuth, tmp_path: Path) -> None:
    old = replace(auth.give(), at=0)
    home = in_vault(tmp_path, old)
    ours = Fresh(home)

    async def ask() -> list[Tokens | None]:
        found = await asyncio.gather(*(ours.better(old) for _ in range(10)))
        return [*found, await ours.better(home.read())]

    *all_of_them, too_young = within(auth, ask())
    assert all_of_them == [home.read()] * 10 and too_young is None
    assert counting(auth) == 1


def test_a_login_that_cannot_be_written_down_is_not_lost(
    auth: FakeAuth,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = in_vault(tmp_path, auth.give(lifetime=ENDED))
    ours = Fresh(home)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async def ask() -> tuple[Tokens, Tokens, Tokens]:
        with monkeypatch.context() as patch:
            patch.setattr(disk, "write", full)
            first, second = await ours.tokens(), await ours.tokens()
        assert home.read().access != first.access
        return first, second, await ours.tokens()

    first, second, third = within(auth, ask())
    assert first == second == third == home.read()
    assert counting(auth) == 1 and "No space left" in caplog.text


def test_a_lock_that_nobody_gives_back(
    auth: FakeAuth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "TURN", 0.1)
    home = in_vault(tmp_path, auth.give(lifetime=ENDED))
    with FileLock(home.lock), pytest.raises(Unreachable, match="another process"):
        within(auth, Fresh(home).tokens())
    assert counting(auth) == 0


def test_a_folder_in_which_nothing_can_be_locked(auth: FakeAuth, tmp_path: Path) -> None:
    """Then nothing is asked for either: the new login could not be written down."""
    home = in_codex(tmp_path, auth.give(lifetime=ENDED))
    home.lock.mkdir()
    ours = Fresh(home)

    async def ask() -> None:
        for _ in range(2):
            with pytest.raises(Unreachable, match="auth.json.lock"):
                await ours.tokens()

    within(auth, ask())
    assert counting(auth) == 0


def test_whoever_logs_out_meanwhile_stays_so(auth: FakeAuth, tmp_path: Path) -> None:
    old = auth.give(lifetime=ENDED)
    home = in_vault(tmp_path, old)
    vault = Vault(tmp_path / "logins")
    auth.delay = 0.3

    async def ask() -> None:
        asking = asyncio.create_task(Fresh(home).tokens())
        await asyncio.sleep(0.15)
        vault.change(lambda book: book.without(old.name))
        with pytest.raises(Dead, match="logged_out"):
            await asking

    within(auth, ask())
    assert vault.read() == Book()


def test_one_that_goes_away_does_not_take_it_from_the_others(
    auth: FakeAuth, tmp_path: Path
) -> None:
    home = in_vault(tmp_path, auth.give(lifetime=ENDED))
    ours = Fresh(home)
    auth.delay = 0.2

    async def ask() -> Tokens:
        first, second = (asyncio.create_task(ours.tokens()) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        return await second

    assert within(auth, ask()) == home.read()
    assert counting(auth) == 1


def test_nothing_of_it_is_logged(
    auth: FakeAuth, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    old = auth.give(person("eve"), ENDED)
    new = within(auth, Fresh(in_vault(tmp_path, old)).tokens())
    for secret in (old.access, old.refresh, new.access, new.refresh):
        assert secret not in caplog.text
