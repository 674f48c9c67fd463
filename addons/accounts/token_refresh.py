"""Renewal of an account's tokens before they expire.

A refresh token is good for one use. So one task in one process sends it, and all others use the
result. The relay never sends it twice: a request without a reply may have used it up.
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

from addons.accounts.locked_file import LoginStoreUnavailable
from addons.accounts.oauth import LoginEnded, LoginServiceUnreachable, refresh_tokens
from addons.accounts.tokens import Tokens
from addons.http_client import REQUEST_TIMEOUT

# The relay renews tokens 5 to 10 minutes before they expire, each account's at its own time.
REFRESH_MARGIN, REFRESH_SPREAD = 300.0, 300.0  # s
MAX_LIFE_SHARE = 0.2  # of a token's life, so that short-lived tokens are not renewed all the time
USABLE_SECONDS = 30.0  # tokens that are valid for longer serve while they are being renewed
RENEWAL_LOCK_TIMEOUT = 45.0  # s that another process may take for its renewal
RETRY_PAUSE = 15.0  # s between a failed renewal and the next one
MIN_TOKEN_AGE = 60.0  # s; if OpenAI refuses a younger token, a newer one would not help
REREAD_PAUSES = (
    0.0,
    0.3,
    1.0,
)  # s before each look at whether another process has saved new tokens


type RefreshCall = Callable[[str], Awaitable[Tokens]]  # oauth.refresh_tokens, or a test's own


class LoginStore(Protocol):
    """Where one account's login is saved. Methods block; they raise LoginEnded and
    LoginStoreUnavailable."""

    @property
    def lock_path(self) -> Path: ...  # locked by the process that renews the tokens

    def read_tokens(self) -> Tokens: ...

    def save_tokens(self, old: Tokens, new: Tokens) -> None: ...  # if the old ones are still there

    def mark_ended(self, old: Tokens, reason: str) -> None: ...


class TokenRefresher:
    """One account's tokens. Methods raise LoginEnded, LoginServiceUnreachable and
    LoginStoreUnavailable."""

    def __init__(
        self,
        store: LoginStore,
        refresh: RefreshCall = refresh_tokens,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.login_store, self._refresh, self._now = store, refresh, now
        self._task: asyncio.Task[Tokens] | None = None
        self._failure: tuple[float, str] = (
            0.0,
            "",
        )  # Unix seconds of the next attempt, and the fault
        self._unsaved: tuple[Tokens, Tokens] | None = None  # the old tokens and the new ones

    async def valid_tokens(self) -> Tokens:
        """Tokens that have not expired by their own account. Renews them in time."""
        tokens = await asyncio.to_thread(self._read_tokens)
        remaining = tokens.expires_at - self._now()
        if not tokens.expires_at or remaining > refresh_margin(tokens):
            return tokens
        if self._is_pausing():
            if remaining > 0:
                return tokens
            raise LoginServiceUnreachable(self._failure[1])
        renewal = self.start_refresh(tokens)
        if remaining > USABLE_SECONDS:
            return tokens
        try:
            return await asyncio.shield(renewal)
        except (LoginServiceUnreachable, LoginStoreUnavailable):
            if tokens.expires_at > self._now():
                return tokens
            raise

    async def replace_refused(self, refused: Tokens) -> Tokens | None:
        """Other tokens than these, which OpenAI refused; None if a renewal would not help."""
        tokens = await asyncio.to_thread(self._read_tokens)
        if tokens.access_token != refused.access_token:
            return tokens
        if abs(self._now() - tokens.issued_at) < MIN_TOKEN_AGE or self._is_pausing():
            return None
        return await asyncio.shield(self.start_refresh(tokens))

    def start_refresh(self, old: Tokens) -> asyncio.Task[Tokens]:
        """The renewal of these tokens, or the one that is already under way in this process."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew(old))
            self._task.add_done_callback(log_failed_refresh)
        return self._task

    async def finish_refresh(self) -> None:
        """Wait for a renewal that is under way: its reply has the only valid tokens."""
        if self._task and not self._task.done():
            await asyncio.wait([self._task], timeout=REQUEST_TIMEOUT)

    async def _renew(self, old: Tokens) -> Tokens:
        lock_path = self.login_store.lock_path
        try:
            async with AsyncFileLock(lock_path, timeout=RENEWAL_LOCK_TIMEOUT, mode=0o600):
                tokens = await asyncio.to_thread(self._read_tokens)
                is_renewed = tokens.access_token != old.access_token
                if is_renewed and tokens.expires_at > self._now() + USABLE_SECONDS:
                    return tokens
                return await self._renew_locked(tokens)
        except Timeout:
            raise self._pause("another process is still renewing this login") from None
        except (OSError, LoginStoreUnavailable) as error:
            why = f"{lock_path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            raise self._pause(why) from None

    async def _renew_locked(self, old: Tokens) -> Tokens:
        """Send the refresh token. The caller holds the lock."""
        if not old.refresh_token:
            return await self._end_login(old, "no_refresh_token")
        try:
            new = await self._refresh(old.refresh_token)
        except LoginServiceUnreachable as error:
            raise self._pause(str(error)) from None
        except LoginEnded as ended:
            return await self._tokens_of_other_process(old, ended.code)
        new = replace(
            new,
            refresh_token=new.refresh_token or old.refresh_token,
            id_token=new.id_token or old.id_token,
        )
        self._unsaved = old, new
        await asyncio.to_thread(self._read_tokens)  # saves the new tokens
        return new

    async def _tokens_of_other_process(self, old: Tokens, code: str) -> Tokens:
        """The tokens that another program has saved instead: Codex renews without the relay's lock
        and writes a moment later. Raises LoginEnded if no newer tokens appear."""
        for pause in REREAD_PAUSES if code == "refresh_token_reused" else ():
            await asyncio.sleep(pause)
            tokens = await asyncio.to_thread(self._read_tokens)
            if tokens.refresh_token != old.refresh_token:
                return tokens
        return await self._end_login(old, code)

    async def _end_login(self, old: Tokens, code: str) -> Tokens:
        await asyncio.to_thread(self.login_store.mark_ended, old, code)
        raise LoginEnded(code)

    def _is_pausing(self) -> bool:
        """Whether the last failure is less than RETRY_PAUSE ago. A clock that is put back does not
        lengthen the pause."""
        return 0 < self._failure[0] - self._now() <= RETRY_PAUSE

    def _pause(self, why: str) -> LoginServiceUnreachable:
        """Start the pause before the next renewal; returns the error to raise."""
        self._failure = self._now() + RETRY_PAUSE, why
        return LoginServiceUnreachable(why)

    def _read_tokens(self) -> Tokens:
        """The saved tokens. If renewed tokens are not saved yet, save them first, and return them
        if that fails."""
        if self._unsaved is None:
            return self.login_store.read_tokens()
        old, new = self._unsaved
        try:
            self.login_store.save_tokens(old, new)
        except LoginStoreUnavailable as error:
            logging.error(f"A renewed login is not saved, and lost when the relay ends: {error}")
            return new
        self._unsaved = None
        return self.login_store.read_tokens()


def refresh_margin(tokens: Tokens) -> float:
    """Seconds before expiry at which this account's tokens are renewed."""
    fraction = int.from_bytes(sha256(tokens.account_name.encode()).digest()[:4]) / 2**32  # 0 to 1
    life = tokens.expires_at - tokens.issued_at if tokens.issued_at else float("inf")
    return min(REFRESH_MARGIN + fraction * REFRESH_SPREAD, life * MAX_LIFE_SHARE)


def log_failed_refresh(task: asyncio.Task[Tokens]) -> None:
    """Log the failure of a renewal, for which possibly no request waits."""
    if not task.cancelled() and (error := task.exception()):
        logging.warning(f"A ChatGPT login was not renewed: {error}")
