"""One account in the pool: what is known of it now."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from addons.accounts.cookies import Jar
from addons.accounts.quota import Limit, Quota
from addons.accounts.strategy import Candidate
from addons.accounts.token_refresh import Fresh
from addons.accounts.tokens import Tokens

type State = Literal["ready", "busy", "limited", "dead"]


@dataclass(frozen=True)
class Account:
    """What may be shown of an account."""

    id: str
    email: str
    plan: str
    source: str  # "login", or "codex" for Codex's own file
    selected: bool
    state: State
    reason: str | None
    until: float | None  # Unix seconds, of a state that ends by itself
    expires: float  # Unix seconds, of the access token
    in_flight: int
    quota: Quota | None

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        quota = {"quota": self.quota and self.quota.told()}
        return asdict(self) | quota | {"credits": self.quota and self.quota.credits}


class Member:
    def __init__(self, name: str, source: str, fresh: Fresh, jar: Jar, tokens: Tokens) -> None:
        self.name, self.source, self.fresh, self.jar = name, source, fresh, jar
        self.tokens = tokens
        self.dead: str | None = None
        self.in_flight = 0
        self.used = 0.0  # Unix seconds at which it last served
        self.asked = 0.0  # Unix seconds at which its usage page was last asked for
        self.quota: Quota | None = None
        self._learned: Limit | None = None

    def hear(self, quota: Quota | None) -> None:
        self.quota = quota.after(self.quota) if quota else self.quota

    def learn(self, limit: Limit | None, now: float) -> None:
        """A refusal stands until its end, whatever a page says; a short one does not hide it."""
        held = self.limit(now)
        if limit and (held is None or held.brief or not limit.brief):
            self._learned = limit

    def begin_anew(self) -> None:
        """After a login: what was learned is of the one before, of another plan maybe."""
        self.quota, self._learned = None, None

    def limit(self, now: float) -> Limit | None:
        """What holds it up now."""
        learned = self._learned if self._learned and self._learned.until > now else None
        until = self.quota and self.quota.limited(now)
        full = Limit("usage_limit_reached", until) if until else None
        lasting = [limit for limit in (learned, full) if limit and not limit.brief]
        return max(lasting, key=lambda limit: limit.until, default=learned)

    def ready(self, now: float, places: int) -> bool:
        return self.dead is None and self.in_flight < places and self.limit(now) is None

    def candidate(self, now: float, places: int) -> Candidate:
        used = self.quota.used if self.quota else 0.0
        resets = self.quota.resets(now) if self.quota else float("inf")
        return Candidate(self.name, self.ready(now, places), used, resets, self.in_flight)

    def shown(self, now: float, places: int, *, selected: bool) -> Account:
        limit = self.limit(now)
        state: State = "ready" if self.ready(now, places) else "busy"
        if limit and not limit.brief:
            state = "limited"
        reason, until = (limit.reason, limit.until) if limit else (None, None)
        if self.dead is not None:
            state, reason, until = "dead", self.dead, None
        told = self.tokens
        return Account(
            *(self.name, told.email, told.plan, self.source, selected, state, reason, until),
            *(told.expires, self.in_flight, self.quota),
        )
