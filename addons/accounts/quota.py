"""An account's quota as OpenAI reports it: in headers, in events, on its usage page, in a 429.

The relay only repeats what OpenAI reported; it counts nothing itself (CHATGPT_BACKEND.md).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from translate import ACCOUNT_LIMITS, FAILURE_RULES, read_failure

BURST_SECONDS = FAILURE_RULES["burst"].min_wait  # length of the limit in a 429 without details
UNKNOWN_RESET_SECONDS = 60.0  # s until the relay retries an account whose reset time is unknown
FULL_PERCENT = 100.0
ACCOUNT_FAMILY = "codex"  # the account's own limits; other families limit single features


@dataclass(frozen=True)
class QuotaWindow:
    used_percent: float
    window_minutes: int | None = None
    resets_at: float | None = None  # Unix seconds


@dataclass(frozen=True)
class Quota:
    primary: QuotaWindow | None  # the short window, usually five hours
    secondary: QuotaWindow | None  # the long window, usually a week
    credits: dict[str, Any] | None  # unchanged from OpenAI's report
    observed_at: float  # Unix seconds of the report

    @property
    def used_percent(self) -> float:
        """The used share of the fuller window."""
        return max((window.used_percent for window in self._windows), default=0.0)

    def limited_until(self, now: float) -> float | None:
        """Unix seconds until which the quota is used up, None if some of it is left."""
        if self.credits and (self.credits.get("unlimited") or self.credits.get("has_credits")):
            return None  # with credits, OpenAI serves an account beyond its windows
        full = [window for window in self._windows if window.used_percent >= FULL_PERCENT]
        resets = [window.resets_at for window in full if window.resets_at]
        return max((reset for reset in resets if reset > now), default=None)

    def next_reset_after(self, now: float) -> float:
        """Unix seconds at which the next window begins, infinity if unknown."""
        resets = [window.resets_at for window in self._windows if window.resets_at]
        return min((reset for reset in resets if reset > now), default=math.inf)

    def merged_with(self, older: "Quota | None") -> "Quota":
        """This report, completed with the older one's credits and unexpired windows."""
        if older is None:
            return self
        return replace(
            self,
            primary=self.primary or unexpired_window(older.primary, self.observed_at),
            secondary=self.secondary or unexpired_window(older.secondary, self.observed_at),
            credits=older.credits if self.credits is None else self.credits,
        )

    def to_json(self) -> dict[str, Any]:
        """The field "quota" of an account in `GET /auth/accounts`; credits are a field of their own
        there."""
        windows = {"primary": self.primary, "secondary": self.secondary}
        fields = {name: window and asdict(window) for name, window in windows.items()}
        return fields | {"at": self.observed_at}

    @property
    def _windows(self) -> list[QuotaWindow]:
        return [window for window in (self.primary, self.secondary) if window]


@dataclass(frozen=True)
class Limit:
    """OpenAI refuses the account's requests until a point in time."""

    reason: str
    until: float  # Unix seconds

    @property
    def is_burst(self) -> bool:
        """Whether the limit is short enough to wait for."""
        return self.reason not in ACCOUNT_LIMITS


def unexpired_window(window: QuotaWindow | None, now: float) -> QuotaWindow | None:
    has_reset = window and window.resets_at is not None and window.resets_at <= now
    return None if has_reset else window


def quota_from_headers(headers: Mapping[str, str], now: float) -> Quota | None:
    """The quota in the `x-codex-primary-…`, `x-codex-secondary-…` and `x-codex-credits-…` headers,
    None if there are none."""

    def window_from_headers(name: str) -> QuotaWindow | None:
        prefix = f"x-codex-{name}-"
        return window_or_none(
            headers.get(f"{prefix}used-percent"),
            parse_number(headers.get(f"{prefix}window-minutes")),
            headers.get(f"{prefix}reset-at"),
            headers.get(f"{prefix}reset-after-seconds"),
            now,
        )

    prefix = "x-codex-credits-"
    credits = {
        "has_credits": parse_bool(headers.get(f"{prefix}has-credits")),
        "unlimited": parse_bool(headers.get(f"{prefix}unlimited")),
        "balance": headers.get(f"{prefix}balance"),
    }
    credits = {name: value for name, value in credits.items() if value is not None}
    primary, secondary = window_from_headers("primary"), window_from_headers("secondary")
    return quota_or_none(primary, secondary, credits or None, now)


