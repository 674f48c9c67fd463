"""The view `Stream`: the events of a reply as they came, and what they made."""

from collections.abc import Iterator
from typing import Any

from addons.observe import flow_pair as rows
from addons.views import stream_parsing as replies
from addons.views.base import Seen, View
from addons.views.entry import answered
from addons.views.events import Clock, Piece, is_stream, pieces
from addons.views.stream_view import steps
from addons.views.text import RULE
from addons.views.usage_line import record, tokens

Json = dict[str, Any]


class Stream(View):
    name = "Stream"

    def fits(self, body: bytes, seen: Seen) -> float:
        return -1 if seen.is_request or not is_stream(body) else 100

    def blocks(self, body: bytes, seen: Seen) -> Iterator[str]:
        yield from streamed(body, Clock(seen.told.get(rows.TIMES)), seen.facts)


def streamed(body: bytes, clock: Clock, facts: Json) -> Iterator[str]:
    came = list(pieces(body))
    reply = replies.joined(piece.data for piece in came)
    ended = replies.ended(reply) or "not finished"
    parts = [reply.get("model"), ended, tokens(reply.get("usage")), f"{len(came)} events"]
    yield " · ".join(str(part) for part in parts if part)
    yield from record(facts)
    yield ""
    for entry in answered(replies.entries(reply)):
        yield entry.block()
    yield from told(came, clock)


def told(came: list[Piece], clock: Clock) -> Iterator[str]:
    yield f"{RULE} events, from when the request went up"
    for step in steps(came, clock):
        yield step.line()
