"""Upstream failures: `FAILURE_RULES` is the one table of what the relay does about each of them.

How Codex 0.163 reacts was measured; in `6 × 5` it repeats five attempts six times:

    HTTP 400                         shows the body at once; of `invalid_prompt` only the message
    HTTP 401                         refreshes its own login, so that it never gets an upstream's
    HTTP 429                         hides the message; 6 ×, or once without a Retry-After
    other 4xx                        shows the message after 6 ×
    HTTP 5xx                         6 × 5 in 25 s; hides the message of a 500
    HTTP 503 `server_is_overloaded`  1 × 5; shows "Selected model is at capacity" instead
    failed `invalid_prompt`          shows the message at once; also `cyber_policy`, `bio_policy`
    failed `rate_limit_exceeded`     waits as the message asks, shows it after 6 ×; also `slow_down`
    failed `server_is_overloaded`    shows "Selected model is at capacity" instead, at once
    any other failed                 6 ×, then shows the message as "stream disconnected"
    event `error`                    hides the message; 6 ×

("failed" is the event `response.failed`.) Beside these it understands `context_length_exceeded`,
`insufficient_quota` and `usage_not_included`. As the relay itself retries what may pass, Codex gets
a lasting 5xx as `invalid_prompt`, and an overload or a rate limit as an event. SDK clients get the
upstream's status, from which the SDK chooses the exception that it raises.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from translate.wire import codec
from translate.wire.connection_faults import is_lasting_fault
from translate.wire.error_bodies import (
    error_code,
    error_text,
    has_code,
    is_empty_account,
    is_message_only,
    is_overflow,
    reset_facts,
    stream_error_status,
)
from translate.wire.printable import printable


class BadRequest(ValueError):
    """The client's request cannot be translated; nothing was sent upstream."""

    status: int = 400  # of the reply that the client gets

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class RequestTooLarge(BadRequest):
    """The client's request is past one of the `Limits`."""

    status = 413


