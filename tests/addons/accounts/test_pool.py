"""Which account serves a request."""

import asyncio
import gc
from pathlib import Path

import pytest
from mitmproxy.http import Response

from addons.accounts.oauth import LoginEnded, LoginServiceUnreachable
from addons.accounts.pool import PoolRules
from addons.accounts.quota import BURST_SECONDS
from addons.accounts.registry import AccountNotFound
from tests.addons.accounts.pool_harness import (
    ADA,
    BOB,
    BURST,
    EVE,
    NOW,
    PoolHarness,
    expect_unavailable,
    make_tokens,
    quota_reply,
    run,
    serve_request,
    start_request,
    summary_of,
    usage_limit_body,
    user_of,
    wait_until,
    write_codex_file,
)


def test_without_an_account_the_error_says_how_to_log_in(harness: PoolHarness) -> None:
    async def test() -> None:
        error = await expect_unavailable(harness.pool())
        assert (error.status, error.code, error.resets_at) == (401, "no_account", None)
        assert "/auth/login" in error.message and "relay_chatgpt_auth" in error.message
        assert not harness.file.exists()

    run(test())


def test_first_account_serves_until_another_is_selected(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB)
        assert [await serve_request(pool, "s") for _ in range(3)] == ["ada"] * 3
        await pool.select_account(BOB.account_name)
        assert await serve_request(pool, "s") == "bob"
        other_process = harness.pool()
        assert await serve_request(other_process) == "bob"
        await other_process.select_account(ADA.account_name)
        assert await serve_request(pool) == "ada"

    run(test())


@pytest.mark.parametrize("name", [BOB.account_name, "bob@example.com", "Bob@Example.com"])
def test_settings_may_select_the_account(harness: PoolHarness, name: str) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB, account=name)
        assert await serve_request(pool) == "bob"
        assert [account.selected for account in pool.summaries()] == [False, True]
        with pytest.raises(AccountNotFound, match="relay_account"):
            await pool.select_account(ADA.account_name)

    run(test())


def test_account_in_the_settings_must_be_logged_in(harness: PoolHarness) -> None:
    async def test() -> None:
        error = await expect_unavailable(await harness.pool_with(ADA, account="zoe@example.com"))
        assert (error.status, error.code) == (401, "no_account") and "zoe@" in error.message

    run(test())


@pytest.mark.parametrize("window", ["primary", "secondary"])
def test_either_full_window_ends_service_until_its_reset(harness: PoolHarness, window: str) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB)
        lease = await start_request(pool)
        lease.record_reply_head(quota_reply(99.5, window=window))
        assert summary_of(pool, ADA).state == "ready"
        lease.record_reply_head(quota_reply(100, window=window))
        lease.release()
        summary = summary_of(pool, ADA)
        assert (summary.state, summary.reason) == ("limited", "usage_limit_reached")
        assert summary.until == NOW + 3600
        error = await expect_unavailable(pool)
        assert (error.status, error.code) == (429, "usage_limit_reached")
        assert error.resets_at == NOW + 3600 and "ada@example.com" in error.message
        harness.clock.now = NOW + 3600
        assert await serve_request(pool) == "ada"

    run(test())


def test_refusal_outranks_later_reports_until_its_reset(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA)
        lease = await start_request(pool)
        lease.record_refusal(429, usage_limit_body())
        lease.record_reply_head(quota_reply(1))
        limits = {"primary": {"used_percent": 1}}
        lease.record_rate_limits({"type": "codex.rate_limits", "rate_limits": limits})
        lease.record_refusal(429, BURST)
        lease.release()
        assert (await expect_unavailable(pool)).resets_at == NOW + 3600
        harness.clock.now = NOW + 3600.5
        assert await serve_request(pool) == "ada"

    run(test())


def test_new_login_starts_without_the_old_limits(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA)
        lease = await start_request(pool)
        lease.record_refusal(429, usage_limit_body())
        lease.record_reply_head(quota_reply(100))
        await pool.add_login(make_tokens("ada", plan="pro"))
        assert await serve_request(pool) == "ada" and summary_of(pool, ADA).plan == "pro"

    run(test())


def test_other_accounts_serve_only_with_failover(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB, EVE, failover=True)
        leases = await pool.acquire_leases("s")
        assert leases[0].summary.id == ADA.account_name and len(leases) == 3
        leases[0].start_request()
        leases[0].record_refusal(429, usage_limit_body())
        leases[1].start_request()
        second = leases[1].summary.id
        assert [summary_of(pool, login).in_flight for login in (ADA, BOB, EVE)].count(1) == 2
        for lease in leases:
            lease.release()
        assert [account.in_flight for account in pool.summaries()] == [0, 0, 0]

        async def first_account(session: str) -> str:
            return (await pool.acquire_leases(session))[0].summary.id

        assert await first_account("s") == second
        harness.clock.now += 3601
        assert await first_account("s") == second  # the conversation stays there
        assert await first_account("t") == ADA.account_name
        await pool.select_account(ADA.account_name)
        assert await first_account("s") == ADA.account_name

    run(test())


