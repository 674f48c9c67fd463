"""Whether and when a failed attempt is worth another: a pure function of the failure."""

import math
import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from mitmproxy.http import HTTPFlow, Response

from translate import out_of_quota

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
FIRST, LONGEST = 0.5, 8.0  # s of backoff; a provider's own Retry-After may be longer
BURST = 3.0  # s; as long as a ChatGPT account takes to recover (Soju06/codex-lb#2239)
# An account that has used up its window, which ends in hours or days.
SPENT = re.compile(rb'"usage_limit_reached"')
NAMED = re.compile(rb'"(type|code|status)"\s*:\s*+(?!null)')  # a 429 that says which limit it is


def retry_policy(
    attempts: int,
    budget: float,
    *,
    now: Callable[[], float] = time.time,
) -> Callable[[HTTPFlow, str | None, int], float | None]:
    """At most `attempts` in all, the last one begun within `budget` s of the whole request."""

    def policy(flow: HTTPFlow, error: str | None, attempt: int) -> float | None:
        reply = None if error else flow.response
        if attempt >= attempts or (reply and not passing(reply)):
            return None
        asked = retry_after(reply, now()) if reply else None
        wait = asked or max(min(FIRST * 2 ** (attempt - 1), LONGEST), least(reply))
        spent = now() - (flow.request.timestamp_end or flow.request.timestamp_start)
        return wait if spent + wait <= budget else None

    return policy


def least(reply: Response | None) -> float:
    """Seconds below which a wait is of no use: too much at once, where a 429 has words only."""
    body = reply.get_content(strict=False) if reply and reply.status_code == 429 else None
    return BURST if body and body.lstrip().startswith(b"{") and not NAMED.search(body) else 0.0


def passing(reply: Response) -> bool:
    """Whether the same request may well succeed later."""
    body = reply.get_content(strict=False) or b""
    if reply.status_code in (429, 500) and (out_of_quota(body) or SPENT.search(body)):
        return False
    says = {"true": True, "false": False}.get(reply.headers.get("x-should-retry", "").lower())
    return reply.status_code in TRANSIENT if says is None else says


def retry_after(reply: Response, now: float) -> float | None:
    """Seconds that the provider asks for, or None. A date in the past asks for none."""
    headers = reply.headers
    readings: tuple[tuple[str, Callable[[str], float]], ...] = (
        ("retry-after-ms", lambda value: float(value) / 1000),
        ("retry-after", float),
        ("retry-after", lambda value: parsedate_to_datetime(value).timestamp() - now),
    )
    for name, read in readings:
        try:
            wait = read(headers[name])
        except (KeyError, ValueError, OverflowError):  # the last: dates far away
            continue
        if math.isfinite(wait):
            return max(wait, 0.0)
    return None