def previous_response_missing(id: str) -> BadRequest:
    """The error for a response that was never stored or is no longer stored."""
    return BadRequest(
        f"Previous response with id {id!r} not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


class BadReply(ValueError):
    """The upstream's reply violates its dialect."""


# The table -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class FailureRule:
    """What the relay does about one kind of failure: a row of `FAILURE_RULES`."""

    status: int  # HTTP status for the client
    code: str  # error code for the client
    sdk_status: int | None = None  # HTTP status for clients other than Codex, where it differs
    sdk_code: str = ""  # error code for clients other than Codex, where it differs
    # Whether the same upstream is asked again; its `x-should-retry` overrules all but "never".
    # With "never" the client is not told to wait and try again, either.
    retry: Literal["yes", "no", "never"] = "no"
    min_wait: float = 0.0  # s before the next attempt, where the upstream names no time
    fallback: bool = False  # whether the next candidate is asked
    blocks_account: bool = False  # whether the account stays unused until its limit resets
    renews_login: bool = False  # whether the account's login is renewed and the request repeated
    advice: str = ""  # what the user can do about it
    account_advice: str = ""  # the same, where the relay logs in to an account


USAGE_LIMIT_REACHED = "usage_limit_reached"
EMPTY_ACCOUNT = FailureRule(429, "insufficient_quota", retry="never", fallback=True)
OVERLOADED = FailureRule(
    503, "slow_down", sdk_code="server_is_overloaded", retry="yes", fallback=True
)
BROKEN = replace(OVERLOADED, status=400, code="invalid_prompt", sdk_status=503)
RATE_LIMITED = FailureRule(429, "rate_limit_exceeded", retry="yes", fallback=True)

# The keys are upstream statuses and names of causes. A cause that the body reveals (see
# `BODY_CAUSES`), or a code that it has, counts more than the status.
FAILURE_RULES: Mapping[int | str, FailureRule] = {
    USAGE_LIMIT_REACHED: FailureRule(
        429, USAGE_LIMIT_REACHED, retry="never", fallback=True, blocks_account=True
    ),
    # In a 429 Codex reads the error's type, and asks the user to upgrade.
    "usage_not_included": FailureRule(
        429,
        "usage_not_included",
        sdk_status=403,
        retry="never",
        fallback=True,
        blocks_account=True,
    ),
    "insufficient_quota": EMPTY_ACCOUNT,
    "context_length_exceeded": FailureRule(400, "context_length_exceeded", retry="never"),
    "cyber_policy": FailureRule(400, "cyber_policy"),
    "server_is_overloaded": replace(OVERLOADED, code="server_is_overloaded"),
    # Too many parallel requests of one account: over in about 3 s (Soju06/codex-lb#2239).
    "burst": replace(RATE_LIMITED, min_wait=3.0),
    200: FailureRule(502, "server_error"),  # an error in a stream that names none of these causes
    300: FailureRule(400, "invalid_prompt", advice="check the upstream URL"),  # and any other 3xx
    400: FailureRule(400, "invalid_prompt"),  # and any other 4xx
    401: FailureRule(
        400,
        "invalid_prompt",
        sdk_status=401,
        fallback=True,
        renews_login=True,
        advice="check the key or the login",
        account_advice="the relay's login has expired: log in again at its page /auth/login",
    ),
    402: EMPTY_ACCOUNT,
    403: FailureRule(
        400,
        "invalid_prompt",
        sdk_status=403,
        fallback=True,
        advice="check that the key may use this model",
        account_advice="check that the account may use this model",
    ),
    404: FailureRule(
        400,
        "invalid_prompt",
        sdk_status=404,
        fallback=True,
        advice="check the upstream URL and the model's name",
    ),
    405: FailureRule(400, "invalid_prompt", advice="check the upstream URL"),
    408: FailureRule(400, "invalid_prompt", retry="yes", fallback=True),
    413: FailureRule(400, "invalid_prompt", advice="the request is larger than the provider takes"),
    422: FailureRule(
        400,
        "invalid_prompt",
        sdk_status=422,
        advice="check that the provider takes what its message names",
    ),
    425: FailureRule(400, "invalid_prompt", retry="yes"),
    429: RATE_LIMITED,
    500: BROKEN,
    501: replace(BROKEN, retry="no"),  # and any other 5xx
    502: BROKEN,
    503: OVERLOADED,
    504: BROKEN,
    529: OVERLOADED,
}
OTHER_STATUSES = {3: 300, 5: 501}  # by the first digit: whose row counts; of any other, that of 400
ACCOUNT_LIMITS = frozenset(rule.code for rule in FAILURE_RULES.values() if rule.blocks_account)

# The status that an error code stands for, where an error arrives inside a stream.
ERROR_CODES: Mapping[str, int] = {
    "api_error": 500,
    "cyber_policy": 400,
    "insufficient_quota": 429,
    "internal_error": 500,
    "internal_server_error": 500,
    "invalid_prompt": 400,
    "overloaded_error": 503,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "server_is_overloaded": 503,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "slow_down": 503,
    "timeout": 504,
    "too_many_requests": 429,
    "upstream_error": 502,
    "usage_limit_reached": 429,
    "usage_not_included": 403,
}

# The codes of OpenAI's own API, which name a cause wherever they stand. Other codes in a stream say
# too little: the client gets `server_error`.
OPENAI_CODES = frozenset(
    {
        "context_length_exceeded",
        "cyber_policy",
        "insufficient_quota",
        "invalid_prompt",
        "rate_limit_exceeded",
        "server_is_overloaded",
        "usage_limit_reached",
        "usage_not_included",
    }
)

# These arrive only in a stream's event, in which Codex understands them: of a 400 it just shows the
# body. Of a 429 it shows nothing, and after a 5xx it asks too often.
STREAM_ONLY_CODES = frozenset({"context_length_exceeded"})
CODEX_STREAM_CODES = STREAM_ONLY_CODES | {"rate_limit_exceeded", "server_error", "slow_down"}

# Of these Codex reads in the message how long to wait.
WAITING_CODES = frozenset({"rate_limit_exceeded", "slow_down"})

# s; Codex would sit out a longer Retry-After in silence, so longer waits are only in the message.
MAX_RETRY_AFTER = 60


class BodyCause(NamedTuple):
    """A cause of failure that is recognised by the body of the reply."""

    name: str  # its key in FAILURE_RULES
    is_named_in: Callable[[bytes], bool]
    statuses: frozenset[int] | None = None  # of replies that may have this cause; None: any


BODY_CAUSES = (
    BodyCause(USAGE_LIMIT_REACHED, partial(has_code, USAGE_LIMIT_REACHED)),
    BodyCause("usage_not_included", partial(has_code, "usage_not_included")),
    # Fireworks sends a 412, MiniMax a 500.
    BodyCause(
        "insufficient_quota", is_empty_account, frozenset({200, 400, 402, 403, 412, 429, 500})
    ),
    BodyCause("context_length_exceeded", is_overflow, frozenset({200, 400, 413, 422, 500})),
    BodyCause("burst", is_message_only, frozenset({429})),
)


def failure_rule(status: int, body: bytes = b"") -> FailureRule:
    """The rule for an upstream's error reply; `status` is 200 for an error inside a stream."""
    status = stream_error_status(body) if status == 200 else status
    for cause in BODY_CAUSES:
        if (cause.statuses is None or status in cause.statuses) and cause.is_named_in(body):
            return FAILURE_RULES[cause.name]
    if status == 200:
        return _code_rule(error_code(body))
    return FAILURE_RULES.get(status) or FAILURE_RULES[OTHER_STATUSES.get(status // 100, 400)]


def _code_rule(code: str) -> FailureRule:
    """The rule for an error code in a stream."""
    if code not in OPENAI_CODES:
        return FAILURE_RULES[200]
    return FAILURE_RULES.get(code) or FAILURE_RULES[ERROR_CODES[code]]


def status_of_code(code: str) -> int:
    """The HTTP status for the code of an error at the start of a stream.

    A number is the status itself; a word stands for one. 0 for unknown words, and for words after
    which nobody else is asked.
    """
    if re.fullmatch(r"[45][0-9]{2}", code):
        return int(code)
    word = code.lower()
    status = ERROR_CODES.get(word, 0)
    rule = FAILURE_RULES.get(word) or FAILURE_RULES.get(status)
    return status if rule and (rule.retry == "yes" or rule.fallback) else 0


# What the client gets ------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """An upstream's failure as the client gets it: an error reply, or `response.failed`."""

    status: int
    code: str
    message: str
    retry_after: str | None = None
    extra_fields: Mapping[str, Any] = MappingProxyType({})  # more fields of the error object
    sdk_status: int | None = None  # replaces `status` for clients other than Codex
    sdk_code: str = ""  # replaces `code` for clients other than Codex

    def for_client(self, from_codex: bool) -> "Failure":
        """The failure with the status and the code for this client."""
        if from_codex:
            return self
        status, code = self.sdk_status or self.status, self.sdk_code or self.code
        return replace(self, status=status, code=code)

    @property
    def body(self) -> bytes:
        return error_body(self.status, self.message, code=self.code, **self.extra_fields)

    @property
    def error_fields(self) -> dict[str, Any]:
        """The error object of `response.failed`."""
        return {"code": self.code, "message": self.message, **self.extra_fields}

    @property
    def headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self.retry_after and self.status >= 429:
            headers["retry-after"] = self.retry_after
        return headers


ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_body(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    **extra_fields: Any,
) -> bytes:
    """The JSON of an error in OpenAI's form.

    Source: https://platform.openai.com/docs/guides/error-codes.
    """
    usual_type = "server_error" if status >= 500 else "invalid_request_error"
    error_type = ERROR_TYPES.get(status, usual_type)
    error = {"message": message, "type": error_type, "param": param, "code": code}
    return codec.dump_json({"error": error | extra_fields})


def read_failure(
    title: str,
    status: int,
    body: bytes,
    retry_after: str | None = None,
    *,
    location: str | None = None,
    accounts: bool = False,
    advice: str = "",
) -> Failure:
    """The failure that an upstream's error reply tells of.

    `title` is the provider's name for the message, `status` is 200 for an error inside a stream,
    `location` is the target of a redirect, and `accounts` says whether the relay logs in there, so
    that the advice is about that login. `advice` is what the user can do here, where that is more
    than the table of failures knows.
    """
    rule = failure_rule(status, body)
    status = stream_error_status(body) if status == 200 else status
    text = _redirect_text(location) if location and status // 100 == 3 else error_text(body)
    message = f"{title} failed: {text}" if status == 200 else f"{title} answered {status}: {text}"
    facts = {"type": rule.code, **reset_facts(body)} if rule.blocks_account else {}
    step = (rule.account_advice if accounts else "") or rule.advice
    if step:
        message += f" ({advice or step})"
    if rule.blocks_account:
        words, retry_after = _reset_wait(facts.get("resets_in_seconds"))
        message += words
    elif rule.retry == "never" or (rule.sdk_status or rule.status) < 429:  # waiting does not help
        retry_after = None
    elif rule.code in WAITING_CODES:
        words, retry_after = _rate_limit_wait(retry_after, rule.min_wait)
        message += words
    return Failure(
        rule.status, rule.code, message, retry_after, facts, rule.sdk_status, rule.sdk_code
    )


def read_connection_failure(title: str, reason: str) -> Failure:
    """The failure of a connection, for one of the reasons of `connection_faults` or another.

    Codex would ask up to 30 times over two minutes, and say nothing, before it shows a 502. Where
    asking again is of no use, it gets an error that it shows at once.
    """
    if is_lasting_fault(reason):
        message = f"{title} cannot be reached: {reason}"
        return Failure(
            400, "invalid_prompt", message, None, sdk_status=502, sdk_code="server_error"
        )
    return Failure(502, "server_error", f"{title} was lost: {reason}")


def _redirect_text(location: str) -> str:
    target = printable(location.partition("?")[0], 200)  # without a query, which may hold a key
    return f"it redirects to {target}, and the relay follows no redirect"


def _rate_limit_wait(retry_after: str | None, min_wait: float) -> tuple[str, str | None]:
    """The words for the message about the wait, and the client's Retry-After."""
    if _seconds(retry_after) > MAX_RETRY_AFTER:
        return f" (it asks to wait {retry_after} s)", None
    retry_after = retry_after or (f"{min_wait:g}" if min_wait else None)
    return f" Please try again in {retry_after}s." if _seconds(retry_after) else "", retry_after


def _reset_wait(seconds: object) -> tuple[str, str | None]:
    """The same for an account whose limit resets in so many seconds."""
    if not isinstance(seconds, int):
        return "", None
    days, rest = divmod(max(seconds, 0), 86_400)
    hours, minutes = divmod(rest // 60, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"))
    words = " ".join(f"{count} {unit}" for count, unit in parts if count)
    retry_after = str(seconds) if 0 < seconds <= MAX_RETRY_AFTER else None
    return f" (resets in {words or f'{seconds} s'})", retry_after


def _seconds(retry_after: str | None) -> float:
    match = re.fullmatch(r"\d+(\.\d+)?", retry_after or "")
    return float(match[0]) if match else 0.0
