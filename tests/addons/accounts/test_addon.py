"""The accounts in a running proxy: settings, usage pages, and what is heard out at the end."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from addons.accounts import addon, usage
from addons.accounts.addon import Accounts
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Entry, Vault
from addons.config.addon import Config
from addons.identity import USER_AGENT
from tests.addons.proxy import Call, bounded, proxy, upstream
from tests.fake_auth import access_claims, person, running, web_token


def login(name: str = "ada", life: float = 86_400) -> Tokens:
    return Tokens(web_token(access_claims(person(name), life)), f"rt-{name}", "", 0)


def kept(path: Path, *who: Tokens) -> Path:
    for tokens in who:
        entry = Entry(tokens)
        Vault(path).change(lambda book, one=tokens, entry=entry: book.having(one.name, entry))  # type: ignore[misc]
    return path


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.01)


def page(call: Call) -> None:
    window = {"used_percent": 7, "limit_window_seconds": 18000, "reset_after_seconds": 60}
    told = {"rate_limit": {"primary_window": window}, "credits": {"balance": "1"}}
    call.reply(200, json.dumps(told).encode(), content_type="application/json")


@bounded
async def test_the_usage_page_is_asked_for_when_somebody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addon, "PACE", 0.02)
    ada = login()
    vault = kept(tmp_path / "logins", ada)
    async with upstream(lambda call: call.reply(404), page) as service:
        options = {
            "relay_vault": str(vault),
            "relay_chatgpt_base": f"http://127.0.0.1:{service.port}/backend-api",
        }
        async with proxy(Config(), Accounts(), **options):
            await until(lambda: addon.pool().known())
            await asyncio.sleep(0.1)
            assert service.seen == []  # nobody uses it, nobody looks
            assert addon.snapshot()["accounts"][0]["quota"] is None
            await until(lambda: addon.pool().known()[0].quota)
            await asyncio.sleep(0.1)
            [account] = addon.snapshot()["accounts"]
            assert account["quota"]["primary"]["used_percent"] == 7
            assert account["credits"] == {"balance": "1"}
    lines = [call.line for call in service.seen]
    assert lines == [f"GET /backend-api/{path} HTTP/1.1" for path in usage.PAGES]
    for call in service.seen:
        assert call.headers["authorization"] == f"Bearer {ada.access}"
        assert call.headers["chatgpt-account-id"] == "ws-ada"
        assert call.headers["originator"] == "codex-relay"
        assert call.headers["user-agent"] == USER_AGENT


@bounded
async def test_a_page_that_cannot_be_read_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addon, "PACE", 0.02)
    vault = kept(tmp_path / "logins", *(login(name) for name in ("ada", "bob", "eve")))
    replies = (
        lambda call: call.reply(200, b"[]"),
        lambda call: call.reply(503),
        lambda call: call.cut(),
    )
    async with upstream(*replies) as service:
        options = {
            "relay_vault": str(vault),
            "relay_chatgpt_base": f"http://127.0.0.1:{service.port}",
        }
        async with proxy(Config(), Accounts(), **options):
            await until(lambda: addon.pool().known())
            addon.snapshot()
            await until(lambda: len(service.seen) == 3)
            await asyncio.sleep(0.1)
            assert len(service.seen) == 3
            assert [account.state for account in addon.pool().known()] == ["ready"] * 3


@bounded
async def test_a_page_without_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addon, "PACE", 0.02)
    monkeypatch.setattr(usage, "PATIENCE", 0.2)

    async def drips(call: Call) -> None:
        call.head(content_length="1000")
        while not call.writer.is_closing():
            call.writer.write(b" ")
            await asyncio.sleep(0.02)

    vault = kept(tmp_path / "logins", login("ada"), login("bob"))
    async with upstream(drips, lambda call: call.reply(200, b"[" * 100_000)) as service:
        options = {
            "relay_vault": str(vault),
            "relay_chatgpt_base": f"http://127.0.0.1:{service.port}",
        }
        async with proxy(Config(), Accounts(), **options) as (master, _):
            await until(lambda: addon.pool().known())
            addon.snapshot()
            await until(lambda: len(service.seen) == 2)
            await asyncio.sleep(0.1)
            task = master.addons.get("accounts").task
            assert not task.done()


@bounded
async def test_a_renewal_is_heard_out_at_the_end(tmp_path: Path) -> None:
    with running() as auth:
        old = auth.give(lifetime=-5)
        vault = kept(tmp_path / "logins", old)
        auth.delay = 0.4
        options = {"relay_vault": str(vault), "relay_chatgpt_issuer": auth.url}
        async with proxy(Config(), Accounts(), **options):
            asking = asyncio.create_task(addon.pool().seats(""))
            await until(lambda: auth.asked)
        [entry] = Vault(vault).read().entries.values()
        assert entry.tokens.refresh in auth.fresh and entry.tokens.expires > time.time()
        await asyncio.wait([asking])


@bounded
async def test_settings_while_it_runs(tmp_path: Path) -> None:
    one, two = kept(tmp_path / "one", login()), kept(tmp_path / "two", login("bob"))
    async with proxy(Config(), Accounts(), relay_vault=str(one)) as (master, _):
        first = addon.pool()
        await until(lambda: addon.pool().known())
        master.options.update(relay_account_limit="7", relay_account_strategy="sticky")
        assert addon.pool() is first
        assert (first.rules.limit, first.rules.strategy) == (7, "sticky")
        assert addon.snapshot()["strategy"] == "sticky"
        master.options.update(relay_vault=str(two))
        assert addon.pool() is not first
        await addon.added(login("eve"))
        await addon.pool().roster.look()
        assert [account.email[:3] for account in addon.pool().known()] == ["bob", "eve"]
    assert len(Vault(one).read().entries) == 1 and len(Vault(two).read().entries) == 2


@bounded
async def test_it_ends_without_anything_having_been_there() -> None:
    async with proxy(Config(), Accounts()):
        assert addon.snapshot()["accounts"] == []
        assert addon.snapshot()["login"] is None
