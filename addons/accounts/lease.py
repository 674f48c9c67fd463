"""A place at an account, for one request."""

import asyncio
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from mitmproxy.http import Response

from addons.accounts import quota
from addons.accounts.locked_file import Unavailable
from addons.accounts.member import Account, Member
from addons.accounts.oauth import Dead, Unreachable
from addons.accounts.tokens import Tokens


class Seat:
    """`begin` when the request leaves, `end` when its reply has ended, or it was not needed."""

    def __init__(
        self,
        member: Member,
        shown: Callable[[Member], Account],
        now: Callable[[], float],
        *,
        began: Callable[[Member], None],
        left: Callable[[Member], None],
        baked: Callable[[Member], None],
    ) -> None:
        self._member, self._shown, self._now = member, shown, now
        self._began, self._left, self._baked = began, left, baked
        self._place: weakref.finalize[[Member], Seat] | None = None
        self._used: Tokens = member.tokens

    @property
    def account(self) -> Account:
        return self._shown(self._member)

    def take(self) -> None:
        """One of the account's places, which is given back by `end`, or when the seat is lost."""
        if self._place is None or not self._place.alive:
            self._member.in_flight += 1
            self._place = weakref.finalize(self, self._left, self._member)
            self._place.atexit = False

    def begin(self) -> None:
        """Before each attempt."""
        self.take()
        self._began(self._member)

    def end(self) -> None:
        """Once or often."""
        if self._place:
            self._place()

    def secrets(self) -> dict[str, str]:
        """The account's headers, of now: they are for the line that sends them."""
        self._used = self._member.tokens
        headers = {
            "authorization": f"Bearer {self._used.access}",
            "chatgpt-account-id": self._used.workspace,
            "cookie": self._member.jar.header(),
        }
        return {name: value for name, value in headers.items() if value}

    def heard(self, reply: Response) -> None:
        """The head of any reply of the service's."""
        self._member.hear(quota.of_headers(reply.headers, self._now()))
        if (lines := reply.headers.get_all("set-cookie")) and self._member.jar.hear(lines):
            self._baked(self._member)

    def refused(self, status: int, body: bytes) -> None:
        """A reply that is no success; only a limit of the account's counts."""
        self._member.learn(quota.refused(status, body, self._now()), self._now())

    def limits(self, event: Mapping[str, Any]) -> None:
        """A `codex.rate_limits` event."""
        self._member.hear(quota.of_event(event, self._now()))

    def renew(self) -> asyncio.Task[bool]:
        """After a 401: whether there are other tokens now, with which to ask once more. It does not
        fail, and may be begun again; it renews once."""
        return asyncio.create_task(self._renewed(self._used))

    async def _renewed(self, refused: Tokens) -> bool:
        try:
            better = await self._member.fresh.better(refused)
        except Dead as dead:
            self._member.dead = dead.code
            return False
        except (Unreachable, Unavailable):
            return False
        if better:
            self._member.tokens = better
        return better is not None
