"""Renewal of tokens at a strict login service, by many tasks and by several processes."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from addons.accounts import token_refresh
from addons.accounts.codex_auth_file import CodexAuthFile
from addons.accounts.oauth import LoginEnded, LoginServiceUnreachable, refresh_tokens
from addons.accounts.token_refresh import (
    REFRESH_MARGIN,
    REFRESH_SPREAD,
    RETRY_PAUSE,
    TokenRefresher,
    refresh_margin,
)
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Vault, VaultContents, VaultLogin
from tests.addons.accounts.pool_harness import save_logins, write_codex_file
from tests.fake_auth import (
    FakeAuth,
    TokenTrouble,
    make_user,
    run_with_accounts,
    running_auth,
    web_token,
)

ROOT = Path(__file__).parents[3]
EXPIRED = -5.0  # s of life


@pytest.fixture
def auth() -> Iterator[FakeAuth]:
    with running_auth() as server:
        yield server


def save_in_vault(folder: Path, tokens: Tokens) -> VaultLogin:
    return VaultLogin(Vault(save_logins(folder / "logins", tokens)), tokens.account_name)


def save_in_codex_file(folder: Path, tokens: Tokens) -> CodexAuthFile:
    return CodexAuthFile(write_codex_file(folder, tokens))


type StoreMaker = Callable[[Path, Tokens], VaultLogin | CodexAuthFile]
BOTH_STORES = pytest.mark.parametrize("make_store", [save_in_vault, save_in_codex_file])


@BOTH_STORES
def test_fifty_tasks_renew_once(auth: FakeAuth, tmp_path: Path, make_store: StoreMaker) -> None:
    store = make_store(tmp_path, auth.issue_tokens(lifetime=EXPIRED))
    auth.delay = 0.1
    refresher = TokenRefresher(store)

    async def test() -> list[Tokens]:
        return await asyncio.gather(*(refresher.valid_tokens() for _ in range(50)))

    results = run_with_accounts(auth, test())
    assert auth.refreshes == len(auth.token_requests) == 1
    assert {tokens.access_token for tokens in results} == {store.read_tokens().access_token}
    assert results[0].access_token in auth.access_tokens
    assert results[0].expires_at > time.time() + 3000
    assert store.read_tokens().refresh_token in auth.refresh_tokens


@BOTH_STORES
def test_two_processes_renew_once(auth: FakeAuth, tmp_path: Path, make_store: StoreMaker) -> None:
    tokens = auth.issue_tokens(lifetime=EXPIRED)
    store = make_store(tmp_path, tokens)
    auth.delay = 0.3
    arguments = (
        [str(store.path)]
        if isinstance(store, CodexAuthFile)
        else [str(tmp_path / "logins"), tokens.account_name]
    )
    command = [sys.executable, "-m", "tests.addons.renewer", auth.url, *arguments]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=25) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert auth.refreshes == len(auth.token_requests) == 1
    access_tokens = [token for output, _ in outputs for token in json.loads(output)]
    assert len(access_tokens) == 50 and set(access_tokens) == {store.read_tokens().access_token}


def test_tokens_that_last_are_not_renewed(auth: FakeAuth, tmp_path: Path) -> None:
    tokens = auth.issue_tokens()
    assert (
        run_with_accounts(auth, TokenRefresher(save_in_vault(tmp_path, tokens)).valid_tokens())
        == tokens
    )
    assert auth.token_requests == []


def test_tokens_without_expiry_are_not_renewed(auth: FakeAuth, tmp_path: Path) -> None:
    tokens = replace(auth.issue_tokens(), access_token="opaque")
    assert (
        run_with_accounts(auth, TokenRefresher(save_in_vault(tmp_path, tokens)).valid_tokens())
        == tokens
    )
    assert auth.token_requests == []


def test_each_account_is_renewed_at_its_own_time() -> None:
    margins = set()
    for name in ("ada", "bob", "eve"):
        claims = {"exp": 2e9, "https://api.openai.com/auth": {"chatgpt_user_id": name}}
        tokens = Tokens(web_token(claims), "", "", 1e9)
        margins.add(refresh_margin(tokens))
        assert REFRESH_MARGIN <= refresh_margin(tokens) <= REFRESH_MARGIN + REFRESH_SPREAD
        short_lived = replace(tokens, issued_at=2e9 - 60)
        assert refresh_margin(short_lived) == 12
        assert refresh_margin(replace(tokens, issued_at=0)) == refresh_margin(tokens)
    assert len(margins) == 3


def test_requests_do_not_wait_while_the_old_tokens_are_valid(
    auth: FakeAuth, tmp_path: Path
) -> None:
    old = replace(auth.issue_tokens(lifetime=200), issued_at=0)
    store = save_in_vault(tmp_path, old)
    auth.delay = 0.3
    refresher = TokenRefresher(store)

    async def test() -> tuple[Tokens, float, Tokens]:
        begin = time.monotonic()
        first = await refresher.valid_tokens()
        seconds = time.monotonic() - begin
        await refresher.finish_refresh()
        return first, seconds, await refresher.valid_tokens()

    first, seconds, second = run_with_accounts(auth, test())
    assert first == old and seconds < 0.25
    assert second.access_token != old.access_token and second == store.read_tokens()
    assert len(auth.token_requests) == 1


def test_login_service_may_keep_the_refresh_token(auth: FakeAuth, tmp_path: Path) -> None:
    old = auth.issue_tokens(lifetime=EXPIRED)
    auth.rotate = False
    new = run_with_accounts(auth, TokenRefresher(save_in_vault(tmp_path, old)).valid_tokens())
    assert new.refresh_token == old.refresh_token and new.access_token != old.access_token


@BOTH_STORES
def test_tokens_that_codex_renewed_meanwhile_are_used(
    auth: FakeAuth, tmp_path: Path, make_store: StoreMaker
) -> None:
    """Codex renews without our lock, and writes a moment later."""
    old, newer = auth.issue_tokens(lifetime=EXPIRED), auth.issue_tokens()
    auth.end_refresh_token(old.refresh_token, "refresh_token_reused")
    store = make_store(tmp_path, old)

    async def test() -> Tokens:
        task = asyncio.create_task(TokenRefresher(store).valid_tokens())
        await asyncio.sleep(0.25)
        make_store(tmp_path, newer)
        return await task

    tokens = run_with_accounts(auth, test())
    assert tokens.access_token == newer.access_token
    assert store.read_tokens().refresh_token == newer.refresh_token
    assert len(auth.token_requests) == 1
    auth.refusals.clear()


@BOTH_STORES
@pytest.mark.parametrize("code", ["refresh_token_reused", "refresh_token_expired"])
def test_ended_login_is_renewed_only_once(
    auth: FakeAuth,
    tmp_path: Path,
    make_store: StoreMaker,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_refresh, "REREAD_PAUSES", (0.0, 0.05))
    old = auth.issue_tokens(lifetime=EXPIRED)
    auth.end_refresh_token(old.refresh_token, code)
    refresher = TokenRefresher(make_store(tmp_path, old))

    async def test() -> None:
        for _ in range(3):
            with pytest.raises(LoginEnded, match=code):
                await refresher.valid_tokens()

    run_with_accounts(auth, test())
    assert len(auth.token_requests) == 1
    auth.refusals.clear()


def test_login_without_a_refresh_token_ends(auth: FakeAuth, tmp_path: Path) -> None:
    store = save_in_vault(tmp_path, replace(auth.issue_tokens(lifetime=EXPIRED), refresh_token=""))
    with pytest.raises(LoginEnded, match="no_refresh_token"):
        run_with_accounts(auth, TokenRefresher(store).valid_tokens())
    assert auth.token_requests == []


class OffsetClock:
    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


def test_login_service_that_failed_is_not_asked_for_a_while(auth: FakeAuth, tmp_path: Path) -> None:
    clock, old = OffsetClock(), auth.issue_tokens(lifetime=EXPIRED)
    refresher = TokenRefresher(save_in_vault(tmp_path, old), now=clock)
    auth.troubles += [TokenTrouble(503), TokenTrouble()]

    async def test() -> Tokens:
        for _ in range(5):
            with pytest.raises(LoginServiceUnreachable, match="HTTP 503"):
                await refresher.valid_tokens()
        clock.offset = RETRY_PAUSE + 1
        with pytest.raises(LoginServiceUnreachable):
            await refresher.valid_tokens()
        clock.offset = 2 * RETRY_PAUSE + 2
        return await refresher.valid_tokens()

    assert run_with_accounts(auth, test()).access_token != old.access_token
    assert len(auth.token_requests) == 3


def test_clock_that_is_put_back_does_not_lengthen_the_pause(auth: FakeAuth, tmp_path: Path) -> None:
    clock, old = OffsetClock(), auth.issue_tokens(lifetime=EXPIRED)
    refresher = TokenRefresher(save_in_vault(tmp_path, old), now=clock)
    auth.troubles += [TokenTrouble(503)]

    async def test() -> tuple[Tokens, Tokens | None]:
        clock.offset = 86_400
        with pytest.raises(LoginServiceUnreachable, match="HTTP 503"):
            await refresher.valid_tokens()
        clock.offset = 0
        new = await refresher.valid_tokens()
        clock.offset = -86_400  # before the tokens were issued
        return new, await refresher.replace_refused(new)

    new, newest = run_with_accounts(auth, test())
    assert new.access_token != old.access_token
    assert newest and newest.access_token != new.access_token


def test_all_waiting_tasks_get_the_same_failure(auth: FakeAuth, tmp_path: Path) -> None:
    refresher = TokenRefresher(save_in_vault(tmp_path, auth.issue_tokens(lifetime=EXPIRED)))
    auth.delay = 0.1
    auth.troubles.append(TokenTrouble(500))

    async def test() -> list[Tokens | BaseException]:
        tasks = (refresher.valid_tokens() for _ in range(20))
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(result) for result in run_with_accounts(auth, test())} == {LoginServiceUnreachable}
    assert len(auth.token_requests) == 1


def test_old_id_token_stays_if_there_is_no_new_one(auth: FakeAuth, tmp_path: Path) -> None:
    old = auth.issue_tokens(lifetime=EXPIRED)

    async def refresh(token: str) -> Tokens:
        return replace(await refresh_tokens(token), id_token="", refresh_token="")

    new = run_with_accounts(
        auth, TokenRefresher(save_in_vault(tmp_path, old), refresh).valid_tokens()
    )
    assert (new.id_token, new.refresh_token) == (old.id_token, old.refresh_token)
    assert new.access_token != old.access_token


def test_old_tokens_serve_while_the_login_service_fails(auth: FakeAuth, tmp_path: Path) -> None:
    old = replace(auth.issue_tokens(lifetime=20), issued_at=0)
    refresher = TokenRefresher(save_in_vault(tmp_path, old))
    auth.troubles.append(TokenTrouble(500))

    async def test() -> list[Tokens]:
        return [await refresher.valid_tokens() for _ in range(3)]

    assert run_with_accounts(auth, test()) == [old] * 3
    assert len(auth.token_requests) == 1


def test_refused_tokens_are_replaced_once(auth: FakeAuth, tmp_path: Path) -> None:
    old = replace(auth.issue_tokens(), issued_at=0)
    store = save_in_vault(tmp_path, old)
    refresher = TokenRefresher(store)

    async def test() -> list[Tokens | None]:
        results = await asyncio.gather(*(refresher.replace_refused(old) for _ in range(10)))
        return [*results, await refresher.replace_refused(store.read_tokens())]

    *results, for_young_tokens = run_with_accounts(auth, test())
    assert results == [store.read_tokens()] * 10 and for_young_tokens is None
    assert len(auth.token_requests) == 1


def test_renewed_tokens_that_cannot_be_saved_are_not_lost(
    auth: FakeAuth,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = save_in_vault(tmp_path, auth.issue_tokens(lifetime=EXPIRED))
    refresher = TokenRefresher(store)

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    async def test() -> tuple[Tokens, Tokens, Tokens]:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            first, second = await refresher.valid_tokens(), await refresher.valid_tokens()
        assert store.read_tokens().access_token != first.access_token
        return first, second, await refresher.valid_tokens()

    first, second, third = run_with_accounts(auth, test())
    assert first == second == third == store.read_tokens()
    assert len(auth.token_requests) == 1 and "No space left" in caplog.text


def test_lock_that_is_never_released_times_out(
    auth: FakeAuth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_refresh, "RENEWAL_LOCK_TIMEOUT", 0.1)
    store = save_in_vault(tmp_path, auth.issue_tokens(lifetime=EXPIRED))
    with (
        FileLock(store.lock_path),
        pytest.raises(LoginServiceUnreachable, match="another process"),
    ):
        run_with_accounts(auth, TokenRefresher(store).valid_tokens())
    assert auth.token_requests == []


def test_tokens_are_not_renewed_without_a_lock(auth: FakeAuth, tmp_path: Path) -> None:
    """The new tokens could not be saved there."""
    store = save_in_codex_file(tmp_path, auth.issue_tokens(lifetime=EXPIRED))
    store.lock_path.mkdir()
    refresher = TokenRefresher(store)

    async def test() -> None:
        for _ in range(2):
            with pytest.raises(LoginServiceUnreachable, match=r"auth.json.lock"):
                await refresher.valid_tokens()

    run_with_accounts(auth, test())
    assert auth.token_requests == []


def test_logout_during_a_renewal_holds(auth: FakeAuth, tmp_path: Path) -> None:
    old = auth.issue_tokens(lifetime=EXPIRED)
    store = save_in_vault(tmp_path, old)
    vault = Vault(tmp_path / "logins")
    auth.delay = 0.3

    async def test() -> None:
        task = asyncio.create_task(TokenRefresher(store).valid_tokens())
        await asyncio.sleep(0.15)
        vault.update_contents(lambda contents: contents.without_login(old.account_name))
        with pytest.raises(LoginEnded, match="logged_out"):
            await task

    run_with_accounts(auth, test())
    assert vault.read_contents() == VaultContents()


def test_cancelled_task_does_not_cancel_the_renewal(auth: FakeAuth, tmp_path: Path) -> None:
    store = save_in_vault(tmp_path, auth.issue_tokens(lifetime=EXPIRED))
    refresher = TokenRefresher(store)
    auth.delay = 0.2

    async def test() -> Tokens:
        first, second = (asyncio.create_task(refresher.valid_tokens()) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        return await second

    assert run_with_accounts(auth, test()) == store.read_tokens()
    assert len(auth.token_requests) == 1


def test_tokens_are_not_logged(
    auth: FakeAuth, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    old = auth.issue_tokens(make_user("eve"), EXPIRED)
    new = run_with_accounts(auth, TokenRefresher(save_in_vault(tmp_path, old)).valid_tokens())
    for tokens in (old, new):
        assert tokens.access_token not in caplog.text
        assert tokens.refresh_token not in caplog.text
