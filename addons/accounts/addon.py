"""The account pool of the running relay: created from the settings, maintained, and shut down."""

import asyncio
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
from mitmproxy.http import HTTPFlow

from addons.accounts.login import LoginProcess
from addons.accounts.member import AccountSummary, Member
from addons.accounts.pool import AccountPool, PoolRules, login_unreachable
from addons.accounts.quota import quota_from_usage_page
from addons.accounts.registry import AccountRegistry
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Vault
from addons.config import Settings, current_settings
from addons.http_client import client_options
from addons.identity import ORIGINATOR

MAINTENANCE_INTERVAL = 20.0  # s between two looks at the logins, which other processes may change
# The relay queries a usage page every 15 to 20 minutes, each account's at its own time.
USAGE_INTERVAL, USAGE_SPREAD = 900.0, 300.0  # s
USAGE_TIMEOUT = 10.0  # s for one page
USAGE_PATHS = ("wham/usage", "codex/usage")  # the second one only if the first does not exist

_pool: AccountPool | None = None
_login: LoginProcess | None = None
_shutdown_tasks: set[asyncio.Task[None]] = set()


def account_pool() -> AccountPool:
    """The pool. Raises AccountUnavailable while mitmproxy reloads the relay."""
    if _pool is None:
        raise login_unreachable("The relay has just been reloaded: try again.", time.time())
    return _pool


def account_summaries() -> list[AccountSummary]:
    """The accounts that are logged in."""
    return _pool.summaries() if _pool else []


async def any_account_headers() -> dict[str, str]:
    """The credential headers of any account, for pages that are the same for all accounts; {} if
    no account has a valid login."""
    if pool := _pool:
        for member in list(pool.registry.members.values()):
            if lease := await pool.background_lease(member):
                return lease.credential_headers()
    return {}


def current_login() -> LoginProcess:
    """The login in progress, or the next one."""
    assert _login  # noqa: S101
    return _login


def accounts_snapshot() -> dict[str, Any]:
    """The reply of `GET /auth/accounts`."""
    return account_pool().snapshot() | {"login": current_login().current_status()}


class Accounts:
    """Keeps one pool that fits the settings."""

    def __init__(self) -> None:
        self.settings: Settings | None = None  # those of the current pool
        self.maintenance_task: asyncio.Task[None] | None = None
        self.loaded_pool: AccountPool | None = None  # the pool whose logins have been read

    def configure(self, updated: set[str]) -> None:
        global _pool, _login
        settings = current_settings()
        if _pool is None or store_settings(settings) != store_settings(self.settings):
            shut_down(_pool)
            _pool = create_pool(settings)
        _pool.rules = pool_rules(settings)
        _login = _login or LoginProcess(add_account)
        self.settings = settings

    def running(self) -> None:
        self.maintenance_task = asyncio.create_task(maintain_accounts())

    async def requestheaders(self, flow: HTTPFlow) -> None:
        """Read the logins before the first request, and before every request while some cannot be
        read: a user who has just logged in with Codex need not wait for the next maintenance."""
        pool = _pool
        if pool and flow.live and (self.loaded_pool is not pool or pool.registry.problem):
            await pool.registry.reload()
            self.loaded_pool = pool

    def done(self) -> asyncio.Task[None] | None:
        """mitmproxy awaits the task when it ends, but not when it reloads the script."""
        global _pool, _login
        if self.maintenance_task:
            self.maintenance_task.cancel()
        task = shut_down(_pool, _login)
        _pool = _login = self.settings = self.maintenance_task = self.loaded_pool = None
        return task


async def maintain_accounts() -> None:
    """Reload logins, query usage pages and save cookies until cancelled."""
    while True:
        pool = account_pool()
        await pool.registry.reload()
        await query_usage_pages(pool, current_settings().chatgpt_base, time.time())
        await pool.registry.save_cookies()
        await asyncio.sleep(MAINTENANCE_INTERVAL)


async def add_account(tokens: Tokens) -> None:
    """Save a login in the current pool, which may be newer than the login's start."""
    await account_pool().add_login(tokens)


def store_settings(settings: Settings | None) -> tuple[str, str, str] | None:
    """The settings whose change needs a new pool."""
    return (settings.vault, settings.chatgpt_auth, settings.chatgpt_base) if settings else None


def create_pool(settings: Settings) -> AccountPool:
    vault = Vault(Path(settings.vault) if settings.vault else None)
    codex_file = Path(settings.chatgpt_auth) if settings.chatgpt_auth else None
    registry = AccountRegistry(vault, codex_file, f"{settings.chatgpt_base}/codex/responses")
    return AccountPool(registry, pool_rules(settings))


def pool_rules(settings: Settings) -> PoolRules:
    return PoolRules(
        account=settings.account,
        strategy=settings.account_strategy,
        failover=settings.account_failover,
        max_in_flight=settings.account_limit,
    )


def shut_down(
    pool: AccountPool | None, login: LoginProcess | None = None
) -> asyncio.Task[None] | None:
    """End the login in progress, and wait for renewals: the old tokens are no longer valid, and the
    reply brings the new ones. None without an event loop."""

    async def finish_all() -> None:
        if login:
            await login.cancel()
        if pool:
            await pool.registry.finish()

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # without a loop, no login and no renewal can be in progress
        return None
    task = loop.create_task(finish_all())
    _shutdown_tasks.add(task)  # the loop itself keeps only a weak reference
    task.add_done_callback(_shutdown_tasks.discard)
    return task


def is_usage_due(member: Member, viewed_at: float, now: float) -> bool:
    """Whether to query this account's usage page: its quota is old, and the account is in use or
    somebody looks at the list of accounts. `viewed_at`: Unix seconds of the last such look."""
    fraction = int.from_bytes(sha256(member.name.encode()).digest()[-4:]) / 2**32  # 0 to 1
    observed_at = member.quota.observed_at if member.quota else 0.0
    age = now - max(member.usage_queried_at, observed_at)
    is_of_interest = now - max(member.last_used_at, viewed_at) < USAGE_INTERVAL
    is_old = age >= USAGE_INTERVAL + fraction * USAGE_SPREAD
    return member.end_reason is None and is_of_interest and is_old


async def query_usage_pages(pool: AccountPool, base_url: str, now: float) -> None:
    """Query the usage pages that are due, one after the other. Never raises."""
    members = pool.registry.members.values()
    due = [member for member in members if is_usage_due(member, pool.last_viewed_at, now)]
    for member in due:
        member.usage_queried_at = now
        if (lease := await pool.background_lease(member)) is None:
            continue
        try:
            page = await fetch_usage_page(base_url, lease.credential_headers())
        except (httpx2.HTTPError, OSError, ValueError, RecursionError):
            continue  # the headers of the next replies report the quota as well
        member.update_quota(quota_from_usage_page(page, now))


async def fetch_usage_page(base_url: str, credentials: dict[str, str]) -> dict[str, object]:
    """The page's JSON. Raises httpx2.HTTPError, OSError, ValueError, RecursionError."""
    headers = {**credentials, "accept": "application/json", "originator": ORIGINATOR}
    options = client_options(USAGE_TIMEOUT)
    async with asyncio.timeout(USAGE_TIMEOUT), httpx2.AsyncClient(**options) as client:
        for path in USAGE_PATHS:
            reply = await client.get(f"{base_url}/{path}", headers=headers)
            if reply.status_code != 404:
                break
    page = reply.raise_for_status().json()
    if not isinstance(page, dict):
        raise ValueError("not a usage page")
    return page