def test_when_all_accounts_are_limited_the_error_has_the_first_reset(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB, failover=True)
        first, second = await pool.acquire_leases("")
        first.record_refusal(429, usage_limit_body(900))
        second.record_refusal(429, usage_limit_body(600))
        error = await expect_unavailable(pool)
        assert (error.status, error.code) == (429, "usage_limit_reached")
        assert error.resets_at == NOW + 600

    run(test())


def test_requests_wait_for_a_free_slot(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, max_in_flight=2, max_wait=5)
        leases = [await start_request(pool) for _ in range(2)]
        assert (summary_of(pool, ADA).state, summary_of(pool, ADA).in_flight) == ("busy", 2)
        tasks = [asyncio.create_task(start_request(pool)) for _ in range(10)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks) and summary_of(pool, ADA).in_flight == 2
        leases[0].release()
        leases[0].release()
        await asyncio.sleep(0.05)
        assert sum(task.done() for task in tasks) == 1 and summary_of(pool, ADA).in_flight == 2
        leases[1].release()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        del leases, tasks, task

    run(test())


def test_request_that_gets_no_slot_in_time_is_refused(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB, max_in_flight=1)
        lease = await start_request(pool)
        error = await expect_unavailable(pool)
        assert (error.status, error.code) == (429, "rate_limit_exceeded")
        assert error.resets_at == NOW + 5
        lease.release()
        assert await serve_request(pool) == "ada"

    run(test())


def test_cancelled_request_waits_no_longer(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, max_in_flight=1, max_wait=5)
        lease = await start_request(pool)
        waiting_request = asyncio.create_task(start_request(pool))
        await wait_until(lambda: pool._waiters)
        waiting_request.cancel()
        await asyncio.wait([waiting_request])
        assert pool._waiters == set()
        lease.release()

    run(test())


def test_lease_that_is_garbage_frees_its_slot(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, max_in_flight=1)
        await pool.acquire_leases("")
        gc.collect()
        assert summary_of(pool, ADA).in_flight == 0
        assert await serve_request(pool) == "ada"

    run(test())


def test_request_waits_for_the_end_of_a_burst_at_its_account(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB, strategy="sticky", failover=True, max_wait=5)
        first = await serve_request(pool, "s")
        lease = await start_request(pool, "s")
        lease.record_refusal(429, BURST)
        lease.release()
        assert (lease.summary.state, lease.summary.until) == ("busy", NOW + BURST_SECONDS)
        harness.clock.now += BURST_SECONDS - 0.1
        timer = asyncio.get_running_loop().call_later(
            0.05, lambda: setattr(harness.clock, "now", NOW + BURST_SECONDS)
        )
        assert await serve_request(pool, "s") == first
        timer.cancel()

    run(test())


def test_round_robin_rotates_by_conversation(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB, EVE, strategy="round_robin")
        users = [await serve_request(pool, f"s{n}") for n in range(6)]
        assert users == ["ada", "bob", "eve"] * 2
        assert [await serve_request(pool, f"s{n}") for n in range(6)] == users
        assert [await serve_request(pool) for _ in range(3)] == ["ada", "bob", "eve"]

    run(test())


def test_least_used_account_serves_first_and_then_the_next_to_reset(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB, EVE, failover=True, strategy="least_used")
        leases = {lease.summary.id: lease for lease in await pool.acquire_leases("")}
        leases[ADA.account_name].record_reply_head(quota_reply(30, 100))
        leases[BOB.account_name].record_reply_head(quota_reply(20, 900))
        leases[EVE.account_name].record_reply_head(quota_reply(20, 300))
        for lease in leases.values():
            lease.release()
        names = [lease.summary.id for lease in await pool.acquire_leases("new")]
        assert names == [EVE.account_name, BOB.account_name, ADA.account_name]

    run(test())


def test_sticky_conversations_have_the_same_account_in_every_process(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB, EVE, strategy="sticky")
        users = {f"s{n}": await serve_request(pool, f"s{n}") for n in range(20)}
        assert len(set(users.values())) == 3
        other = harness.pool(strategy="sticky")
        assert {session: await serve_request(other, session) for session in users} == users

    run(test())


