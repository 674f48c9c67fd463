"""The pool of the user's accounts: which of them serves a request.

OpenAI's reports decide: both windows of the quota, and refusals until they end. Accounts other than
the selected one serve only if the settings allow it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from addons.accounts.lease import Lease
from addons.accounts.member import AccountSummary, Member
from addons.accounts.quota import Limit
from addons.accounts.registry import AccountNotFound, AccountRegistry
from addons.accounts.strategy import order_accounts
from addons.accounts.tokens import Tokens
from addons.config import AccountStrategy

MAX_WAIT = 10.0  # s that a request waits for a slot, longer than a burst lasts
MAX_SESSIONS = 4096  # conversations whose account the pool remembers
RETRY_SECONDS = 5.0  # s until a client that got no account may try again
LOGIN_HINT = (
    "log in at /auth/login, or let relay_chatgpt_auth (CODEX_RELAY_CHATGPT_AUTH) name an auth.json"
    " of Codex"
)


class AccountUnavailable(Exception):
    """No account can serve the request now. `status`, `code` and `message` are for the client's
    error; `resets_at`: Unix seconds at which the client may try again, None if unknown."""

    def __init__(
        self, status: int, code: str, message: str, resets_at: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.resets_at = status, code, message, resets_at


def no_free_slot(now: float) -> AccountUnavailable:
    message = "The account is serving as many requests as relay_account_limit allows: try again."
    return AccountUnavailable(429, "rate_limit_exceeded", message, now + RETRY_SECONDS)


def limits_reached(members: list[Member], limits: list[Limit]) -> AccountUnavailable:
    first = min(limits, key=lambda limit: limit.until)
    message = f"The usage limit of {display_names(members)} is reached."
    return AccountUnavailable(429, first.reason, message, first.until)


def login_unreachable(why: str, now: float) -> AccountUnavailable:
    return AccountUnavailable(503, "login_unreachable", why, now + RETRY_SECONDS)


def logins_ended(members: list[Member]) -> AccountUnavailable:
    reasons = ", ".join(dict.fromkeys(str(member.end_reason) for member in members))
    message = f"The login of {display_names(members)} has ended ({reasons}): {LOGIN_HINT}."
    return AccountUnavailable(401, "no_account", message)


def display_names(members: list[Member]) -> str:
    return ", ".join(member.display_name for member in members)


@dataclass(frozen=True)
class PoolRules:
    """The user's settings for the pool."""

    account: str = ""  # id or e-mail address of the account that serves
    strategy: AccountStrategy = "selected"
    failover: bool = False  # whether another account may serve if the first one cannot
    max_in_flight: int = 4  # requests in flight at one account
    max_wait: float = MAX_WAIT  # s