def quota_from_event(event: Mapping[str, Any], now: float) -> Quota | None:
    """The quota in a `codex.rate_limits` event, None for other events and for other limits."""
    family = event.get("metered_limit_name") or event.get("limit_name") or ACCOUNT_FAMILY
    limits = event.get("rate_limits")
    if event.get("type") != "codex.rate_limits" or family != ACCOUNT_FAMILY:
        return None
    if not isinstance(limits, dict):
        return None
    return quota_or_none(
        window_from_json(limits.get("primary"), now),
        window_from_json(limits.get("secondary"), now),
        event.get("credits", limits.get("credits")),
        now,
    )


def quota_from_usage_page(page: Mapping[str, Any], now: float) -> Quota | None:
    """The quota on the page `/wham/usage`, None if it has none."""
    limits = page.get("rate_limit")
    limits = limits if isinstance(limits, dict) else {}
    return quota_or_none(
        window_from_json(limits.get("primary_window"), now),
        window_from_json(limits.get("secondary_window"), now),
        page.get("credits"),
        now,
    )


def limit_from_refusal(status: int, body: bytes, now: float) -> Limit | None:
    """The account's limit in a refusal; None if the request itself is the cause."""
    if status != 429:
        return None
    failure = read_failure("", status, body)
    if failure.code not in ACCOUNT_LIMITS:
        return Limit(failure.code, now + BURST_SECONDS)
    fields = failure.extra_fields
    until = reset_time(fields.get("resets_at"), fields.get("resets_in_seconds"), now)
    return Limit(failure.code, until if until and until > now else now + UNKNOWN_RESET_SECONDS)


def quota_or_none(
    primary: QuotaWindow | None, secondary: QuotaWindow | None, credits: Any, now: float
) -> Quota | None:
    valid_credits = credits if isinstance(credits, dict) and credits else None
    if not (primary or secondary or valid_credits):
        return None
    return Quota(primary, secondary, valid_credits, now)


def window_from_json(window: Any, now: float) -> QuotaWindow | None:
    """A window in the form of events and of the usage page."""
    if not isinstance(window, dict):
        return None
    seconds = parse_number(window.get("limit_window_seconds"))
    minutes = parse_number(window.get("window_minutes"))
    return window_or_none(
        window.get("used_percent"),
        seconds / 60 if minutes is None and seconds is not None else minutes,
        window.get("reset_at", window.get("resets_at")),
        window.get("reset_after_seconds", window.get("resets_in_seconds")),
        now,
    )


def window_or_none(
    used_percent: Any, minutes: float | None, reset_at: Any, reset_after: Any, now: float
) -> QuotaWindow | None:
    """The window; None for an empty one, which OpenAI sends for plans with a single window."""
    percent, resets_at = parse_number(used_percent), reset_time(reset_at, reset_after, now)
    if percent is None or not (percent or minutes or resets_at):
        return None
    return QuotaWindow(percent, int(minutes) if minutes else None, resets_at)


def reset_time(reset_at: Any, reset_after: Any, now: float) -> float | None:
    """Unix seconds of a reset, which OpenAI gives as a time or as the seconds until then."""
    seconds = parse_number(reset_after)
    return parse_number(reset_at) or (None if seconds is None else now + seconds)


def parse_number(value: Any) -> float | None:
    """A finite number that is not negative, None for anything else."""
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def parse_bool(text: str | None) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get((text or "").lower())
