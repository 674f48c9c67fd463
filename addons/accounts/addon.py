"""The ChatGPT accounts in this proxy: made as the settings want them, looked after, and ended."""

import asyncio
import time
from pathlib import Path
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.accounts import usage
from addons.accounts.login import Login
from addons.accounts.member import Account
from addons.accounts.noseat import unreachable
from addons.accounts.pool import Pool, Rules
from addons.accounts.registry import Roster
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Vault
from addons.config import addon as config
from addons.config.account_settings import Accounts as Chosen

PACE = 20.0  # s between two looks at what Codex and other processes did to the logins

_pool: Pool | None = None
_login: Login | None = None
_ending: set[asyncio.Task[None]] = set()


def pool() -> Pool:
    """The accounts. Raises NoSeat where the addon is not, for who waited while it was read anew."""
    if _pool is None:
        raise unreachable("The relay has just been read anew: try again.", time.time())
    return _pool


def known() -> list[Account]:
    """The accounts; none where the addon is not."""
    return _pool.known() if _pool else []


async def reader() -> dict[str, str]:
    """The headers of an account, for what any of them may read; none where none serves."""
    if current := _pool:
        for member in list(current.roster.members.values()):
            if seat := await current.seat(member):
                return seat.secrets()
    return {}


def login() -> Login:
    """The login that runs, or may."""
    assert _login  # noqa: S101
    return _login


def snapshot() -> dict[str, Any]:
    """What `GET /auth/accounts` answers."""
    return pool().snapshot() | {"login": login().state()}


class Accounts:
    """Has a pool as the settings want it, and looks after it."""

    chosen: Chosen | None = None
    task: asyncio.Task[None] | None = None
    looked: Pool | None = None

    def configure(self, updated: set[str]) -> None:
        global _pool, _login
        chosen = config.settings()
        if _pool is None or places(chosen) != places(self.chosen):
            ending(_pool)
            _pool = made(chosen)
        _pool.rules = rules(chosen)
        _login = _login or Login(added)
        self.chosen = chosen

    def running(self) -> None:
        self.task = asyncio.create_task(tend())

    async def requestheaders(self, flow: HTTPFlow) -> None:
        """The first request waits until the accounts have been looked for; so do others while
        some are missing, as who has logged in with Codex comes back at once."""
        if _pool and flow.live and (self.looked is not _pool or _pool.roster.trouble):
            await _pool.roster.look()
            self.looked = _pool

    def done(self) -> asyncio.Task[None] | None:
        """mitmproxy awaits this at its end; when the script is read anew it ends by itself."""
        global _pool, _login
        if self.task:
            self.task.cancel()
        task = ending(_pool, _login)
        _pool = _login = self.chosen = self.task = self.looked = None
        return task


async def tend() -> None:
    """What is to be done now and then."""
    while True:
        current = pool()
        await current.roster.look()
        await usage.ask(current, config.settings().chatgpt_base, time.time())
        await current.roster.keep_cookies()
        await asyncio.sleep(PACE)


async def added(tokens: Tokens) -> None:
    """In whichever pool there is when a login has come to its end."""
    await pool().add(tokens)


def places(chosen: Chosen | None) -> tuple[str, str, str] | None:
    return (chosen.vault, chosen.chatgpt_auth, chosen.chatgpt_base) if chosen else None


def made(chosen: Chosen) -> Pool:
    vault = Vault(Path(chosen.vault) if chosen.vault else None)
    codex = Path(chosen.chatgpt_auth) if chosen.chatgpt_auth else None
    return Pool(Roster(vault, codex, f"{chosen.chatgpt_base}/codex/responses"), rules(chosen))


def rules(chosen: Chosen) -> Rules:
    return Rules(
        chosen.account, chosen.account_strategy, chosen.account_failover, chosen.account_limit
    )


def ending(pool: Pool | None, login: Login | None = None) -> asyncio.Task[None] | None:
    """Renewals that were asked for are heard out: their answers are the only valid logins."""

    async def end() -> None:
        if login:
            await login.stop()
        if pool:
            await pool.roster.finish()

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # no loop, so nothing runs
        return None
    task = loop.create_task(end())
    _ending.add(task)  # else nobody holds it
    task.add_done_callback(_ending.discard)
    return task
