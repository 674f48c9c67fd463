"""Connections of clients. What a client can make a connection hold is bounded: the head of a
request, the lines between its chunks, its trailers, and requests that it sends too early.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from h2.errors import ErrorCodes
from h2.stream import StreamState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Server

from addons.transport.attempts import Steps
from addons.transport.chunked_body import fast_reader
from addons.transport.client_limits import client_limits
from addons.transport.connections import without_frame_notices
from addons.transport.failure_guard import GuardedConnection
from addons.transport.idle_clients import mark_progress, mark_served, mark_waiting
from addons.transport.read_gate import set_reading
from translate import error_body

# s that the relay reads on, and drops what it reads, after it has refused a request: a connection
# that is closed before would take the reply away from a client that is still sending.
LINGER = 10.0
READ_AHEAD = 64 << 10  # bytes of the next request that are read before the reply has ended
BLANK_LINES = b"\r\n"
HEAD_ENDS = (b"\n\r\n", b"\n\n")
REASONS = {400: "Bad Request", 431: "Request Header Fields Too Large"}


class RelayHttp1Server(GuardedConnection, Http1Server):
    """Refuses heads that are too large, ignores trailers, and ends connections that linger."""

    linger_end: commands.RequestWakeup | None = None  # closes a connection with a refused request

    def _handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, events.Wakeup):
            if event.command is self.linger_end:
                yield commands.CloseConnection(self.conn)
            return
        yield from super()._handle_event(event)
        if isinstance(event, events.ConnectionClosed):
            mark_served(self.conn)
        elif self.state != self.passthrough:  # else the connection inside the tunnel does it
            yield from self.bound_input()

    def bound_input(self) -> Steps:
        """Called after each event, to bound what the client sends and how long it takes for it."""
        is_reading = self.state in (self.read_headers, self.read_body)
        set_reading(self.conn, is_reading or len(self.buf) < READ_AHEAD)
        if self.state == self.read_headers:
            mark_waiting(self.conn)
        elif not is_reading:
            mark_served(self.conn)
        else:
            mark_progress(self.conn)
            # What remains in the buffer is the line before a chunk, or trailers.
            if len(self.buf) > client_limits().head_bytes:
                yield from self.refuse_body()

    def make_pipe(self) -> Steps:
        set_reading(self.conn, True)  # the buffer is passed on
        yield from super().make_pipe()

    def read_headers(self, event: events.ConnectionEvent) -> Steps:
        if isinstance(event, events.DataReceived):
            self.drop_blank_lines(event.data)
            if self.is_head_too_large():
                limit = client_limits().head_bytes
                message = f"The head of the request is larger than {limit} (relay_max_head)."
                yield from self.refuse_head(431, message)
                return
        else:
            self.drop_input()  # mitmproxy would log all of it
        for step in super().read_headers(event):
            if isinstance(step, commands.SendData) and self.state == self.read_headers:
                # mitmproxy's page and log line would repeat what the client sent.
                yield from self.refuse_head(400, "The head of the request is not valid HTTP.")
                return
            yield step

    def drop_blank_lines(self, data: bytes) -> None:
        """Drop blank lines before a head: mitmproxy reads only one of them at an event."""
        if not data:  # the buffer holds what followed the previous request
            data = bytes(self.buf)
        if len(self.buf) == len(data) and (count := len(data) - len(data.lstrip(BLANK_LINES))):
            self.buf.maybe_extract_at_most(count)

    def is_head_too_large(self) -> bool:
        """Whether the head at the start of the buffer, which may be incomplete, is too large."""
        limit = client_limits().head_bytes
        if len(self.buf) <= limit:
            return False
        start = bytes(self.buf)[:limit]
        return not any(end in start for end in HEAD_ENDS)

    def read_body(self, event: events.Event) -> Steps:
        self.body_reader = fast_reader(self.body_reader)
        yield from super().read_body(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> Steps:
        head = self.response
        if (
            response
            and not self.request_done
            and head
            and head.headers.get("connection") == "close"
        ):
            yield from self.start_linger()  # the request is refused before its end
        yield from super().mark_done(request=request, response=response)

    def refuse_head(self, status: int, message: str) -> Steps:
        """Reply with an error, and drop what the client sends on."""
        self.state = self.discard_input
        self.drop_input()
        body = error_body(status, message)
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        yield commands.SendData(self.conn, head.encode() + body)
        yield from self.start_linger()

    def refuse_body(self) -> Steps:
        """End a request whose lines between chunks, or whose trailers, are too large."""
        message = "The lines between the chunks of the body are too large (relay_max_head)."
        if self.response:  # it has been answered
            yield from self.close_connection(message)
            return
        yield from self.refuse_head(431, message)
        code = wire.ErrorCode.GENERIC_CLIENT_ERROR
        yield ReceiveHttp(wire.RequestProtocolError(self.stream_id, message, code))

    def close_connection(self, reason: str) -> Steps:
        """Close the connection, and end what is under way on it."""
        self.state = self.done
        self.drop_input()
        yield commands.CloseConnection(self.conn)
        code = wire.ErrorCode.CLIENT_DISCONNECTED
        yield ReceiveHttp(wire.RequestProtocolError(self.stream_id, reason, code))

    def start_linger(self) -> Steps:
        if self.linger_end is None:
            self.linger_end = commands.RequestWakeup(LINGER)
            yield self.linger_end

    def discard_input(self, event: events.Event) -> Steps:
        self.drop_input()
        if isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.conn)

    def drop_input(self) -> None:
        self.buf.maybe_extract_at_most(len(self.buf))


class RelayHttp2Server(GuardedConnection, Http2Server):
    """Refuses heads that are too large, stops streams whose request is refused early, and notes
    when nothing but uploads is under way."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # Past the limit a head gets a 431; past twice as much h2 closes the connection.
        limit = client_limits().head_bytes
        self.h2_conn.local_settings.max_header_list_size = limit  # announced to the client
        self.h2_conn.local_settings.acknowledge()
        self.h2_conn.decoder.max_header_list_size = 2 * limit  # kept here
        self.upload_ids: set[int] = set()  # streams whose requests have not ended

    def _handle_event(self, event: events.Event) -> Steps:
        for step in without_frame_notices(super()._handle_event(event)):
            if isinstance(step, ReceiveHttp):
                self.note_upload(step.event)
            yield step
        if isinstance(event, wire.ResponseEndOfMessage):
            yield from self.stop_upload(event.stream_id)
            if self.is_closed(event.stream_id):
                self.streams.pop(event.stream_id, None)
        self.upload_ids.intersection_update(self.streams)
        if len(self.upload_ids) < len(self.streams) or isinstance(event, events.ConnectionClosed):
            mark_served(self.conn)
        else:
            mark_waiting(self.conn)

    def note_upload(self, event: wire.HttpEvent) -> None:
        """Note where an upload begins and ends, and that it comes on."""
        match event:
            case wire.RequestHeaders(stream_id=stream, end_stream=False):
                self.upload_ids.add(stream)
                mark_progress(self.conn)
            case wire.RequestData(data=data) if data:
                mark_progress(self.conn)
            case wire.RequestEndOfMessage(stream_id=stream):
                self.upload_ids.discard(stream)

    def stop_upload(self, stream_id: int) -> Steps:
        """Tell a client that has its whole response, and is still sending, to stop."""
        stream = self.h2_conn.streams.get(stream_id)
        if stream and stream.state_machine.state is StreamState.HALF_CLOSED_LOCAL:
            self.h2_conn.reset_stream(stream_id, ErrorCodes.NO_ERROR)
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())
