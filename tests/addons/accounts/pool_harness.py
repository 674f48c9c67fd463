"""A pool with a fake clock, a scripted login service, and logins in real files."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import Response

from addons.accounts.lease import Lease
from addons.accounts.member import AccountSummary
from addons.accounts.pool import AccountPool, AccountUnavailable, PoolRules
from addons.accounts.registry import AccountRegistry
from addons.accounts.tokens import Tokens
from addons.accounts.vault import SavedLogin, Vault
from tests.addons.proxy import bounded
from tests.fake_auth import auth_claims, make_user, web_token

NOW = 1_790_000_000.0
BASE_URL = "http://127.0.0.1:9"
BURST = b'{"error": {"message": "Too many requests"}}'


class FakeClock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def make_tokens(name: str, life: float = 86_400.0, plan: str = "plus") -> Tokens:
    user = make_user(name, plan)
    claims = {
        "exp": NOW + life,
        "https://api.openai.com/auth": auth_claims(user),
        "https://api.openai.com/profile": {"email": user.email},
    }
    return Tokens(web_token(claims), f"rt-{name}", "", NOW)


ADA, BOB, EVE = make_tokens("ada"), make_tokens("bob"), make_tokens("eve")


class LoginService:
    """Renews tokens, or raises `fault`."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.refresh_tokens: list[str] = []

    async def __call__(self, refresh_token: str) -> Tokens:
        self.refresh_tokens.append(refresh_token)
        if self.fault:
            raise self.fault
        return make_tokens(refresh_token.removeprefix("rt-"))


class PoolHarness:
    def __init__(self, folder: Path) -> None:
        self.file, self.clock, self.service = folder / "logins", FakeClock(), LoginService()
        self.codex_file: Path | None = None

    def registry(self) -> AccountRegistry:
        url = f"{BASE_URL}/codex"
        return AccountRegistry(Vault(self.file), self.codex_file, url, self.clock, self.service)

    def pool(self, *, max_wait: float = 0.05, **rules: Any) -> AccountPool:
        return AccountPool(self.registry(), PoolRules(**rules, max_wait=max_wait), self.clock)

    async def pool_with(self, *logins: Tokens, **rules: Any) -> AccountPool:
        """A pool in which these accounts have logged in."""
        pool = self.pool(**rules)
        await pool.registry.reload()
        for tokens in logins:
            await pool.add_login(tokens)
        return pool


def run(test: Coroutine[Any, Any, None]) -> None:
    bounded(lambda: test)()


async def start_request(pool: AccountPool, session: str = "") -> Lease:
    """The lease of a request that has not ended."""
    lease = (await pool.acquire_leases(session))[0]
    lease.start_request()
    return lease


def user_of(lease: Lease) -> str:
    return lease.summary.email.partition("@")[0]


async def serve_request(pool: AccountPool, session: str = "") -> str:
    """The user whose account served a request that has ended."""
    lease = await start_request(pool, session)
    lease.release()
    return user_of(lease)


async def expect_unavailable(pool: AccountPool, session: str = "") -> AccountUnavailable:
    with pytest.raises(AccountUnavailable) as error:
        await pool.acquire_leases(session)
    return error.value


def summary_of(pool: AccountPool, tokens: Tokens) -> AccountSummary:
    return next(summary for summary in pool.summaries() if summary.id == tokens.account_name)


def quota_reply(percent: float, resets_in: float = 3600, window: str = "primary") -> Response:
    """A reply whose headers report this quota."""
    prefix = f"x-codex-{window}"
    resets_at = str(NOW + resets_in)
    headers = {f"{prefix}-used-percent": str(percent), f"{prefix}-reset-at": resets_at}
    return Response.make(200, b"", headers)


def usage_limit_body(seconds: float = 3600) -> bytes:
    error = {"type": "usage_limit_reached", "resets_in_seconds": seconds}
    return json.dumps({"error": error}).encode()


def save_logins(path: Path, *logins: Tokens) -> Path:
    """A vault file with these logins."""
    for tokens in logins:
        name, login = tokens.account_name, SavedLogin(tokens)
        Vault(path).update_contents(
            lambda contents, name=name, login=login: contents.with_login(name, login)  # type: ignore[misc]
        )
    return path


def write_codex_file(folder: Path, tokens: Tokens) -> Path:
    """Codex's auth.json with this login."""
    path = folder / "auth.json"
    saved = {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "id_token": tokens.id_token,
    }
    path.write_text(json.dumps({"tokens": saved}))
    path.chmod(0o600)
    return path


async def wait_until(condition: Callable[[], object], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
