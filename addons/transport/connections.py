"""Connections to the upstream on which one stream may make several attempts.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client

from addons.transport.attempts import Steps


class RelayHttp1Client(Http1Client):
    """Passes on the data of each read in one piece, and reports a dead connection only once."""

    def read_body(self, event: events.Event) -> Steps:
        parts: list[bytes] = []
        for step in super().read_body(event):
            if isinstance(step, ReceiveHttp) and isinstance(step.event, wire.ResponseData):
                parts.append(step.event.data)
                continue
            yield from self.receive_joined(parts)
            yield step
        yield from self.receive_joined(parts)

    def receive_joined(self, parts: list[bytes]) -> Steps:
        """Pass on the parts in one piece, and empty the list."""
        if parts and self.stream_id is not None:
            yield ReceiveHttp(wire.ResponseData(self.stream_id, b"".join(parts)))
            parts.clear()

    def _handle_event(self, event: events.Event) -> Steps:
        for step in super()._handle_event(event):
            yield step
            if isinstance(step, ReceiveHttp) and (
                isinstance(step.event, wire.ResponseProtocolError)
            ):
                self.state = self.done  # the close that follows must not fail the next attempt
        if isinstance(event, wire.RequestProtocolError):
            self.state = self.done


class RelayHttp2Client(Http2Client):
    """Gives one stream of the client a new stream to the upstream for each attempt."""

    def _handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, wire.RequestHeaders):
            self.our_stream_id.pop(event.stream_id, None)
        yield from super()._handle_event(event)
