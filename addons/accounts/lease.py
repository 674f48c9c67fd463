"""The use of an account for one request."""

import asyncio
import weakref
from collections.abc import Mapping
from typing import Any, Protocol

from mitmproxy.http import Response

from addons.accounts.member import AccountSummary, Member
from addons.accounts.quota import limit_from_refusal, quota_from_event, quota_from_headers


class LeaseOwner(Protocol):
    """The part of AccountPool that a lease calls."""

    def now(self) -> float: ...

    def summary_of(self, member: Member) -> AccountSummary: ...

    def request_started(self, member: Member, session: str) -> None: ...

    def slot_released(self, member: Member) -> None: ...


class Lease:
    """An account for one request. Call `start_request` before each attempt, and `release` once the
    reply has ended or if no attempt is made."""

    def __init__(self, member: Member, owner: LeaseOwner, session: str) -> None:
        self._member, self._owner, self._session = member, owner, session
        self._reservation: weakref.finalize[[Member], Lease] | None = None
        self._sent_tokens = member.tokens

    @property
    def summary(self) -> AccountSummary:
        return self._owner.summary_of(self._member)

    def reserve_slot(self) -> None:
        """Count as one of the account's requests in flight, until `release` or until the lease is
        garbage."""
        if self._reservation is None or not self._reservation.alive:
            self._member.in_flight += 1
            self._reservation = weakref.finalize(self, self._owner.slot_released, self._member)
            self._reservation.atexit = False

    def start_request(self) -> None:
        """Record that a request leaves."""
        self.reserve_slot()
        self._owner.request_started(self._member, self._session)

    def release(self) -> None:
        """Free the slot. Calling it again does nothing."""
        if self._reservation:
            self._reservation()

    def credential_headers(self) -> dict[str, str]:
        """The headers with the account's current tokens and cookies, to be sent at once."""
        self._sent_tokens = self._member.tokens
        headers = {
            "authorization": f"Bearer {self._sent_tokens.access_token}",
            "chatgpt-account-id": self._sent_tokens.workspace,
            "cookie": self._member.cookies.cookie_header(),
        }
        return {name: value for name, value in headers.items() if value}

    def record_reply_head(self, reply: Response) -> None:
        """Record the quota and the cookies in the head of any reply."""
        self._member.update_quota(quota_from_headers(reply.headers, self._owner.now()))
        self._member.cookies.store_cookies(reply.headers.get_all("set-cookie"))

    def record_refusal(self, status: int, body: bytes) -> None:
        """Record the account's limit in a reply that is not a success, if it reports one."""
        now = self._owner.now()
        self._member.record_limit(limit_from_refusal(status, body, now), now)

    def record_rate_limits(self, event: Mapping[str, Any]) -> None:
        """Record the quota in a `codex.rate_limits` event."""
        self._member.update_quota(quota_from_event(event, self._owner.now()))

    def refresh_login(self) -> asyncio.Task[bool]:
        """Renew the tokens that were sent, after a 401. The result says whether there are other
        tokens for one more attempt. The task never fails. Several leases share one renewal."""
        return asyncio.create_task(self._member.replace_refused_tokens(self._sent_tokens))
