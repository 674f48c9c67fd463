"""Whether and when a failed attempt is repeated: a pure function of the failure.

translate's table `FAILURE_RULES` says which failures may be retried.
"""

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from mitmproxy.http import HTTPFlow, Response

from translate import FailureRule, failure_rule, is_lasting_fault

# Errors of replies with status 200.
EARLY_END = "the reply ended before it said anything"
EMPTY_STREAM = "the reply is an empty stream"  # without one event
LASTING_ATTEMPTS = 2  # at a host where nothing listens, or that is not there
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0  # s; a provider's own Retry-After may be longer

# The flow, the error of a failed connection, the number of attempts so far → seconds until the
# next attempt, or None for no further attempt. Without an error, the response is the failure.
type RetryPolicy = Callable[[HTTPFlow, str | None, int], float | None]


def build_retry_policy(
    max_attempts: int,
    budget: float,
    *,
    now: Callable[[], float] = time.time,
) -> RetryPolicy:
    """A policy of at most `max_attempts`, each of which begins within `budget` seconds after the
    client's request."""

    def retry_delay(flow: HTTPFlow, error: str | None, attempt: int) -> float | None:
        reply = None if error else flow.response
        limit = min(
            max_attempts, LASTING_ATTEMPTS if is_lasting_fault(error or "") else max_attempts
        )
        if attempt >= limit or (reply and not is_repeatable(reply)):
            return None
        retry_after = parse_retry_after(reply, now()) if reply else None
        delay = retry_after or max(
            backoff_wait(attempt), reply_rule(reply).min_wait if reply else 0.0
        )
        elapsed = now() - (flow.request.timestamp_end or flow.request.timestamp_start)
        return delay if elapsed + delay <= budget else None

    return retry_delay


def backoff_wait(attempt: int) -> float:
    """Seconds before the next attempt if the provider asks for no other wait."""
    return min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT)


def reply_rule(reply: Response) -> FailureRule:
    return failure_rule(reply.status_code, reply.get_content(strict=False) or b"")


def is_repeatable(reply: Response) -> bool:
    """Whether the same request may succeed later. The provider's hint overrules the status, except
    where the rule is "never"."""
    rule = reply_rule(reply)
    hint = {"true": True, "false": False}.get(reply.headers.get("x-should-retry", "").lower())
    return rule.retry == "yes" if hint is None or rule.retry == "never" else hint


def parse_retry_after(reply: Response, now: float) -> float | None:
    """Seconds that the provider asks to wait, 0.0 for a past date; None if it asks for no wait."""
    headers = reply.headers
    readings: tuple[tuple[str, Callable[[str], float]], ...] = (
        ("retry-after-ms", lambda value: float(value) / 1000),
        ("retry-after", float),
        ("retry-after", lambda value: parsedate_to_datetime(value).timestamp() - now),
    )
    for name, read in readings:
        try:
            seconds = read(headers[name])
        except (KeyError, ValueError, OverflowError):  # the last: a date too far in the future
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return None
