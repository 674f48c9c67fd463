"""The beginning of a reply, of which a client may hear nothing yet: it speaks, or is refused.

Upstreams answer 200, send their opening events and only then say that they are overloaded
(anomalyco/opencode#25730, https://openrouter.ai/docs/errors). Pure; the exchange has not seen
these bytes, so that another attempt can begin with it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from translate.reply.chat_to_responses import error_in
from translate.wire import codec, sse

Json = dict[str, Any]
LIMIT = 1 << 20  # bytes; what is quiet for longer has begun. An opening event repeats the request.


@dataclass(frozen=True)
class Refused:
    """An error in place of a reply: what it would have been as an HTTP reply."""

    status: int
    body: bytes


type Opening = Literal["pending", "begun"] | Refused


class Handshake:
    """`feed` the bytes of a reply, b"" at its end, until it is no longer "pending". Total.

    "begun": it has content, or nothing that a repetition would change. "pending" at the end: a
    stream that was cut before it said anything.
    """

    def __init__(self) -> None:
        self._reader = sse.Reader()
        self._size = 0
        self._first = b""

    def feed(self, data: bytes) -> Opening:
        ended, data = not data, data[: LIMIT - self._size]
        self._size += len(data)
        self._first = self._first or data.lstrip()[:1]
        try:
            pieces = self._reader.flush() if ended else self._reader.feed(data)
            said = _first(_opening(piece) for piece in pieces)
        except (ValueError, RecursionError):  # beyond sense, which the exchange tells
            return "begun"
        over = self._size == LIMIT or (ended and self._first not in STREAM)
        return "begun" if said == "pending" and over else said


# What begins a field or a comment (or a byte order mark); all else is no stream that was cut.
STREAM = (b"", b":", b"d", b"e", b"i", b"r", sse.BOM[:1])


def _first(said: Iterable[Opening]) -> Opening:
    return next((one for one in said if one != "pending"), "pending")


def _opening(piece: bytes) -> Opening:
    """What the data of one event say. Raises ValueError."""
    if piece.strip() == sse.DONE:
        return "begun"
    found = codec.loads(piece) if piece.strip() else None
    events = found if isinstance(found, list) else [found]  # Gemini puts errors in a list
    return _first(_said(event) for event in events if isinstance(event, dict))


def _said(event: Json) -> Opening:
    if (error := _error(event)) is not None:
        code = error.get("code") or error.get("type")
        status = _status(str(code))
        return Refused(status, codec.dumps({"error": error})) if status else "begun"
    choices = event.get("choices")
    if isinstance(choices, list):
        return _first(map(_choice, choices))
    return "begun" if str(event.get("type")) in ENDINGS or event.keys() & CONTENT else "pending"


CONTENT = {"item", "item_id", "output_index", "delta", "output"}  # the last: of a whole response
ENDINGS = {
    "response.completed",
    "response.done",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
}


def _choice(choice: Any) -> Opening:
    """A first chunk often has a role only."""
    if not isinstance(choice, dict):
        return "pending"
    delta = choice.get("delta") or choice.get("message")
    spoken = {name: v for name, v in delta.items() if v} if isinstance(delta, dict) else {}
    return "begun" if choice.get("finish_reason") or spoken.keys() - {"role"} else "pending"


def _error(event: Json) -> Json | None:
    """The error that an event tells of."""
    match event:
        case {"response": {"error": dict(error)}}:
            return error
        case {"response": dict()}:
            return None
        case {"type": "error"} if "error" not in event:
            return event
    found = error_in(event)
    inner = found and found.get("error", found)
    return {} if found and not isinstance(inner, dict) else inner


def _status(code: str) -> int:
    """The HTTP status that a code is, or goes with elsewhere; 0 for what no repetition helps."""
    if re.fullmatch(r"[45][0-9]{2}", code):
        return int(code)
    return CODES.get(code.lower(), 0)


CODES = {
    "api_error": 500,
    "insufficient_quota": 429,
    "internal_error": 500,
    "internal_server_error": 500,
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
}
