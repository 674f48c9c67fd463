"""Tokens that are valid: renewed before they end, once, whoever and how many want them.

A refresh token is good for one use. So one task of one process renews, and all others take what it
brought; it is asked for once, as nobody knows of a request without a reply whether it was done.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from filelock import AsyncFileLock, Timeout

from addons import http_client as fetch
from addons.accounts import oauth
from addons.accounts.locked_file import Unavailable
from addons.accounts.oauth import Dead, Unreachable
from addons.accounts.tokens import Tokens

EARLY, SPREAD = 300.0, 300.0  # s before the end: 5 to 10 minutes, each account at its own time
SHARE = 0.2  # of its life; a token that lives for minutes is not renewed all the time
SAFE = 30.0  # s; what is valid for longer serves while it is being renewed
TURN = 45.0  # s that another process may take for its renewal
REST = 15.0  # s until a service that did not answer is asked again
YOUNG = 60.0  # s; a token that is refused at this age will not get better by another one
SETTLE = (0.0, 0.3, 1.0)  # s; somebody else renewed, and may not have written it down yet


type Refresh = Callable[[str], Awaitable[Tokens]]  # as `oauth.refresh`


class Home(Protocol):
    """Where one account's login lies. Blocks; raises Dead, Unavailable."""

    @property
    def lock(self) -> Path: ...  # one renewal at a time, whichever process does it

    def read(self) -> Tokens: ...

    def keep(self, old: Tokens, new: Tokens) -> None: ...  # if these are the old ones still

    def bury(self, old: Tokens, reason: str) -> None: ...


class Fresh:
    """One account's tokens. Raises Dead, Unreachable, Unavailable."""

    def __init__(
        self,
        home: Home,
        refresh: Refresh = oauth.refresh,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.home, self._refresh, self._now = home, refresh, now
        self._task: asyncio.Task[Tokens] | None = None
        self._failed: tuple[float, str] = 0.0, ""  # until when not to try again, and why
        self._unkept: tuple[Tokens, Tokens] | None = None

    async def tokens(self) -> Tokens:
        """Valid ones, as far as can be told."""
        tokens = await asyncio.to_thread(self._read)
        left = tokens.expires - self._now()
        if not tokens.expires or left > early(tokens):
            return tokens
        if self._resting():
            if left > 0:
                return tokens
            raise Unreachable(self._failed[1])
        renewing = self.renewing(tokens)
        if left > SAFE:
            return tokens
        try:
            return await asyncio.shield(renewing)
        except (Unreachable, Unavailable):
            if tokens.expires > self._now():
                return tokens
            raise

    async def better(self, refused: Tokens) -> Tokens | None:
        """Others than these, which the service refused; None where that is not to be expected."""
        tokens = await asyncio.to_thread(self._read)
        if tokens.access != refused.access:
            return tokens
        if abs(self._now() - tokens.at) < YOUNG or self._resting():
            return None
        return await asyncio.shield(self.renewing(tokens))

    def renewing(self, seen: Tokens) -> asyncio.Task[Tokens]:
        """The one renewal of this process; these are what is to be replaced."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew(seen))
            self._task.add_done_callback(ended)
        return self._task

    async def finish(self) -> None:
        """What was sent is heard out: its answer is the only valid login."""
        if self._task and not self._task.done():
            await asyncio.wait([self._task], timeout=fetch.PATIENCE)

    async def _renew(self, seen: Tokens) -> Tokens:
        lock = self.home.lock
        try:
            async with AsyncFileLock(lock, timeout=TURN, mode=0o600):
                tokens = await asyncio.to_thread(self._read)
                if tokens.access != seen.access and tokens.expires > self._now() + SAFE:
                    return tokens
                return await self._asked(tokens)
        except Timeout:
            raise self._unreachable("another process does not end renewing this login") from None
        except (OSError, Unavailable) as error:
            why = f"{lock}: {error.strerror}" if isinstance(error, OSError) else str(error)
            raise self._unreachable(why) from None

    async def _asked(self, old: Tokens) -> Tokens:
        """Under the lock."""
        if not old.refresh:
            return await self._buried(old, "no_refresh_token")
        try:
            new = await self._refresh(old.refresh)
        except Unreachable as error:
            raise self._unreachable(str(error)) from None
        except Dead as dead:
            for pause in SETTLE if dead.code == "refresh_token_reused" else ():
                await asyncio.sleep(pause)
                found = await asyncio.to_thread(self._read)
                if found.refresh != old.refresh:
                    return found
            return await self._buried(old, dead.code)
        new = replace(new, refresh=new.refresh or old.refresh, id=new.id or old.id)
        self._unkept = old, new
        await asyncio.to_thread(self._read)  # which keeps them
        return new

    async def _buried(self, old: Tokens, code: str) -> Tokens:
        await asyncio.to_thread(self.home.bury, old, code)
        raise Dead(code)

    def _resting(self) -> bool:
        """Also where the clock was put back meanwhile: then not for longer."""
        return 0 < self._failed[0] - self._now() <= REST

    def _unreachable(self, why: str) -> Unreachable:
        self._failed = self._now() + REST, why
        return Unreachable(why)

    def _read(self) -> Tokens:
        """What is kept; or what is to be kept there, if that cannot be done now."""
        unkept = self._unkept
        if unkept is None:
            return self.home.read()
        old, new = unkept
        try:
            self.home.keep(old, new)
        except Unavailable as error:
            logging.error(f"A renewed login is not kept, and lost when the relay ends: {error}")
            return new
        self._unkept = None
        return self.home.read()


def early(tokens: Tokens) -> float:
    """Seconds before the end at which this account's tokens are renewed."""
    draw = int.from_bytes(sha256(tokens.name.encode()).digest()[:4]) / 2**32
    life = tokens.expires - tokens.at if tokens.at else float("inf")
    return min(EARLY + draw * SPREAD, life * SHARE)


def ended(task: asyncio.Task[Tokens]) -> None:
    """Said here, as maybe nobody waits for it."""
    if not task.cancelled() and (error := task.exception()):
        logging.warning(f"A ChatGPT login was not renewed: {error}")