class AccountPool:
    def __init__(
        self, registry: AccountRegistry, rules: PoolRules, now: Callable[[], float] = time.time
    ) -> None:
        self.registry, self.rules, self.now = registry, rules, now
        self.last_viewed_at = 0.0  # Unix seconds at which somebody last looked at the accounts
        # By session, the name of the account that served it last; the oldest use first.
        self._session_accounts: OrderedDict[str, str] = OrderedDict()
        self._conversation_count = 0
        self._waiters: set[asyncio.Future[None]] = set()  # of requests that wait for a slot

    def summaries(self) -> list[AccountSummary]:
        return [self.summary_of(member) for member in self.registry.members.values()]

    def snapshot(self) -> dict[str, Any]:
        """The reply of `GET /auth/accounts`. Usage pages are queried soon after it."""
        self.last_viewed_at = self.now()
        accounts = [summary.to_json() for summary in self.summaries()]
        rules = {"strategy": self.rules.strategy, "failover": self.rules.failover}
        return {"accounts": accounts, "login": None} | rules

    async def add_login(self, tokens: Tokens) -> str:
        """Save a login; returns its account's id. Raises LoginStoreUnavailable."""
        name = await self.registry.add_login(tokens)
        self._wake_waiters()
        return name

    async def select_account(self, id: str) -> None:
        """Let this account serve, even conversations that others have served so far. Raises
        AccountNotFound, LoginStoreUnavailable."""
        if self.rules.account:
            raise AccountNotFound("relay_account (CODEX_RELAY_ACCOUNT) selects the account")
        await self.registry.select_account(id)
        self._session_accounts.clear()
        self._wake_waiters()

    async def log_out(self, id: str) -> None:
        """Forget a login. Raises AccountNotFound, LoginStoreUnavailable."""
        await self.registry.log_out(id)

    async def acquire_leases(self, session: str) -> list[Lease]:
        """Leases for a request of this conversation ("" if it has no session), the best first.
        Without failover there is only one. The first has a slot reserved; the caller releases all
        of them. Raises AccountUnavailable."""
        deadline = time.monotonic() + self.rules.max_wait
        unreachable: dict[str, str] = {}  # by account: why its login cannot be renewed now
        while True:
            members = await self._await_ready_members(session, unreachable, deadline)
            leases = [Lease(member, self, session) for member in members]
            leases[0].reserve_slot()
            faults = await asyncio.gather(*(member.ensure_valid_tokens() for member in members))
            if faults[0] is None:
                pairs = zip(leases, faults, strict=True)
                return [lease for lease, fault in pairs if fault is None]
            leases[0].release()
            if faults[0]:
                unreachable[members[0].name] = faults[0]

    async def _await_ready_members(
        self, session: str, unreachable: dict[str, str], deadline: float
    ) -> list[Member]:
        """The accounts for a request, the best first, only one without failover. Waits until the
        first can serve, or until the deadline in monotonic seconds; after that, failover leaves
        those that can. Raises AccountUnavailable."""
        while True:
            await self.registry.reload()
            members = self._ordered_members(session, unreachable)
            allowed = members if self.rules.failover else members[:1]
            remaining = deadline - time.monotonic()
            if self._can_serve(members[0]):
                return allowed
            if remaining <= 0:
                break
            await self._wait_for_slot(self._wait_seconds(members[0], remaining))
        ready = [member for member in allowed if self._can_serve(member)]
        if not ready:
            raise no_free_slot(self.now())
        return ready

    async def background_lease(self, member: Member) -> Lease | None:
        """A lease of this account for requests that need no slot; None if its login is not
        valid."""
        fault = await member.ensure_valid_tokens()
        return Lease(member, self, "") if fault is None else None

    def summary_of(self, member: Member) -> AccountSummary:
        selected = member.name == self._selected_name()
        return member.summarize(self.now(), self.rules.max_in_flight, selected=selected)

    def request_started(self, member: Member, session: str) -> None:
        member.last_used_at = self.now()
        self._conversation_count += session not in self._session_accounts
        if session:
            self._session_accounts[session] = member.name
            self._session_accounts.move_to_end(session)
        if len(self._session_accounts) > MAX_SESSIONS:
            self._session_accounts.popitem(last=False)

    def slot_released(self, member: Member) -> None:
        member.in_flight -= 1
        self._wake_waiters()

    def _ordered_members(self, session: str, unreachable: dict[str, str]) -> list[Member]:
        """The usable accounts, the best first, at least one. Raises AccountUnavailable."""
        members, now = self._usable_members(unreachable), self.now()
        names = order_accounts(
            self.rules.strategy,
            [member.current_load(now, self.rules.max_in_flight) for member in members],
            session=session,
            previous=self._session_accounts.get(session),
            selected=self._selected_name(),
            conversation_count=self._conversation_count,
        )
        return [self.registry.members[name] for name in names]

    def _usable_members(self, unreachable: dict[str, str]) -> list[Member]:
        """The accounts that the rules allow and that have a login and quota left, in no order.
        Raises AccountUnavailable if there are none."""
        selected = self.registry.members.get(self._selected_name())
        if selected is None:
            raise AccountUnavailable(401, "no_account", self._no_account_message())
        allows_others = self.rules.strategy != "selected" or self.rules.failover
        allowed = list(self.registry.members.values()) if allows_others else [selected]
        alive = [member for member in allowed if member.end_reason is None]
        if not alive:
            raise logins_ended(allowed)
        reachable = [member for member in alive if member.name not in unreachable]
        now = self.now()
        if not reachable:
            raise login_unreachable(next(iter(unreachable.values())), now)
        limits = [(member.current_limit(now), member) for member in reachable]
        usable = [member for limit, member in limits if limit is None or limit.is_burst]
        if not usable:
            raise limits_reached(reachable, [limit for limit, _ in limits if limit])
        return usable

    def _selected_name(self) -> str:
        """The name of the account that the settings select, else the user, else of the first one;
        "" if the settings' account is not logged in or there is no account."""
        members, setting = self.registry.members, self.rules.account
        if setting:
            by_email = {member.tokens.email.lower(): name for name, member in members.items()}
            return setting if setting in members else by_email.get(setting.lower(), "")
        choice = self.registry.selected_name
        return choice if choice in members else next(iter(members), "")

    def _no_account_message(self) -> str:
        if self.rules.account and self.registry.members:
            return (
                f"relay_account names {self.rules.account}, which is not logged in: {LOGIN_HINT}."
            )
        why = f" ({self.registry.problem})" if self.registry.problem else ""
        return f"No ChatGPT account is logged in{why}: {LOGIN_HINT}."

    def _can_serve(self, member: Member) -> bool:
        return member.can_serve(self.now(), self.rules.max_in_flight)

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _wait_seconds(self, member: Member, remaining: float) -> float:
        """Seconds to wait for this account before the next look at all of them."""
        limit = member.current_limit(self.now())
        return min(remaining, max(limit.until - self.now(), 0.01)) if limit else remaining

    async def _wait_for_slot(self, seconds: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait([waiter], timeout=seconds)
        finally:
            self._waiters.discard(waiter)
