"""The accounts in a running proxy: settings, usage pages, and the end."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from mitmproxy.test import tflow

from addons.accounts import addon
from addons.accounts.addon import USAGE_INTERVAL, USAGE_SPREAD, Accounts, is_usage_due
from addons.accounts.quota import Limit
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Vault
from addons.config.addon import Config
from addons.identity import USER_AGENT
from tests.addons.accounts.pool_harness import (
    ADA,
    NOW,
    PoolHarness,
    quota_reply,
    run,
    save_logins,
    start_request,
    wait_until,
)
from tests.addons.proxy import Call, bounded, proxy, upstream
from tests.fake_auth import access_claims, make_user, running_auth, web_token


def current_tokens(name: str = "ada", life: float = 86_400) -> Tokens:
    return Tokens(web_token(access_claims(make_user(name), life)), f"rt-{name}", "", 0)


def reply_with_usage_page(call: Call) -> None:
    window = {"used_percent": 7, "limit_window_seconds": 18000, "reset_after_seconds": 60}
    page = {"rate_limit": {"primary_window": window}, "credits": {"balance": "1"}}
    call.reply(200, json.dumps(page).encode(), content_type="application/json")


@bounded
async def test_usage_page_is_queried_when_somebody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addon, "MAINTENANCE_INTERVAL", 0.02)
    ada = current_tokens()
    vault = save_logins(tmp_path / "logins", ada)
    async with upstream(lambda call: call.reply(404), reply_with_usage_page) as service:
        options = {
            "relay_vault": str(vault),
            "relay_chatgpt_base": f"http://127.0.0.1:{service.port}/backend-api",
        }
        async with proxy(Config(), Accounts(), **options):
            await wait_until(lambda: addon.account_pool().summaries())
            await asyncio.sleep(0.1)
            assert service.seen == []  # nobody uses the account or looks at it
            assert addon.accounts_snapshot()["accounts"][0]["quota"] is None
            await wait_until(lambda: addon.account_pool().summaries()[0].quota)
            await asyncio.sleep(0.1)
            [account] = addon.accounts_snapshot()["accounts"]
            assert account["quota"]["primary"]["used_percent"] == 7
            assert account["credits"] == {"balance": "1"}
    lines = [call.request_line for call in service.seen]
    assert lines == [f"GET /backend-api/{path} HTTP/1.1" for path in addon.USAGE_PATHS]
    for call in service.seen:
        assert call.headers["authorization"] == f"Bearer {ada.access_token}"
        assert call.headers["chatgpt-account-id"] == "ws-ada"
        assert call.headers["originator"] == "mitmcodex"
        assert call.headers["user-agent"] == USER_AGENT


@bounded
async def test_usage_page_that_cannot_be_read_is_not_queried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addon, "MAINTENANCE_INTERVAL", 0.02)
    logins = [current_tokens(name) for name in ("ada", "bob", "eve")]
    vault = save_logins(tmp_path / "logins", *logins)
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
            await wait_until(lambda: addon.account_pool().summaries())
            addon.accounts_snapshot()
            await wait_until(lambda: len(service.seen) == 3)
            await asyncio.sleep(0.1)
            assert len(service.seen) == 3
            states = [account.state for account in addon.account_pool().summaries()]
            assert states == ["ready"] * 3


@bounded
async def test_endless_usage_page_times_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addon, "MAINTENANCE_INTERVAL", 0.02)
    monkeypatch.setattr(addon, "USAGE_TIMEOUT", 0.2)

    async def drip(call: Call) -> None:
        call.head(content_length="1000")
        while not call.writer.is_closing():
            call.writer.write(b" ")
            await asyncio.sleep(0.02)

    vault = save_logins(tmp_path / "logins", current_tokens("ada"), current_tokens("bob"))
    async with upstream(drip, lambda call: call.reply(200, b"[" * 100_000)) as service:
        options = {
            "relay_vault": str(vault),
            "relay_chatgpt_base": f"http://127.0.0.1:{service.port}",
        }
        async with proxy(Config(), Accounts(), **options) as (master, _):
            await wait_until(lambda: addon.account_pool().summaries())
            addon.accounts_snapshot()
            await wait_until(lambda: len(service.seen) == 2)
            await asyncio.sleep(0.1)
            assert not master.addons.get("accounts").maintenance_task.done()


def test_usage_page_is_due_for_accounts_in_use_with_an_old_quota(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA)
        member = pool.registry.members[ADA.account_name]
        assert not is_usage_due(member, 0, NOW)
        assert is_usage_due(member, NOW, NOW)
        member.usage_queried_at = NOW
        assert not is_usage_due(member, NOW, NOW + USAGE_INTERVAL - 1)
        member.last_used_at = NOW + USAGE_INTERVAL
        assert is_usage_due(member, 0, NOW + USAGE_INTERVAL + USAGE_SPREAD)
        assert not is_usage_due(member, 0, NOW + 3 * USAGE_INTERVAL)
        (await start_request(pool)).record_reply_head(quota_reply(3))
        assert not is_usage_due(member, NOW, NOW)  # a reply has just reported the quota
        member.record_limit(Limit("usage_limit_reached", NOW + 9), NOW)
        member.end_reason = "invalid_grant"
        later = NOW + USAGE_INTERVAL + USAGE_SPREAD
        assert not is_usage_due(member, later, later)

    run(test())


@bounded
async def test_any_valid_login_gives_headers(tmp_path: Path) -> None:
    vault = save_logins(tmp_path / "logins", current_tokens("ada"))
    assert await addon.any_account_headers() == {}
    async with proxy(Config(), Accounts(), relay_vault=str(vault)):
        await wait_until(lambda: addon.account_summaries())
        headers = await addon.any_account_headers()
    assert headers["chatgpt-account-id"] == "ws-ada"
    assert addon.account_summaries() == []


@bounded
async def test_relay_completes_a_renewal_before_it_ends(tmp_path: Path) -> None:
    with running_auth() as auth:
        old = auth.issue_tokens(lifetime=-5)
        vault = save_logins(tmp_path / "logins", old)
        auth.delay = 0.4
        options = {"relay_vault": str(vault), "relay_chatgpt_issuer": auth.url}
        async with proxy(Config(), Accounts(), **options):
            task = asyncio.create_task(addon.account_pool().acquire_leases(""))
            await wait_until(lambda: auth.token_requests)
        [login] = Vault(vault).read_contents().logins.values()
        assert login.tokens.refresh_token in auth.refresh_tokens
        assert login.tokens.expires_at > time.time()
        await asyncio.wait([task])


@bounded
async def test_settings_may_change_while_the_relay_runs(tmp_path: Path) -> None:
    first_vault = save_logins(tmp_path / "one", current_tokens())
    second_vault = save_logins(tmp_path / "two", current_tokens("bob"))
    async with proxy(Config(), Accounts(), relay_vault=str(first_vault)) as (master, _):
        first_pool = addon.account_pool()
        await wait_until(lambda: addon.account_pool().summaries())
        master.options.update(relay_account_limit="7", relay_account_strategy="sticky")
        assert addon.account_pool() is first_pool
        assert (first_pool.rules.max_in_flight, first_pool.rules.strategy) == (7, "sticky")
        assert addon.accounts_snapshot()["strategy"] == "sticky"
        master.options.update(relay_vault=str(second_vault))
        assert addon.account_pool() is not first_pool
        await addon.add_account(current_tokens("eve"))
        await addon.account_pool().registry.reload()
        emails = [account.email for account in addon.account_pool().summaries()]
        assert [email[:3] for email in emails] == ["bob", "eve"]
    assert len(Vault(first_vault).read_contents().logins) == 1
    assert len(Vault(second_vault).read_contents().logins) == 2


@bounded
async def test_new_vault_is_read_even_if_it_is_set_during_a_request(tmp_path: Path) -> None:
    first_vault = save_logins(tmp_path / "one", current_tokens())
    second_vault = save_logins(tmp_path / "two", current_tokens("bob"))
    flow = tflow.tflow()
    flow.live = True
    async with proxy(Config(), Accounts(), relay_vault=str(first_vault)) as (master, _):
        accounts = master.addons.get("accounts")
        request = asyncio.create_task(accounts.requestheaders(flow))
        await asyncio.sleep(0)
        assert not request.done()
        master.options.update(relay_vault=str(second_vault))
        await request
        assert addon.account_summaries() == []
        await accounts.requestheaders(flow)
        [account] = addon.account_summaries()
    assert account.email == "bob@example.com"


@bounded
async def test_relay_without_accounts_starts_and_ends() -> None:
    async with proxy(Config(), Accounts()):
        assert addon.accounts_snapshot()["accounts"] == []
        assert addon.accounts_snapshot()["login"] is None
