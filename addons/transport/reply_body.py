"""Reads the bodies of the upstream's replies as they arrive: decodes them, counts their bytes, and
ends those that are too large.

One read of an encoded reply may decode to 19 MB of events. The stream takes such a read in turns of
`TURN_SIZE`, and the event loop serves other streams between them.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from collections import deque
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from mitmproxy import http
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import _events as wire

from addons.transport.attempts import RetryingStream, Steps
from addons.transport.connections import INVALID_HTTP
from addons.transport.content_decoding import (
    DECODERS,
    BoundedDecoder,
    BrokenEncoding,
    DecodedTooLarge,
)
from addons.transport.plan import RelayPlan
from addons.transport.upstream_mask import BodyRest, UpstreamMask

ERROR_LIMIT = 1 << 20  # bytes of the body of an error that the relay reads
# Bytes that a stream decodes in one turn of the event loop: as many as one read of a reply without
# a content-encoding has.
TURN_SIZE = 64 << 10
BODY_EVENTS = (
    wire.ResponseData,
    wire.ResponseTrailers,
    wire.ResponseEndOfMessage,
    wire.ResponseProtocolError,
)

# What text begins with: some upstreams name an encoding and do not encode.
PLAIN_STARTS = tuple(bytes([code]) for code in (*b"\t\n\r", *range(32, 127)))


class Fault(NamedTuple):
    """What is wrong with a reply."""

    reason: str
    code: wire.ErrorCode


class BoundedStream(RetryingStream):
    """Reads the body of each reply up to a limit.

    Everything behind it, the addons included, sees the body without its content-encoding, and any
    2xx as 200.
    """

    decoder: BoundedDecoder | None = None  # of the reply; None: it has no content-encoding
    encoded_size = 0  # bytes that the decoder has had
    reply_size = 0  # bytes of the body so far, decoded
    size_limit = 0
    turn: commands.RequestWakeup | None = None  # begins the next turn; None: nothing is left
    unread_steps: Iterator[bytes] | None = None  # what the first event of the backlog still has
    backlog_size = 0  # bytes of the backlog, encoded

    @cached_property
    def backlog(self) -> deque[wire.HttpEvent]:
        """The events of an encoded reply that later turns handle, in order."""
        return deque()

    @cached_property
    def upstream_mask(self) -> UpstreamMask:
        return UpstreamMask()

    def _handle_event(self, event: events.Event) -> Steps:
        if self.decoder is None:
            yield from self.masked_steps(event)
        elif isinstance(event, BODY_EVENTS):
            yield from self.add_to_backlog(event)
        elif self.turn and isinstance(event, events.Wakeup) and event.command is self.turn:
            yield from self.read_backlog()
        else:
            yield from self.masked_steps(event)

    def masked_steps(self, event: events.Event) -> Steps:
        for masked_event in self.upstream_mask.mask_event(event):
            yield from super()._handle_event(masked_event)

    def add_to_backlog(self, event: wire.HttpEvent) -> Steps:
        """Handle the event at once if nothing is left of those before it, and else in its turn."""
        self.backlog.append(event)
        self.backlog_size += piece_size(event)
        if self.turn is None:
            yield from self.read_backlog()
        elif self.backlog_size > self.size_limit:
            yield from self.fail_attempt(*oversize_fault(self.size_limit))

    def read_backlog(self) -> Steps:
        """Handle the first events of the backlog, and schedule the turn that goes on. That turn is
        an event, too, so that the upstream does not count as silent meanwhile."""
        self.turn = None
        turn_end = self.encoded_size + self.reply_size + TURN_SIZE
        while self.backlog and self.encoded_size + self.reply_size < turn_end:
            event = self.backlog.popleft()
            self.backlog_size -= piece_size(event)
            size = self.reply_size
            yield from self.masked_steps(event)
            if self.reply_size == size:  # nothing came, or the stream has ended and reads nothing
                self.unread_steps = None
            if self.unread_steps and isinstance(event, wire.ResponseData):
                event.data = b""
                self.backlog.appendleft(event)
        if self.backlog:
            self.turn = commands.RequestWakeup(0)
            yield self.turn

    def drop_backlog(self) -> None:
        self.backlog.clear()
        self.turn, self.unread_steps, self.backlog_size = None, None, 0

    def cancel_upstream(self, reason: str) -> Steps:
        self.drop_backlog()
        yield from super().cancel_upstream(reason)

    def clear_body(self) -> None:
        super().clear_body()
        self.drop_backlog()

    def handle_protocol_error(
        self, event: wire.RequestProtocolError | wire.ResponseProtocolError
    ) -> Steps:
        self.drop_backlog()
        yield from super().handle_protocol_error(event)

    def state_wait_for_response_headers(self, event: wire.ResponseHeaders) -> Steps:
        if plan := self.relay_plan:
            if not self.is_valid_head(event.response):
                failure = INVALID_HTTP, wire.ErrorCode.RESPONSE_VALIDATION_FAILED
                yield from self.fail_attempt(*failure)
                return
            self.start_body(plan, event.response)
        yield from super().state_wait_for_response_headers(event)

    def is_valid_head(self, response: http.Response) -> bool:
        """mitmproxy's own check, whose message would repeat bytes of the upstream; and no 101,
        which would make the connection a tunnel that other requests then wait for."""
        if response.status_code < 200:
            return False
        try:
            if self.context.options.validate_inbound_headers:
                validate_headers(response)
        except ValueError:
            return False
        return True

    def start_body(self, plan: RelayPlan, response: http.Response) -> None:
        """Prepare for the body that follows this head, which is changed."""
        # mitmproxy must not decode what remains: it knows every codec of Python's, and no limit.
        encoding = response.headers.pop("content-encoding", "").strip().lower()
        if 200 < response.status_code < 300:
            response.status_code = 200
        is_error = response.status_code != 200
        self.size_limit = min(plan.reply_limit, ERROR_LIMIT) if is_error else plan.reply_limit
        self.reply_size, self.decoder, self.encoded_size = 0, None, 0
        if encoding and encoding in DECODERS:
            self.decoder = BoundedDecoder(encoding, self.size_limit)

    def state_consume_response_body(self, event: events.Event) -> Steps:
        if self.relay_plan and isinstance(event, wire.ResponseTrailers):
            return
        if self.relay_plan and isinstance(event, wire.ResponseData):
            fault = self.read_piece(event)
            is_error = self.flow.response and self.flow.response.status_code != 200
            if fault and is_error:  # the beginning of an error says enough
                yield from self.cancel_upstream(fault.reason)
                yield from super().state_consume_response_body(event)
                event = wire.ResponseEndOfMessage(self.stream_id)
            elif fault:
                yield from self.fail_attempt(*fault)
                return
        yield from super().state_consume_response_body(event)

    def read_stream_piece(self, event: wire.ResponseData, plan: RelayPlan) -> Fault | None:
        """`read_piece` for a streamed reply; the plan gets the bytes, too."""
        fault = self.read_piece(event)
        if not fault:
            plan.on_upstream_bytes(event.data)
        return fault

    def read_piece(self, event: wire.ResponseData) -> Fault | None:
        """Decode, mask and count a piece of the body; its event gets the result. Returns what is
        wrong with the reply."""
        fault = None
        if not isinstance(event, BodyRest):
            fault = self.decode_piece(self.decoder, event) if self.decoder else None
            self.upstream_mask.mask_piece(event, has_rest=self.unread_steps is not None)
        self.reply_size += len(event.data)
        return oversize_fault(self.size_limit) if self.reply_size > self.size_limit else fault

    def decode_piece(self, decoder: BoundedDecoder, event: wire.ResponseData) -> Fault | None:
        """Decode as much of the piece as one turn may have; `unread_steps` has the rest."""
        fault, pieces, size = None, list[bytes](), 0
        steps = self.unread_steps or decoder.decoded_steps(event.data)
        self.unread_steps = None
        try:
            for step in steps:
                pieces.append(step)
                size += len(step)
                if size >= TURN_SIZE:
                    self.unread_steps = steps
                    break
        except DecodedTooLarge:
            fault = oversize_fault(self.size_limit)
        except BrokenEncoding as error:
            if not self.encoded_size and event.data[:1] in PLAIN_STARTS:
                self.decoder = None
                return None
            fault = Fault(f"its content is {error}", wire.ErrorCode.RESPONSE_VALIDATION_FAILED)
        self.encoded_size += len(event.data)
        event.data = b"".join(pieces)
        return fault


def piece_size(event: wire.HttpEvent) -> int:
    """Bytes of the body that the event brings."""
    return len(event.data) if isinstance(event, wire.ResponseData) else 0


def oversize_fault(limit: int) -> Fault:
    reason = f"its reply has more than {limit:,} bytes (relay_max_reply)"
    return Fault(reason, wire.ErrorCode.RESPONSE_TOO_LARGE)
