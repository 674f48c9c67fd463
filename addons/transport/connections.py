"""Connections to the upstream on which one stream may make several attempts.

Built on mitmproxy's private API, like `relay_stream`, which explains it. What an upstream can make
a connection hold is bounded: the head of a reply, the lines between its chunks, and its trailers.
"""

from typing import Any

from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client

from addons.transport.attempts import Steps
from addons.transport.chunked_body import fast_reader
from addons.transport.client_limits import client_limits
from addons.transport.failure_guard import GuardedConnection

EARLY_CLOSE = "the upstream closed the connection in the middle of its reply"
INVALID_HTTP = "the upstream's reply breaks the rules of HTTP"
LARGE_HEAD = "the head of the upstream's reply is too large (relay_max_head)"

# A server sends one or two, or one every few seconds while it works.
MAX_INTERIM_HEADS = 1000

# What mitmproxy's messages begin with → the words in their place. Many of mitmproxy's repeat bytes
# of the upstream, and with them its secrets. The first match counts.
ERROR_WORDS = {
    "Cannot parse HTTP response": INVALID_HTTP,
    "unexpected server response": EARLY_CLOSE,
    "HTTP/1 protocol error: peer closed connection": EARLY_CLOSE,
    "HTTP/1 protocol error": INVALID_HTTP,
    "peer closed connection": EARLY_CLOSE,
    "HTTP/2 connection closed": EARLY_CLOSE,
    "HTTP/2 protocol error: Oversized header block": LARGE_HEAD,
    "HTTP/2 protocol error": INVALID_HTTP,
    "Invalid HTTP/2 response headers": INVALID_HTTP,
    "Received HTTP/2 data frame": INVALID_HTTP,
    "Received unexpected HTTP/2": INVALID_HTTP,
    "stream reset by client": "the upstream reset the stream",
}

# What mitmproxy's lines about a single frame of HTTP/2 begin with.
FRAME_NOTICES = ("Ignoring unknown HTTP/2 frame", "Swallowing HTTP/2 informational response")


class LastResponseData(wire.ResponseData):
    """The piece of a reply after which the reply ends in the same read."""


class RelayHttp1Client(GuardedConnection, Http1Client):
    """Passes on the data of each read in one piece, and reports a dead connection only once.

    It skips interim replies and ignores trailers: mitmproxy takes the first for the final reply and
    raises an error for the second.
    """

    interim_count = 0  # heads before that of the reply

    def read_headers(self, event: events.ConnectionEvent) -> Steps:
        is_interim = True
        while is_interim and self.state != self.done:
            is_interim = False
            size = len(self.buf)
            for step in super().read_headers(event):
                if isinstance(step, commands.Log):  # it would repeat the upstream's bytes
                    step = commands.Log("The upstream sent data without a request.")
                if (head := received_head(step)) is not None:
                    is_interim = is_interim_head(head)
                    self.interim_count = self.interim_count + 1 if is_interim else 0
                    is_large = size - len(self.buf) > client_limits().head_bytes
                    if is_large or self.interim_count > MAX_INTERIM_HEADS:
                        yield from self.fail_reply(LARGE_HEAD)
                    elif not is_interim:
                        yield step
                    if is_interim or self.state == self.done:
                        self.response = None
                        break  # mitmproxy's generator must not go on to the body
                else:
                    yield step

    def read_body(self, event: events.Event) -> Steps:
        self.body_reader = fast_reader(self.body_reader)
        data = b""  # what this read has brought; it is passed on when it is known what follows
        for step in super().read_body(event):
            if isinstance(step, ReceiveHttp) and isinstance(step.event, wire.ResponseData):
                yield from self.receive_piece(data, wire.ResponseData)
                data = step.event.data
                continue
            if isinstance(step, ReceiveHttp):
                is_end = isinstance(step.event, wire.ResponseEndOfMessage)
                yield from self.receive_piece(
                    data, LastResponseData if is_end else wire.ResponseData
                )
                data = b""
            yield step
        yield from self.receive_piece(data, wire.ResponseData)

    def receive_piece(self, data: bytes, event_type: type[wire.ResponseData]) -> Steps:
        if data and self.stream_id is not None:
            yield ReceiveHttp(event_type(self.stream_id, data))

    def fail_reply(self, reason: str) -> Steps:
        """Close the connection, and report that its reply has failed."""
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            code = wire.ErrorCode.RESPONSE_TOO_LARGE
            yield ReceiveHttp(wire.ResponseProtocolError(self.stream_id, reason, code))
        self.end_connection()

    def _handle_event(self, event: events.Event) -> Steps:
        if self.state == self.done and isinstance(event, events.DataReceived):
            return  # the connection is being closed
        for step in super()._handle_event(event):
            failure = received_failure(step)
            if failure:
                failure.message = plain_words(failure.message)
            yield step
            if failure:
                self.end_connection()  # the close that follows must not fail the next attempt
        if isinstance(event, wire.RequestProtocolError):
            self.end_connection()
        # Of a head, of the line before a chunk, or of trailers; the rest of a body is passed on.
        if self.buf and len(self.buf) > client_limits().head_bytes:
            yield from self.fail_reply(LARGE_HEAD)

    def end_connection(self) -> None:
        self.state = self.done
        self.buf.maybe_extract_at_most(len(self.buf))


class RelayHttp2Client(GuardedConnection, Http2Client):
    """Gives one stream of the client a new stream to the upstream for each attempt."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        limit = client_limits().head_bytes
        self.h2_conn.local_settings.max_header_list_size = limit  # announced to the upstream
        self.h2_conn.local_settings.acknowledge()
        self.h2_conn.decoder.max_header_list_size = limit  # kept here

    def _handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, wire.RequestHeaders):
            self.our_stream_id.pop(event.stream_id, None)
        for step in without_frame_notices(super()._handle_event(event)):
            if failure := received_failure(step):
                failure.message = plain_words(failure.message)
            elif isinstance(step, commands.Log):
                address, _, message = step.message.partition(": ")
                if (words := plain_words(message)) != message:
                    step.message = f"{address}: {words}"
            yield step

    def open_stream_ids(self) -> set[int]:
        ids = {self.their_stream_id.get(each, each) for each in super().open_stream_ids()}
        return {*ids, *self.stream_queue}


def without_frame_notices(steps: Steps) -> Steps:
    """The steps without mitmproxy's lines for the log about single frames of HTTP/2: the other side
    could fill the log with them, and hold up the streams of others."""
    for step in steps:
        if not (isinstance(step, commands.Log) and step.message.startswith(FRAME_NOTICES)):
            yield step


def received_head(step: Any) -> http.Response | None:
    """The head of a reply, if the step passes one on."""
    if isinstance(step, ReceiveHttp) and isinstance(step.event, wire.ResponseHeaders):
        return step.event.response
    return None


def is_interim_head(head: http.Response) -> bool:
    """Whether another head follows: 100 (Continue), 103 (Early Hints) …"""
    return head.status_code // 100 == 1 and head.status_code != 101


def received_failure(step: Any) -> wire.ResponseProtocolError | None:
    """The failure of a reply, if the step passes one on."""
    if isinstance(step, ReceiveHttp) and isinstance(step.event, wire.ResponseProtocolError):
        return step.event
    return None


def plain_words(message: str) -> str:
    """The message in words for people, without any bytes of the upstream."""
    matches = (words for start, words in ERROR_WORDS.items() if message.startswith(start))
    return next(matches, message)
