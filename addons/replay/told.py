"""What a client was told: the events or the body of a reply, without what only time makes."""

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from mitmproxy.http import Response

ENDINGS = ("response.completed", "response.incomplete", "response.failed")
HEARTBEAT = "response.in_progress"  # after the first one
DONE = "[DONE]"  # behind the last chunk of a Chat stream
FIRST = (b"event: ", b"data: ", b": ")  # what the streams of the two dialects begin with


@dataclass(frozen=True)
class Born:
    """The response's id and times, which the relay gave it."""

    id: str = "resp_again"
    created_at: int = 0
    completed_at: int = 0
    stored: bool = False


@dataclass(frozen=True)
class Told:
    values: list[Any]  # the events of a stream, or one body
    streamed: bool
    born: Born = field(default_factory=Born)

    @classmethod
    def of(cls, reply: Response | None) -> "Told":
        body = (reply and reply.get_content(strict=False)) or b""
        values = read(body)
        found = [one for value in values if (one := born(value))]
        return cls(values, is_stream(body), found[-1] if found else Born())

    @property
    def ended(self) -> bool:
        """Whether a stream has its closing event."""
        return bool(self.values) and ends(self.values[-1])


def born(value: Any) -> Born | None:
    """What this event, chunk or body says of that."""
    match value:
        case {"response": dict(response)}:
            return born(response)
        case {"id": str(id), "created_at": at}:
            return Born(id, at, value.get("completed_at") or 0, bool(value.get("store")))
        case {"id": str(id), "created": at}:
            return Born(f"resp_{id.removeprefix('chatcmpl-')}", at)
    return None


def ends(value: Any) -> bool:
    if not isinstance(value, dict):
        return bool(value == DONE)
    return value.get("type") in ENDINGS or "error" in value


def is_stream(body: bytes) -> bool:
    return body.startswith(FIRST)


def read(body: bytes) -> list[Any]:
    """Events without their numbers, which heartbeats shift, and without heartbeats."""
    if not is_stream(body):
        with contextlib.suppress(ValueError):
            return [json.loads(body)]
        return [body.decode("utf-8", "replace")]
    lines = (line for line in body.split(b"\n") if line.startswith(b"data: "))
    events = [value(line.removeprefix(b"data: ")) for line in lines]
    beats = [number for number, event in enumerate(events) if is_beat(event)]
    again = frozenset(beats[1:])
    return [event for number, event in enumerate(events) if number not in again]


def value(data: bytes) -> Any:
    if data == DONE.encode():
        return DONE
    event = json.loads(data)
    event.pop("sequence_number", None)
    return event


def is_beat(event: Any) -> bool:
    return isinstance(event, dict) and event.get("type") == HEARTBEAT
