"""One account of the pool: its login, its cookies, its quota and its requests in flight."""

import re
from dataclasses import asdict, dataclass
from email.message import Message
from email.utils import formatdate
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from types import SimpleNamespace
from typing import Any, Literal
from urllib.request import Request

from addons.accounts.locked_file import LoginStoreUnavailable
from addons.accounts.oauth import LoginEnded, LoginServiceUnreachable
from addons.accounts.quota import Limit, Quota
from addons.accounts.strategy import AccountLoad
from addons.accounts.token_refresh import TokenRefresher
from addons.accounts.tokens import Tokens
from translate import USAGE_LIMIT_REACHED

MAX_COOKIES = 50  # of one account
LAST_DATE = 253_402_300_799  # Unix seconds of the last date that can be written
COOKIE_LINE = re.compile(r"[ -~]{1,4096}")

type AccountState = Literal["ready", "busy", "limited", "dead"]


class AccountCookies:
    """The cookies that OpenAI's service sets for one account. `http.cookiejar` applies the rules
    of hosts, paths and expiry."""

    def __init__(self, url: str, lines: tuple[str, ...] = ()) -> None:
        """`url`: the service's; `lines`: what `persistent_cookies` returned earlier."""
        self._url, self._has_unsaved = url, False
        self._jar = CookieJar(DefaultCookiePolicy(strict_ns_domain=3))
        self.store_cookies(list(lines))
        self._has_unsaved = False

    def store_cookies(self, lines: list[str]) -> None:
        """Store the values of `Set-Cookie` headers."""
        old, headers = self.persistent_cookies(), Message()
        for value in lines:
            if COOKIE_LINE.fullmatch(value):
                headers["Set-Cookie"] = value
        reply: Any = SimpleNamespace(info=lambda: headers)  # the jar reads nothing else of a reply
        self._jar.extract_cookies(reply, self._request())
        for cookie in list(self._jar)[MAX_COOKIES:]:
            self._jar.clear(cookie.domain, cookie.path, cookie.name)
        self._has_unsaved |= self.persistent_cookies() != old

    def cookie_header(self) -> str:
        """The value of the `Cookie` header, "" if there are no cookies."""
        request = self._request()
        self._jar.add_cookie_header(request)
        return str(request.get_header("Cookie", ""))

    def persistent_cookies(self) -> tuple[str, ...]:
        """The cookies that outlast a session, each as a `Set-Cookie` value."""
        return tuple(sorted(set_cookie_line(cookie) for cookie in self._jar if not cookie.discard))

    def take_unsaved(self) -> tuple[str, ...] | None:
        """`persistent_cookies` if replies have changed them since the last call, else None."""
        if not self._has_unsaved:
            return None
        self._has_unsaved = False
        return self.persistent_cookies()

    def mark_unsaved(self) -> None:
        """What `take_unsaved` returned could not be saved: it returns the cookies once more."""
        self._has_unsaved = True

    def _request(self) -> Request:
        return Request(self._url)  # noqa: S310 - it is never sent


def set_cookie_line(cookie: Cookie) -> str:
    # `cookie.value` is None for a cookie without "=", which goes back without one.
    pair = cookie.name if cookie.value is None else f"{cookie.name}={cookie.value}"
    parts = [pair, f"Path={cookie.path}"]
    parts += [f"Domain={cookie.domain}"] if cookie.domain_specified else []
    parts += [f"Expires={formatdate(min(cookie.expires or 0, LAST_DATE), usegmt=True)}"]
    return "; ".join(parts + (["Secure"] if cookie.secure else []))


@dataclass(frozen=True)
class AccountSummary:
    """The facts about an account that pages and replies may show: no secrets."""

    id: str
    email: str
    plan: str
    source: str  # "login", or "codex" for Codex's own file
    selected: bool
    state: AccountState
    reason: str | None
    until: float | None  # Unix seconds at which the state ends by itself
    expires: float  # Unix seconds at which the access token expires
    in_flight: int
    quota: Quota | None

    def to_json(self) -> dict[str, Any]:
        """An entry of `GET /auth/accounts`."""
        quota = {"quota": self.quota and self.quota.to_json()}
        return asdict(self) | quota | {"credits": self.quota and self.quota.credits}


