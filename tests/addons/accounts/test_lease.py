"""The use of an account for one request: credentials, reports and renewal."""

import asyncio
import json

import pytest
from mitmproxy.http import Headers, Response

from addons.accounts.oauth import LoginEnded
from tests.addons.accounts.pool_harness import (
    ADA,
    PoolHarness,
    run,
    serve_request,
    start_request,
    summary_of,
    usage_limit_body,
)


def test_credentials_have_the_cookies_that_replies_set(harness: PoolHarness) -> None:
    async def test() -> None:
        lease = await start_request(await harness.pool_with(ADA))
        headers = {"authorization": f"Bearer {ADA.access_token}", "chatgpt-account-id": "ws-ada"}
        assert lease.credential_headers() == headers
        fields = [(b"set-cookie", b"cf=1; Path=/; Max-Age=900"), (b"set-cookie", b"s=2")]
        reply = Response(b"HTTP/1.1", 200, b"OK", Headers(fields), b"", None, 0, 0)
        lease.record_reply_head(reply)
        assert lease.credential_headers() == headers | {"cookie": "cf=1; s=2"}

    run(test())


def test_neither_lease_nor_summary_shows_tokens(harness: PoolHarness) -> None:
    async def test() -> None:
        lease = await start_request(await harness.pool_with(ADA))
        summary = lease.summary
        for text in (repr(lease), repr(summary), json.dumps(summary.to_json())):
            assert ADA.access_token not in text and "rt-ada" not in text

    run(test())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_refusals_that_the_request_caused_do_not_limit_the_account(
    harness: PoolHarness, status: int
) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA)
        lease = await start_request(pool)
        lease.record_refusal(status, usage_limit_body())
        lease.release()
        assert summary_of(pool, ADA).state == "ready" and await serve_request(pool) == "ada"

    run(test())


def test_events_report_the_quota(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA)
        lease = await start_request(pool)
        limits = {"primary": {"used_percent": 7}}
        lease.record_rate_limits({"type": "codex.rate_limits", "rate_limits": limits})
        quota = summary_of(pool, ADA).quota
        assert quota and quota.used_percent == 7

    run(test())


def test_leases_share_one_renewal_after_a_401(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA)
        harness.clock.now += 120
        leases = [await start_request(pool) for _ in range(3)]
        old_headers = [lease.credential_headers() for lease in leases]
        assert await asyncio.gather(*(lease.refresh_login() for lease in leases)) == [True] * 3
        assert harness.service.refresh_tokens == ["rt-ada"]
        new_headers = [lease.credential_headers() for lease in leases]
        assert all(new != old for new, old in zip(new_headers, old_headers, strict=True))
        harness.service.fault = LoginEnded("invalid_grant")
        harness.clock.now += 120
        assert await leases[0].refresh_login() is False
        assert summary_of(pool, ADA).state == "dead"

    run(test())
