"""Two exceptions, and an upstream's error in the client's words.

What a Codex client does with each status and code was measured: a 400 is shown and ends the
turn, a 401 starts a token refresh, 429 and 5xx are tried again, `context_length_exceeded` and
`insufficient_quota` are understood. So an upstream's own 401 must never reach it as a 401.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from translate.wire import codec


class BadRequest(ValueError):
    """The client's request cannot be carried over; nothing was sent upstream."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


def no_previous(id: str) -> BadRequest:
    """A response that nobody kept, or nobody keeps any more."""
    return BadRequest(
        f"Previous response with id {id!r} not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


class BadReply(ValueError):
    """The upstream's reply is not what its dialect allows."""


@dataclass(frozen=True)
class Failure:
    """An upstream's failure in Responses terms: an HTTP status, or `response.failed`."""

    status: int
    code: str
    message: str
    retry_after: str | None = None
    facts: Mapping[str, Any] = MappingProxyType({})  # of its own, beside these

    @property
    def body(self) -> bytes:
        return error_body(self.status, self.message, code=self.code, **self.facts)

    @property
    def error(self) -> dict[str, Any]:
        """As `response.failed` has it."""
        return {"code": self.code, "message": self.message, **self.facts}

    @property
    def headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        return headers | ({"retry-after": self.retry_after} if self.retry_after else {})


def error_body(
    status: int, message: str, *, code: str | None = None, param: str | None = None, **facts: Any
) -> bytes:
    """An error in OpenAI's form (https://platform.openai.com/docs/guides/error-codes)."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": param, "code": code}
    return codec.dumps({"error": error | facts})


TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

# Providers say it in many words and few codes; the words are stable: each provider's own are in
# tests/translate/wire/test_errors.py.
OVERFLOW = re.compile(
    r"context_(length|window)_exceeded|context (length|window|size)|maximum (context|prompt length)"
    r"|too many (input )?tokens|(prompt|input) (is )?too long|model token limit|total message size"
    r"|exceeds? the (available |model'?s )?(max\w* )?context|prompt exceeds max length"
    r"|(input|prompt) tokens? .{0,40}exceed|reduce the length|range of input length"
    r"|exceed context limit|longer than the maximum model length|must have less than \d+ tokens"
    r"|inputs` tokens \+ `max_new_tokens",
    re.I,
)
# What speaks of tokens and lengths, and does not become better by a shorter conversation.
OTHER_LIMIT = re.compile(
    r"per[ -](min|day|hour)|\bTPM\b|rate.?limit|max_\w*tokens\W.{0,40}too large", re.I
)
# Not by "quota" and "billing" alone: Gemini's passing 429 has both in its text.
QUOTA = re.compile(
    rb"insufficient[_ ](quota|balance|credit|funds)|exceeded_current_quota|billing_(hard|not)"
    rb"|credit balance|payment required|(out of|all available) credits|credits are depleted"
    rb"|spending limit|arrear|\"1113\"",  # GLM's code, for an account in Chinese
    re.I,
)
REFUSED = {
    401: "check the key or the login",
    403: "check that the key may use this model",
    404: "check the upstream URL and the model's name",
    405: "check the upstream URL",
    413: "the request is larger than the provider takes",
    422: "check that the provider takes what its message names",
}
# Where one logs in, whose own words speak of another login than ours.
LOGGED_IN = {
    401: "the relay's login is over: log in again at its page /auth/login",
    403: "check that the account may use this model",
}
ADVICE = {False: REFUSED, True: REFUSED | LOGGED_IN}  # by whether it has accounts


# What Codex understands as an event only, to make room; as a 400 it just shows the body (0.163).
IN_STREAM = frozenset({"context_length_exceeded"})


# Beside 402, by what is sent with them: 412 is Fireworks', 500 MiniMax's.
UNPAID = frozenset({200, 400, 403, 412, 429, 500})
TOO_LONG = frozenset({200, 400, 413, 422, 500})
PATIENCE = 60  # s; a longer Retry-After is told in words only, as Codex would sit through it


def failure(
    title: str,
    status: int,
    body: bytes,
    retry_after: str | None = None,
    advice: Mapping[int, str] = REFUSED,
) -> Failure:
    """An error reply of the provider called `title` (200: an error inside the stream); `advice`:
    what to do about it, by status."""
    said = said_by(body)
    status = _named(body) if status == 200 else status
    where = f"{title} answered {status}: {said}" if status != 200 else f"{title} failed: {said}"
    if limit := usage_limit(body):
        return _spent(where, limit)
    if status == 402 or (status in UNPAID and out_of_quota(body)):
        return Failure(429, "insufficient_quota", where)
    if status in TOO_LONG and OVERFLOW.search(said) and not OTHER_LIMIT.search(said):
        return Failure(400, "context_length_exceeded", where)
    if status == 200 and (code := _code(body)) in CODES:
        return Failure(CODES[code], code, where)
    if status == 429 and retry_after and _seconds(retry_after) > PATIENCE:
        return Failure(429, "rate_limit_exceeded", f"{where} (it asks to wait {retry_after} s)")
    if status == 429:
        retry_after = retry_after or (BURST if _message_only(body) else None)
        wait = f" Please try again in {retry_after}s." if _seconds(retry_after) else ""
        return Failure(429, "rate_limit_exceeded", where + wait, retry_after)
    if status == 200:
        return Failure(502, "server_error", where)
    if status >= 500:
        return Failure(503, "server_is_overloaded", where, retry_after)
    said = f"{where} ({advice[status]})" if status in advice else where
    return Failure(400, "invalid_prompt", said)


USAGE_LIMIT = "usage_limit_reached"
FACTS = ("plan_type", "resets_at", "resets_in_seconds")
# Too many requests of an account at a time: over in about 3 s (Soju06/codex-lb#2239).
BURST = "3"


def usage_limit(body: bytes) -> dict[str, Any] | None:
    """The facts of a ChatGPT account whose window is used up; Codex knows them by their type, and
    tells the user when to come back (Soju06/codex-lb#1246)."""
    match _parsed(body):
        case {"error": {"type": "usage_limit_reached"} | {"code": "usage_limit_reached"} as error}:
            told = {name: error[name] for name in FACTS if error.get(name) is not None}
            return {"type": USAGE_LIMIT, **told}
    return None


def _spent(where: str, facts: dict[str, Any]) -> Failure:
    left = facts.get("resets_in_seconds")
    if not isinstance(left, int):
        return Failure(429, USAGE_LIMIT, where, facts=facts)
    wait = str(left) if 0 < left <= PATIENCE else None
    days, rest = divmod(max(left, 0), 86_400)
    hours, minutes = divmod(rest // 60, 60)
    when = " ".join(f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if n)
    return Failure(429, USAGE_LIMIT, f"{where} (resets in {when or f'{left} s'})", wait, facts)


def _message_only(body: bytes) -> bool:
    """Whether an error says nothing that a program could read."""
    match _parsed(body):
        case {"error": {"message": str(), **rest}}:
            return not any(rest.values())
    return False


def out_of_quota(body: bytes) -> bool:
    """Whether an error body says that the account is empty, so that waiting is of no use."""
    return bool(QUOTA.search(body[:20_000]))


def _named(body: bytes) -> int:
    """The status that an error inside a stream names, if it blames the request (OpenRouter)."""
    match _parsed(body):
        case {"error": {"code": int(code)}} | {"code": int(code)} if 400 <= code < 500:
            return code
    return 200


def _code(body: bytes) -> str:
    """The code of an error inside a stream, where it is a word."""
    match _parsed(body):
        case {"error": {"code": str(code)}} | {"code": str(code)}:
            return code
    return ""


# What a Responses upstream says in the client's own words, with the status that it would have.
CODES = {
    "cyber_policy": 400,
    "invalid_prompt": 400,
    "rate_limit_exceeded": 429,
    "server_is_overloaded": 503,
    "usage_not_included": 403,
}


def _seconds(retry_after: str | None) -> float:
    found = re.fullmatch(r"\d+(\.\d+)?", retry_after or "")
    return float(found[0]) if found else 0.0


def said_by(body: bytes) -> str:
    """The human part of an error body, whatever its form; at most 2,000 characters."""
    try:
        found = _message(_parsed(body))
    except RecursionError:
        found = ""
    if not found:
        plain = re.sub(rb"(?s)<(script|style).*?</\1>|<[^>]*>", b" ", body)
        found = " ".join(plain.decode("utf-8", "replace").split())
    return found[:2000] or "no message"


def _parsed(body: bytes) -> Any:
    try:
        return codec.loads(body)
    except ValueError:
        return None


def _message(body: Any) -> str:
    """Look where providers put it: error.message, error, message, detail, a list around it."""
    match body:
        case str():
            return body
        case [first, *_]:
            return _message(first)
        case {"error": dict() | str() | list() as inner} if inner:
            return _with_code(inner)
        case {"message": str()}:
            return _with_code(body)
        case {"detail": str() | list() as inner} | {"message": dict() | list() as inner}:
            return _message(inner)
        case {"msg": str(inner), "loc": [*place]}:  # pydantic's: Mistral, vLLM
            return f"{'.'.join(map(str, place))}: {inner}"
        case {"msg": str(inner)} | {"error_msg": str(inner)}:
            return inner
    return ""


def _with_code(error: Any) -> str:
    """`message [code]`, since some codes say what their message does not."""
    if not isinstance(error, dict):
        return _message(error)
    message, code = error.get("message"), error.get("code")
    if not isinstance(message, str):
        return ""
    return f"{message} [{code}]" if isinstance(code, str) and code else message
