"""The base of the views: which messages a view is for, and a page even if a body is broken."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mitmproxy.contentviews import Contentview, Metadata
from mitmproxy.http import HTTPFlow, Message, Request

from addons.ingress import RELAYED_ROUTES, ROUTE_KEY, Route
from addons.observe import PAIR_SIDE, RECORD, UPSTREAM_SIDE, partner_flow
from addons.transport import BoundedDecoder, BrokenEncoding, DecodedTooLarge
from addons.views.text import escape_controls, fill_empty_lines, format_size, join_page
from translate import is_event_stream

type Json = dict[str, Any]
CONVERSATION_ROUTES = RELAYED_ROUTES | {Route.RETRIEVE, Route.ITEMS}
MAX_RAW_BYTES = 100_000  # of a body that is shown undecoded
# mitmweb builds its pages in the event loop, where all streams wait for them.
MAX_READ_BYTES = 8 << 20  # of a body
MAX_DECODED_BYTES = MAX_READ_BYTES + (1 << 20)  # so that what is too large is known to be


@dataclass(frozen=True)
class ShownMessage:
    """The message that a view shows, and what the relay knows of its flow."""

    flow: HTTPFlow | None
    is_request: bool = True

    @property
    def metadata(self) -> Json:
        return self.flow.metadata if self.flow else {}

    @property
    def is_relayed(self) -> bool:
        return PAIR_SIDE in self.metadata or self.metadata.get(ROUTE_KEY) in CONVERSATION_ROUTES

    @property
    def partner(self) -> HTTPFlow | None:
        return partner_flow(self.flow) if self.flow else None

    @property
    def record(self) -> Json:
        """The record of the exchange; it is kept on the client's flow."""
        partner = self.partner
        record = self.metadata.get(RECORD) or (partner and partner.metadata.get(RECORD))
        return record if isinstance(record, dict) else {}

    def client_and_upstream(self) -> tuple[HTTPFlow | None, HTTPFlow | None]:
        """The two flows of the exchange; None for one that is gone."""
        is_upstream = self.metadata.get(PAIR_SIDE) == UPSTREAM_SIDE
        return (self.partner, self.flow) if is_upstream else (self.flow, self.partner)


def shown_message(metadata: Metadata) -> ShownMessage:
    flow = metadata.flow if isinstance(metadata.flow, HTTPFlow) else None
    return ShownMessage(flow, isinstance(metadata.http_message, Request))


def decoded_body(message: Message | None) -> bytes:
    """The body without its content-encoding; unchanged if it cannot be decoded. Of a stream that
    is too large, its beginning. Raises ValueError for another body that is too large."""
    content = (message and message.raw_content) or b""
    encoding = message.headers.get("content-encoding", "") if message else ""
    pieces: list[bytes] = []
    try:
        pieces.extend(BoundedDecoder(encoding, MAX_DECODED_BYTES).decoded_steps(content))
    except BrokenEncoding:
        return readable_start(content)
    except DecodedTooLarge:  # without an encoding, it is a single piece
        return readable_start(b"".join(pieces) or content)
    return readable_start(b"".join(pieces))


def readable_start(body: bytes) -> bytes:
    """The part of the body that is read. Raises ValueError if it is too large and no stream."""
    if len(body) > MAX_READ_BYTES and not is_event_stream(body):
        sizes = format_size(len(body)), format_size(MAX_READ_BYTES)
        raise ValueError(f"it has {sizes[0]}, and a view reads {sizes[1]} at most")
    return body[:MAX_READ_BYTES]


def first_character(body: bytes) -> bytes:
    """The first character that is no space, if it is among the first."""
    return body[:1000].lstrip()[:1]


class RelayView(Contentview):
    """A view that joins its `text_blocks` into a page; an error ends the page with a note."""

    syntax_highlight = "none"  # conversations are not YAML

    @abstractmethod
    def text_blocks(self, body: bytes, message: ShownMessage) -> Iterator[str]:
        """The blocks of the page, in order. May raise any error."""

    @abstractmethod
    def relayed_priority(self, body: bytes, message: ShownMessage) -> float:
        """The priority for a relayed message; below 0 if the view is not for it."""

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        page = join_page(self._safe_blocks(data, shown_message(metadata)))
        return fill_empty_lines(escape_controls(page))

    def _safe_blocks(self, body: bytes, message: ShownMessage) -> Iterator[str]:
        try:
            yield from self.text_blocks(readable_start(body), message)
            if len(body) > MAX_READ_BYTES:
                size = format_size(len(body) - MAX_READ_BYTES)
                yield f"⋯ {size} more are not read; the view `raw` has it all ⋯"
        except Exception as error:  # a body may be anything
            yield f"⋯ this could not be read further: {error}; the view `raw` has it all ⋯"
            if len(body) < MAX_RAW_BYTES:
                yield body.decode("utf-8", "replace")

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        message = shown_message(metadata)
        return self.relayed_priority(data, message) if data and message.is_relayed else -1
