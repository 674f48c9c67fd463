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
from addons.transport.client_limits import (
    client_limits,
    mark_progress,
    mark_served,
    mark_waiting,
)
from translate import error_body

# s that the relay reads on, and drops what it reads, after it has refused a request: a connection
# that is closed before would take the reply away from a client that is still sending.
LINGER = 10.0
BLANK_LINES = b"\r\n"
HEAD_ENDS = (b"\n\r\n", b"\n\n")
REASONS = {400: "Bad Request", 431: "Request Header Fields Too Large"}


class RelayHttp1Server(Http1Server):
    """Refuses heads that are too large, ignores trailers, and ends connections that linger."""

    linger_end: commands.RequestWakeup | None = None  # closes a connection with a refused request

    def _handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, events.Wakeup):
            if event.command is self.linger_end:
                yield commands.CloseConnection(self.conn)
            return
        yield from super()._handle_event(event)
        if isinstance(event, events.ConnectionClosed):
            mark_served(self.conn)  # it is gone
        elif self.state == self.read_headers:
            mark_waiting(self.conn)
        elif self.state == self.read_body:
            mark_progress(self.conn)
            # What is left is the line before a chunk, or trailers.
            if len(self.buf) > client_limits().head_bytes:
                yield from self.refuse_body()
        elif self.state != self.passthrough:  # in a tunnel, the connection within it says so
            mark_served(self.conn)
            if len(self.buf) > client_limits().surplus_bytes:
                yield from self.close_connection("The client sent on without waiting for a reply.")

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
        """Drop blank lines before a head: mitmproxy would read one of them for each event."""
        if not data:  # the buffer has what followed the request before
            data = bytes(self.buf)
        if len(self.buf) == len(data) and (count := len(data) - len(data.lstrip(BLANK_LINES))):
            self.buf.maybe_extract_at_most(count)

    def is_head_too_large(self) -> bool:
        """Whether the head at the start of the buffer, complete or not, is too large."""
        limit = client_limits().head_bytes
        if len(self.buf) <= limit:
            return False
        start = bytes(self.buf)[:limit]
        return not any(end in start for end in HEAD_ENDS)

    def read_body(self, event: events.Event) -> Steps:
        """Pass on the data of each read in one piece, as small chunks would take much memory."""
        parts: list[bytes] = []
        try:
            for step in super().read_body(event):
                if isinstance(step, ReceiveHttp) and isinstance(step.event, wire.RequestData):
                    parts.append(step.event.data)
                else:
                    yield from self.receive_joined(parts)
                    yield step
            yield from self.receive_joined(parts)
        except NotImplementedError:  # mitmproxy's for trailers, which have been read
            yield from self.receive_joined(parts)
            yield ReceiveHttp(wire.RequestEndOfMessage(self.stream_id))
            yield from self.mark_done(request=True)

    def receive_joined(self, parts: list[bytes]) -> Steps:
        if parts:
            data = wire.RequestData(self.stream_id, b"".join(parts))
            parts.clear()
            yield ReceiveHttp(data)

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


class RelayHttp2Server(Http2Server):
    """Refuses heads that are too large, and stops streams whose request is refused early."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # Past the limit a head gets a 431; past twice as much h2 closes the connection.
        limit = client_limits().head_bytes
        self.h2_conn.local_settings.max_header_list_size = limit  # announced to the client
        self.h2_conn.local_settings.acknowledge()
        self.h2_conn.decoder.max_header_list_size = 2 * limit  # kept here

    def _handle_event(self, event: events.Event) -> Steps:
        yield from super()._handle_event(event)
        if isinstance(event, wire.ResponseEndOfMessage):
            yield from self.stop_upload(event.stream_id)
            if self.is_closed(event.stream_id):
                self.streams.pop(event.stream_id, None)
        if self.streams or isinstance(event, events.ConnectionClosed):
            mark_served(self.conn)
        else:
            mark_waiting(self.conn)

    def stop_upload(self, stream_id: int) -> Steps:
        """Tell a client that has its whole response, and is still sending, to stop."""
        stream = self.h2_conn.streams.get(stream_id)
        if stream and stream.state_machine.state is StreamState.HALF_CLOSED_LOCAL:
            self.h2_conn.reset_stream(stream_id, ErrorCodes.NO_ERROR)
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())
