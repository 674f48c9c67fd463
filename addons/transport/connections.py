"""Upstream's connections, on which one stream may make several attempts.

On mitmproxy's private API, as `transport`, which see.
"""

from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client

from addons.transport.attempts import Steps


class RelayClient(Http1Client):
    """Hands on all that one read brought as one piece, and a dead connection's error only once."""

    def read_body(self, event: events.Event) -> Steps:
        parts: list[bytes] = []
        for step in super().read_body(event):
            if isinstance(step, ReceiveHttp) and isinstance(step.event, wire.ResponseData):
                parts.append(step.event.data)
                continue
            yield from self.joined(parts)
            yield step
        yield from self.joined(parts)

    def joined(self, parts: list[bytes]) -> Steps:
        if parts and self.stream_id is not None:
            yield ReceiveHttp(wire.ResponseData(self.stream_id, b"".join(parts)))
            parts.clear()

    def _handle_event(self, event: events.Event) -> Steps:
        for step in super()._handle_event(event):
            yield step
            if isinstance(step, ReceiveHttp) and (
                isinstance(step.event, wire.ResponseProtocolError)
            ):
                self.state = self.done  # its later close must not hit the next attempt
        if isinstance(event, wire.RequestProtocolError):
            self.state = self.done


class RelayClient2(Http2Client):
    """Lets one client stream have several upstream, one after the other."""

    def _handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, wire.RequestHeaders):
            self.our_stream_id.pop(event.stream_id, None)
        yield from super()._handle_event(event)