class Member:
    """One account of the pool, with its current state."""

    def __init__(
        self,
        name: str,
        source: str,
        refresher: TokenRefresher,
        cookies: AccountCookies,
        tokens: Tokens,
    ) -> None:
        self.name, self.source, self.refresher, self.cookies = name, source, refresher, cookies
        self.tokens = tokens
        self.end_reason: str | None = None  # why the login can no longer be renewed
        self.in_flight = 0
        self.last_used_at = 0.0  # Unix seconds of its last request
        self.usage_queried_at = 0.0  # Unix seconds of the last query for its usage page
        self.quota: Quota | None = None
        self._refusal_limit: Limit | None = None

    @property
    def display_name(self) -> str:
        return self.tokens.email or self.name

    def set_login(self, tokens: Tokens, end_reason: str | None) -> None:
        """Take over the login as its store has it now."""
        self.tokens, self.end_reason = tokens, end_reason

    async def ensure_valid_tokens(self) -> str | None:
        """Renew the tokens if they are about to expire. Returns None if the tokens are valid, ""
        if the login has ended, and else why it cannot be renewed now."""
        try:
            self.tokens = await self.refresher.valid_tokens()
        except LoginEnded as ended:
            self.end_reason = ended.code
            return ""
        except (LoginServiceUnreachable, LoginStoreUnavailable) as error:
            return f"The login of {self.display_name} cannot be renewed now: {error}."
        return None

    async def replace_refused_tokens(self, refused: Tokens) -> bool:
        """Replace these tokens, which OpenAI refused. Returns whether there are other ones; never
        raises."""
        try:
            tokens = await self.refresher.replace_refused(refused)
        except LoginEnded as ended:
            self.end_reason = ended.code
            return False
        except (LoginServiceUnreachable, LoginStoreUnavailable):
            return False
        if tokens:
            self.tokens = tokens
        return tokens is not None

    def update_quota(self, quota: Quota | None) -> None:
        self.quota = quota.merged_with(self.quota) if quota else self.quota

    def record_limit(self, limit: Limit | None, now: float) -> None:
        """Remember the limit in a refusal until it ends, even if a usage page reports free quota
        before that. A burst does not replace a longer limit."""
        current = self.current_limit(now)
        if limit and (current is None or current.is_burst or not limit.is_burst):
            self._refusal_limit = limit

    def forget_limits(self) -> None:
        """Start afresh after a new login, which may have another plan and other limits."""
        self.quota, self._refusal_limit = None, None

    def current_limit(self, now: float) -> Limit | None:
        """The limit that keeps the account from serving now: the one that ends last; a burst only
        if there is no other. None if there is none."""
        refusal = self._refusal_limit
        refusal = refusal if refusal and refusal.until > now else None
        until = self.quota and self.quota.limited_until(now)
        quota_limit = Limit(USAGE_LIMIT_REACHED, until) if until else None
        long_limits = [limit for limit in (refusal, quota_limit) if limit and not limit.is_burst]
        return max(long_limits, key=lambda limit: limit.until, default=refusal)

    def can_serve(self, now: float, max_in_flight: int) -> bool:
        """Whether it can serve a request now. `max_in_flight`: how many it may serve at once."""
        has_free_slot = self.in_flight < max_in_flight
        return self.end_reason is None and has_free_slot and self.current_limit(now) is None

    def current_load(self, now: float, max_in_flight: int) -> AccountLoad:
        used_percent = self.quota.used_percent if self.quota else 0.0
        next_reset_at = self.quota.next_reset_after(now) if self.quota else float("inf")
        is_ready = self.can_serve(now, max_in_flight)
        return AccountLoad(self.name, is_ready, used_percent, next_reset_at, self.in_flight)

    def summarize(self, now: float, max_in_flight: int, *, selected: bool) -> AccountSummary:
        limit = self.current_limit(now)
        state: AccountState = "ready" if self.can_serve(now, max_in_flight) else "busy"
        if limit and not limit.is_burst:
            state = "limited"
        reason, until = (limit.reason, limit.until) if limit else (None, None)
        if self.end_reason is not None:
            state, reason, until = "dead", self.end_reason, None
        return AccountSummary(
            id=self.name,
            email=self.tokens.email,
            plan=self.tokens.plan,
            source=self.source,
            selected=selected,
            state=state,
            reason=reason,
            until=until,
            expires=self.tokens.expires_at,
            in_flight=self.in_flight,
            quota=self.quota,
        )