def test_conversation_leaves_a_limited_account_for_good(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB, strategy="sticky")
        lease = await start_request(pool, "s")
        lease.record_refusal(429, usage_limit_body())
        lease.release()
        second = await serve_request(pool, "s")
        assert second != user_of(lease)
        harness.clock.now += 3601
        assert await serve_request(pool, "s") == second

    run(test())


def test_ended_login_is_shown_and_not_renewed_again(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(make_tokens("ada", -1), BOB)
        harness.service.fault = LoginEnded("refresh_token_expired")
        for _ in range(3):
            error = await expect_unavailable(pool)
            assert (error.status, error.code) == (401, "no_account")
            assert "refresh_token_expired" in error.message and "ada@" in error.message
        assert harness.service.refresh_tokens == ["rt-ada"]
        account = pool.snapshot()["accounts"][0]
        assert (account["state"], account["reason"]) == ("dead", "refresh_token_expired")
        assert await serve_request(harness.pool(failover=True)) == "bob"
        harness.service.fault = None
        await pool.add_login(ADA)
        assert await serve_request(pool) == "ada"

    run(test())


def test_unreachable_login_service_is_an_error_unless_another_account_serves(
    harness: PoolHarness,
) -> None:
    async def test() -> None:
        harness.service.fault = LoginServiceUnreachable("the login service: HTTP 503")
        pool = await harness.pool_with(make_tokens("ada", -1), BOB)
        error = await expect_unavailable(pool)
        assert (error.status, error.code) == (503, "login_unreachable")
        assert "HTTP 503" in error.message and error.resets_at == NOW + 5
        assert summary_of(pool, ADA).in_flight == 0
        pool.rules = PoolRules(failover=True)
        assert await serve_request(pool) == "bob"

    run(test())


def test_background_lease_needs_a_valid_login_and_no_slot(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, make_tokens("bob", -1), max_in_flight=1)
        request = await start_request(pool)
        members = pool.registry.members
        lease = await pool.background_lease(members[ADA.account_name])
        assert lease and lease.credential_headers()["chatgpt-account-id"] == "ws-ada"
        assert summary_of(pool, ADA).in_flight == 1
        harness.service.fault = LoginEnded("invalid_grant")
        assert await pool.background_lease(members[BOB.account_name]) is None
        request.release()

    run(test())


def test_logout_forgets_the_login(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB)
        await pool.log_out(ADA.account_name)
        assert await serve_request(pool) == "bob" and "rt-ada" not in harness.file.read_text()
        with pytest.raises(AccountNotFound):
            await pool.log_out(ADA.account_name)
        await pool.log_out(BOB.account_name)
        assert (await expect_unavailable(pool)).code == "no_account" and pool.summaries() == []

    run(test())


def test_codexs_own_login_serves_first_while_its_file_exists(
    harness: PoolHarness, tmp_path: Path
) -> None:
    async def test() -> None:
        harness.codex_file = write_codex_file(tmp_path, ADA)
        pool = await harness.pool_with(BOB)
        assert [account.source for account in pool.summaries()] == ["codex", "login"]
        assert await serve_request(pool) == "ada"
        write_codex_file(tmp_path, EVE)  # the user logs in to Codex as somebody else
        assert await serve_request(pool) == "eve"
        harness.codex_file.unlink()
        assert await serve_request(pool) == "bob"
        assert "codex login" in pool.registry.problem

    run(test())


def test_missing_codex_file_is_named_in_the_error(harness: PoolHarness, tmp_path: Path) -> None:
    async def test() -> None:
        harness.codex_file = tmp_path / "auth.json"
        error = await expect_unavailable(harness.pool())
        assert error.status == 401 and "codex login" in error.message

    run(test())


def test_snapshot_shows_accounts_and_rules(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA)
        lease = await start_request(pool)
        lease.record_reply_head(quota_reply(12))
        lease.record_reply_head(Response.make(200, b"", {"x-codex-credits-balance": "3"}))
        window = {"used_percent": 12.0, "window_minutes": None, "resets_at": NOW + 3600}
        account = {
            "id": ADA.account_name,
            "email": "ada@example.com",
            "plan": "plus",
            "source": "login",
            "selected": True,
            "state": "ready",
            "reason": None,
            "until": None,
            "expires": NOW + 86_400,
            "in_flight": 1,
            "quota": {"primary": window, "secondary": None, "at": NOW},
            "credits": {"balance": "3"},
        }
        assert pool.snapshot() == {
            "accounts": [account],
            "strategy": "selected",
            "failover": False,
            "login": None,
        }

    run(test())
