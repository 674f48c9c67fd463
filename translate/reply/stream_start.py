"""The first events of a reply, before the client gets any: has its content begun, or did it fail?

Upstreams answer 200, send their opening events and only then say that they are overloaded
(anomalyco/opencode#25730, https://openrouter.ai/docs/errors). The exchange gets these bytes later,
so that it can still be used for another attempt.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from translate.reply.chat_to_responses import chunk_error
from translate.reply.reply_reader import DONE_MARK, ReplyReader
from translate.wire import codec, sse
from translate.wire.errors import status_of_code

Json = dict[str, Any]
# Bytes after which a reply counts as begun. Opening events are large: they repeat the request.
PROBE_LIMIT = 1 << 20


@dataclass(frozen=True)
class StreamRefusal:
    """An error in place of a reply, in the form of an HTTP reply."""

    status: int
    body: bytes


type StreamStart = Literal["pending", "begun"] | StreamRefusal


class StreamProbe:
    """`feed` the bytes of a reply, b"" at its end, until it is no longer "pending". Total.

    "begun": it has content, or an error that another attempt would not change. "pending" at the
    end: the stream was cut before any content.
    """

    def __init__(self) -> None:
        self._reader = ReplyReader()
        self._size = 0
        self._first_byte = b""

    def feed(self, data: bytes) -> StreamStart:
        at_end, data = not data, data[: PROBE_LIMIT - self._size]
        self._size += len(data)
        self._first_byte = self._first_byte or data.lstrip()[:1]
        try:
            events = self._reader.flush() if at_end else self._reader.feed(data)
            state = _first_decided(map(_event_state, events))
        except (ValueError, RecursionError):  # the exchange reports what cannot be read
            return "begun"
        is_other_body = at_end and self._first_byte not in STREAM_BYTES
        is_full = self._size == PROBE_LIMIT
        return "begun" if state == "pending" and (is_full or is_other_body) else state


# What an event stream begins with: a field, a comment or a byte order mark; b"": nothing came.
STREAM_BYTES = (b"", b":", b"d", b"e", b"i", b"r", sse.BOM[:1])


def _first_decided(states: Iterable[StreamStart]) -> StreamStart:
    return next((state for state in states if state != "pending"), "pending")


def _event_state(event: Json) -> StreamStart:
    if event is DONE_MARK:
        return "begun"
    if (error := _event_error(event)) is not None:
        status = status_of_code(str(error.get("code") or error.get("type")))
        return StreamRefusal(status, codec.dump_json({"error": error})) if status else "begun"
    choices = event.get("choices")
    if isinstance(choices, list):
        return _first_decided(map(_choice_state, choices))
    is_end = str(event.get("type")) in END_EVENTS
    return "begun" if is_end or event.keys() & CONTENT_FIELDS else "pending"


# `output` is a field of a whole response, the others are fields of events.
CONTENT_FIELDS = {"item", "item_id", "output_index", "delta", "output"}
END_EVENTS = {
    "response.completed",
    "response.done",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
}


def _choice_state(choice: Any) -> StreamStart:
    """The first chunk often has nothing but a role."""
    if not isinstance(choice, dict):
        return "pending"
    delta = choice.get("delta") or choice.get("message")
    fields = {name for name, value in delta.items() if value} if isinstance(delta, dict) else set()
    return "begun" if choice.get("finish_reason") or fields - {"role"} else "pending"


def _event_error(event: Json) -> Json | None:
    match event:
        case {"response": {"error": dict(error)}}:
            return error
        case {"response": dict()}:
            return None
        case {"type": "error"} if "error" not in event:
            return event
    if (wrapper := chunk_error(event)) is None:
        return None
    inner = wrapper.get("error", wrapper)
    return inner if isinstance(inner, dict) else {}
