"""What the service tells of an account's quota: in headers, in events, on its usage page, in a 429.

All of it is only what was told; nothing here counts by itself (CHATGPT_BACKEND.md).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

BURST = 3.0  # s; a 429 with no more than a message is about requests at once, and soon over
UNTOLD = 60.0  # s until an account is tried again that is at its limit for a time not told
SPENT = 100.0  # percent
FAMILY = "codex"  # the account's own limits; other families are those of single features
LIMITS = ("usage_limit_reached", "usage_not_included")  # errors that last; all others are bursts


@dataclass(frozen=True)
class Window:
    used_percent: float
    window_minutes: int | None = None
    resets_at: float | None = None  # Unix seconds


@dataclass(frozen=True)
class Quota:
    primary: Window | None  # the short window, mostly of five hours
    secondary: Window | None  # the long one, mostly of a week
    credits: dict[str, Any] | None  # as told
    at: float  # Unix seconds at which this was heard

    @property
    def used(self) -> float:
        """Percent, of the window of which more is used."""
        return max((window.used_percent for window in self._windows), default=0.0)

    def limited(self, now: float) -> float | None:
        """Unix seconds until which there is nothing left, None where there is."""
        if self.credits and (self.credits.get("unlimited") or self.credits.get("has_credits")):
            return None  # with these the service goes on
        spent = (w.resets_at for w in self._windows if w.used_percent >= SPENT and w.resets_at)
        return max((until for until in spent if until > now), default=None)

    def resets(self, now: float) -> float:
        """Unix seconds at which the next window begins, infinity where none is told."""
        told = (w.resets_at for w in self._windows if w.resets_at and w.resets_at > now)
        return min(told, default=math.inf)

    def after(self, older: "Quota | None") -> "Quota":
        """This, and what only the older one told and what is not over yet."""
        if older is None:
            return self
        return replace(
            self,
            primary=self.primary or lasting(older.primary, self.at),
            secondary=self.secondary or lasting(older.secondary, self.at),
            credits=older.credits if self.credits is None else self.credits,
        )

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: value for name, value in asdict(self).items() if name != "credits"}

    @property
    def _windows(self) -> list[Window]:
        return [window for window in (self.primary, self.secondary) if window]


@dataclass(frozen=True)
class Limit:
    """The service refused, and will until then."""

    reason: str
    until: float  # Unix seconds

    @property
    def brief(self) -> bool:
        """Worth waiting for."""
        return self.reason not in LIMITS


def lasting(window: Window | None, now: float) -> Window | None:
    over = window is None or (window.resets_at is not None and window.resets_at <= now)
    return None if over else window


def of_headers(headers: Mapping[str, str], now: float) -> Quota | None:
    """From `x-codex-primary-used-percent` and its like; None where there are none."""

    def window(name: str) -> Window | None:
        start = f"x-codex-{name}-"
        return window_of(
            headers.get(f"{start}used-percent"),
            number(headers.get(f"{start}window-minutes")),
            headers.get(f"{start}reset-at"),
            headers.get(f"{start}reset-after-seconds"),
            now,
        )

    start = "x-codex-credits-"
    credits = {
        "has_credits": truth(headers.get(f"{start}has-credits")),
        "unlimited": truth(headers.get(f"{start}unlimited")),
        "balance": headers.get(f"{start}balance"),
    }
    credits = {name: value for name, value in credits.items() if value is not None}
    return quota(window("primary"), window("secondary"), credits or None, now)


def of_event(event: Mapping[str, Any], now: float) -> Quota | None:
    """From a `codex.rate_limits` event; None for one that is about something else."""
    family = event.get("metered_limit_name") or event.get("limit_name") or FAMILY
    limits = event.get("rate_limits")
    if event.get("type") != "codex.rate_limits" or family != FAMILY or not isinstance(limits, dict):
        return None
    return quota(
        window_in(limits.get("primary"), now),
        window_in(limits.get("secondary"), now),
        event.get("credits", limits.get("credits")),
        now,
    )


def of_usage(page: Mapping[str, Any], now: float) -> Quota | None:
    """From what `/wham/usage` answers."""
    limits = page.get("rate_limit")
    limits = limits if isinstance(limits, dict) else {}
    return quota(
        window_in(limits.get("primary_window"), now),
        window_in(limits.get("secondary_window"), now),
        page.get("credits"),
        now,
    )


def refused(status: int, body: bytes, now: float) -> Limit | None:
    """What a refusal says of the account. A fault of the client's says nothing: None."""
    if status != 429:
        return None
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    error = parsed.get("error") if isinstance(parsed, dict) else None
    error = error if isinstance(error, dict) else {}
    reason = next((one for one in LIMITS if one in (error.get("type"), error.get("code"))), "")
    if not reason:
        return Limit("rate_limit_exceeded", now + BURST)
    until = moment(error.get("resets_at"), error.get("resets_in_seconds"), now)
    return Limit(reason, until if until and until > now else now + UNTOLD)


def quota(
    primary: Window | None, secondary: Window | None, credits: Any, now: float
) -> Quota | None:
    told = credits if isinstance(credits, dict) and credits else None
    return Quota(primary, secondary, told, now) if primary or secondary or told else None


def window_in(told: Any, now: float) -> Window | None:
    """A window as events and the usage page have it."""
    if not isinstance(told, dict):
        return None
    seconds = number(told.get("limit_window_seconds"))
    minutes = number(told.get("window_minutes"))
    return window_of(
        told.get("used_percent"),
        seconds / 60 if minutes is None and seconds is not None else minutes,
        told.get("reset_at", told.get("resets_at")),
        told.get("reset_after_seconds", told.get("resets_in_seconds")),
        now,
    )


def window_of(used: Any, minutes: float | None, at: Any, after: Any, now: float) -> Window | None:
    """None where it tells nothing: the service sends empty windows to plans that have but one."""
    percent, until = number(used), moment(at, after, now)
    if percent is None or not (percent or minutes or until):
        return None
    return Window(percent, int(minutes) if minutes else None, until)


def moment(at: Any, after: Any, now: float) -> float | None:
    """Unix seconds, from a time or from seconds that are left."""
    then, left = number(at), number(after)
    return then or (None if left is None else now + left)


def number(value: Any) -> float | None:
    """None for all that is none, the endless and the negative too."""
    try:
        found = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def truth(text: str | None) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get((text or "").lower())
