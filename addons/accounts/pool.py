"""Which of the user's accounts serves a request.

What the service tells rules: both windows of its quota, and its refusals until they end. Another
account than the chosen one serves only where the user wants that.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from addons.accounts.lease import Seat
from addons.accounts.locked_file import Unavailable
from addons.accounts.member import Account, Member
from addons.accounts.noseat import CURE, NoSeat, limited, no_place, over, spoken, unreachable
from addons.accounts.oauth import Dead, Unreachable
from addons.accounts.registry import Roster
from addons.accounts.strategy import order
from addons.accounts.tokens import Tokens
from addons.config.account_settings import Strategy

PATIENCE = 10.0  # s that a request waits for a place, which is longer than a burst lasts
SESSIONS = 4096  # whose accounts are remembered


@dataclass(frozen=True)
class Rules:
    """As the user wants it."""

    account: str = ""  # id or e-mail address of the one that serves
    strategy: Strategy = "selected"
    failover: bool = False  # whether others may serve where this one cannot
    limit: int = 4  # requests in flight at one account
    patience: float = PATIENCE


class Pool:
    def __init__(self, roster: Roster, rules: Rules, now: Callable[[], float] = time.time) -> None:
        self.roster, self.rules, self._now = roster, rules, now
        self.looked = 0.0  # Unix seconds at which somebody wanted to see the accounts
        self._served: OrderedDict[str, str] = OrderedDict()  # session → account
        self._turn = 0  # sessions that began
        self._waiting: set[asyncio.Future[None]] = set()

    def known(self) -> list[Account]:
        return [self._shown(member) for member in self.roster.members.values()]

    def snapshot(self) -> dict[str, Any]:
        """What `GET /auth/accounts` answers; whoever asks wants new quotas soon."""
        self.looked = self._now()
        told = {"accounts": [account.told() for account in self.known()], "login": None}
        return told | {"strategy": self.rules.strategy, "failover": self.rules.failover}

    async def add(self, tokens: Tokens) -> str:
        """A login; its account's id. Raises Unavailable."""
        name = await self.roster.add(tokens)
        self._wake()
        return name

    async def select(self, id: str) -> None:
        """Let this account serve, conversations that others served included. Raises LookupError,
        Unavailable."""
        if self.rules.account:
            raise LookupError("relay_account (CODEX_RELAY_ACCOUNT) selects the account")
        await self.roster.select(id)
        self._served.clear()
        self._wake()

    async def logout(self, id: str) -> None:
        """Forget a login. Raises LookupError, Unavailable."""
        await self.roster.logout(id)

    async def seats(self, session: str) -> list[Seat]:
        """Places for a request of this conversation ("" where there is none), the best first: one
        where failover is off. Each is given back by `end`. Raises NoSeat."""
        end, away = time.monotonic() + self.rules.patience, dict[str, str]()
        while True:
            await self.roster.look()
            members = self._ordered(session, away)
            left = end - time.monotonic()
            if not self._ready(members[0]):
                if left > 0:
                    await self._wait(self._pause(members[0], left))
                    continue
                members = [one for one in members if self.rules.failover and self._ready(one)]
            if not members:
                raise no_place(self._now())
            members = members if self.rules.failover else members[:1]
            seats = [self._seat(member, session) for member in members]
            seats[0].take()
            faults = await asyncio.gather(*(valid(member) for member in members))
            if faults[0] is None:
                return [seat for seat, fault in zip(seats, faults, strict=True) if fault is None]
            seats[0].end()
            if faults[0]:
                away[members[0].name] = faults[0]

    async def seat(self, member: Member) -> Seat | None:
        """At this account, for what needs no place; None where its login does not serve."""
        return self._seat(member, "") if await valid(member) is None else None

    def _ordered(self, session: str, away: dict[str, str]) -> list[Member]:
        """Who may serve, the best first, at least one. Raises NoSeat."""
        usable, now = self._usable(away), self._now()
        names = order(
            self.rules.strategy,
            [member.candidate(now, self.rules.limit) for member in usable],
            session=session,
            served=self._served.get(session),
            selected=self._selected(),
            turn=self._turn,
        )
        return [self.roster.members[name] for name in names]

    def _usable(self, away: dict[str, str]) -> list[Member]:
        members, now = self.roster.members, self._now()
        selected = members.get(self._selected())
        if selected is None:
            raise NoSeat(401, "no_account", self._nobody())
        free = self.rules.strategy != "selected" or self.rules.failover
        asked = list(members.values()) if free else [selected]
        alive = [member for member in asked if member.dead is None]
        if not alive:
            raise over(asked)
        here = [member for member in alive if member.name not in away]
        if not here:
            raise unreachable(next(iter(away.values())), now)
        limits = [(member.limit(now), member) for member in here]
        usable = [member for limit, member in limits if limit is None or limit.brief]
        if not usable:
            raise limited(here, [limit for limit, _ in limits if limit])
        return usable

    def _selected(self) -> str:
        members, wanted = self.roster.members, self.rules.account
        if wanted:
            mails = {one.tokens.email.lower(): name for name, one in members.items()}
            return wanted if wanted in members else mails.get(wanted.lower(), "")
        chosen = self.roster.chosen
        return chosen if chosen in members else next(iter(members), "")

    def _nobody(self) -> str:
        if self.rules.account and self.roster.members:
            return f"relay_account names {self.rules.account}, which is not logged in: {CURE}."
        why = f" ({self.roster.trouble})" if self.roster.trouble else ""
        return f"No ChatGPT account is logged in{why}: {CURE}."

    def _ready(self, member: Member) -> bool:
        return member.ready(self._now(), self.rules.limit)

    def _shown(self, member: Member) -> Account:
        selected = member.name == self._selected()
        return member.shown(self._now(), self.rules.limit, selected=selected)

    def _seat(self, member: Member, session: str) -> Seat:
        def began(member: Member) -> None:
            member.used = self._now()
            self._turn += session not in self._served
            if session:
                self._served[session] = member.name
                self._served.move_to_end(session)
            if len(self._served) > SESSIONS:
                self._served.popitem(last=False)

        wired = {"began": began, "left": self._left, "baked": self.roster.baked}
        return Seat(member, self._shown, self._now, **wired)

    def _left(self, member: Member) -> None:
        member.in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _pause(self, member: Member, left: float) -> float:
        """Seconds to wait for this account, at most."""
        limit = member.limit(self._now())
        return min(left, max(limit.until - self._now(), 0.01)) if limit else left

    async def _wait(self, seconds: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        await asyncio.wait([waiter], timeout=seconds)
        self._waiting.discard(waiter)


async def valid(member: Member) -> str | None:
    """See to valid tokens; None where there are, "" for a login that is over, else why not now."""
    try:
        member.tokens = await member.fresh.tokens()
    except Dead as dead:
        member.dead = dead.code
        return ""
    except (Unreachable, Unavailable) as error:
        return f"The login of {spoken([member])} cannot be renewed now: {error}."
    return None
