"""What a client was told: the events or the body of a reply, without what only time makes."""

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from mitmproxy.http import Response

ENDINGS = ("response.completed", "response.incomplete", "response.failed")
HEARTBEAT = "response.in_progress"  # after the first one


@dataclass(frozen=True)
class Told:
    values: list[Any]  # the events of a stream, or one body
    streamed: bool
    id: str = "resp_again"  # of the response, and its times
    created_at: int = 0
    completed_at: int = 0
    stored: bool = False

    @classmethod
    def of(cls, reply: Response | None) -> "Told":
        body = (reply and reply.get_content(strict=False)) or b""
        values = read(body)
        made = cls(values, streamed=is_stream(body))
        for value in values:
            response = value.get("response", value) if isinstance(value, dict) else {}
            if isinstance(response, dict) and "created_at" in response:
                last = response
                made = cls(
                    values,
                    made.streamed,
                    last["id"],
                    last["created_at"],
                    last.get("completed_at") or 0,
                    bool(last.get("store")),
                )
        return made

    @property
    def ended(self) -> bool:
        """Whether a stream has its closing event."""
        return bool(self.values) and self.values[-1].get("type") in ENDINGS


def is_stream(body: bytes) -> bool:
    return body.startswith(b"event: ")


def read(body: bytes) -> list[Any]:
    """Events without their numbers, which heartbeats shift, and without heartbeats."""
    if not is_stream(body):
        with contextlib.suppress(ValueError):
            return [json.loads(body)]
        return [body.decode("utf-8", "replace")]
    events: list[Any] = []
    beaten = False
    for line in body.split(b"\n"):
        if not line.startswith(b"data: "):
            continue
        event = json.loads(line.removeprefix(b"data: "))
        event.pop("sequence_number", None)
        if event["type"] != HEARTBEAT or not beaten:
            events.append(event)
        beaten = beaten or event["type"] == HEARTBEAT
    return events
