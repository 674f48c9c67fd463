"""Retries, heartbeats and clean endings for a flow with a `Line`; other flows are left alone.

With `attempts` and `connections`, which have upstream's side, `held` and `clock` the one place on
mitmproxy's private API, that of 12.2: a layer is fed events and yields commands.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence

from mitmproxy import http, version
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http import GetHttpConnectionCompleted, HttpStream, SendHttp
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client

from addons.flow_data import OWN, hidden_of, own, restored
from addons.transport.attempts import Steps
from addons.transport.connections import RelayClient, RelayClient2
from addons.transport.heartbeat import Clock
from addons.transport.plan import Line, attach, detach, sse_head
from addons.transport.retry_policy import retry_policy
from translate import error_body

__all__ = ["Line", "Transport", "attach", "own", "retry_policy", "sse_head"]

UPWARD = (wire.RequestHeaders, wire.RequestData, wire.RequestTrailers)
MITMPROXY = "12.2"


class RelayStream(Clock):
    """The client's side: it hears from us while upstream is silent, and always gets an ending."""

    ending: Sequence[wire.HttpEvent] = ()  # what the client gets for an error of upstream's

    def state_wait_for_request_headers(self, event: wire.RequestHeaders) -> Steps:
        if event.replay_flow is None:  # else the base class makes one and runs the hook on it
            event.replay_flow = http.HTTPFlow(self.context.client, self.context.server)
            request, tunnel = event.request, self.context.server.address
            # HTTP/2 has no origin-form; through us goes another scheme, or a CONNECT.
            direct = request.scheme == "https" if request.is_http2 else not request.host
            if direct and not tunnel and request.method != "CONNECT":
                event.replay_flow.metadata[OWN] = True
        yield from super().state_wait_for_request_headers(event)

    def state_consume_request_body(self, event: events.Event) -> Steps:
        if isinstance(event, wire.RequestData) and self.flow.response:
            return  # refused by its head: who may not come in may not fill our memory
        yield from super().state_consume_request_body(event)

    # Every event enters and every command leaves here, whatever the stream is waiting for.

    def handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, events.Wakeup) and event.command is self.clock:
            yield from self.outward(self.tick())
        elif not isinstance(event, GetHttpConnectionCompleted) or event.command is self.waits_for:
            self.heard = time.monotonic()
            yield from self.outward(super().handle_event(event))
            if isinstance(event, wire.RequestProtocolError) and self.line:
                yield from self.outward(self.abandon("client left"))
        over = self.state_done, self.state_errored
        if self.line and self.client_state in over and self.server_state in over:
            detach(self.flow)
            if self.client_state == self.server_state == self.state_done:
                del self.flow  # the clock keeps the stream for one more tick

    def outward(self, steps: Iterable[commands.Command]) -> Steps:
        for step in steps:
            if isinstance(step, SendHttp) and step.connection is self.context.client and self.line:
                for event in self.to_client(self.line, step.event):
                    self.sent = time.monotonic()
                    yield SendHttp(event, step.connection)
            elif isinstance(step, SendHttp) and self.line and isinstance(step.event, UPWARD):
                for event in self.to_upstream(self.line, step.event):
                    yield SendHttp(event, step.connection)
            elif isinstance(step, SendHttp) and isinstance(step.event, wire.ResponseProtocolError):
                for event in self.placed(step.event):
                    yield SendHttp(event, step.connection)
            elif isinstance(step, SendHttp) and "flow" in vars(self):
                yield SendHttp(self.unmasked(step.event), step.connection)
            else:
                yield step

    def placed(self, event: wire.ResponseProtocolError) -> list[wire.HttpEvent]:
        """A request without a Host was for us; mitmproxy would answer it in HTML."""
        if event.code is not wire.ErrorCode.DESTINATION_UNKNOWN:
            return [event]
        body = error_body(400, "The request has no Host header.", param="host")
        head = http.Response.make(400, body, {"content-type": "application/json"})
        return [
            wire.ResponseHeaders(self.stream_id, head),
            wire.ResponseData(self.stream_id, body),
            wire.ResponseEndOfMessage(self.stream_id),
        ]

    def unmasked(self, event: wire.HttpEvent) -> wire.HttpEvent:
        """The message as it leaves, where the flow shows less of it."""
        hidden = hidden_of(self.flow)
        match event:
            case wire.RequestHeaders(stream_id=stream, request=request, end_stream=end):
                if hidden.request:
                    request = request.copy()
                    request.headers = restored(request.headers, hidden.request)
                    return wire.RequestHeaders(stream, request, end)
            case wire.ResponseHeaders(stream_id=stream, response=response, end_stream=end):
                if hidden.response:
                    response = response.copy()
                    response.headers = restored(response.headers, hidden.response)
                    return wire.ResponseHeaders(stream, response, end)
            case wire.ResponseData(stream_id=stream) if hidden.body is not None:
                return wire.ResponseData(stream, hidden.body)
        return event

    def to_upstream(self, line: Line, event: wire.HttpEvent) -> Iterator[wire.HttpEvent]:
        """The line's request for the client's, with the key, which nothing shows or saves."""
        match event:
            case wire.RequestHeaders(stream_id=stream):
                request = line.request.copy()
                request.headers.update(line.secrets())
                yield wire.RequestHeaders(stream, request, False)
            case wire.RequestData(stream_id=stream):
                yield wire.RequestData(stream, line.request.raw_content or b"")

    def to_client(self, line: Line, event: wire.HttpEvent) -> Iterator[wire.HttpEvent]:
        match event:
            case wire.ResponseHeaders(response=response):
                if not self.headed:
                    self.headed = response.status_code >= 200
                    yield event
            case wire.ResponseData(data=b""):
                pass  # on a chunked response it would be the end
            case wire.ResponseData(data=data):
                line.told(data)
                yield event
            case wire.ResponseProtocolError(code=code) if code is not wire.ErrorCode.KILL:
                if not self.ending:  # it was no protocol error, but one of mitmproxy's checks
                    self.prepare(line, event)
                yield from self.ending
            case _:
                yield event

    def prepare(self, line: Line, event: wire.ResponseProtocolError) -> None:
        """What the client gets in place of mitmproxy's HTML page or of a torn connection."""
        events: list[wire.HttpEvent] = []
        if self.headed:
            tail = line.exchange.cut(event.message)
        else:
            reply = line.exchange.unreachable(event.message)
            tail = reply.body
            self.flow.response = http.Response.make(reply.status, tail, reply.headers)
            events.append(wire.ResponseHeaders(self.stream_id, self.flow.response))
        if tail:
            line.told(tail)
            events.append(wire.ResponseData(self.stream_id, tail))
        self.ending = [*events, wire.ResponseEndOfMessage(self.stream_id)]


ORIGINAL = {"HttpStream": HttpStream, "Http1Client": Http1Client, "Http2Client": Http2Client}
OURS = {"HttpStream": RelayStream, "Http1Client": RelayClient, "Http2Client": RelayClient2}


class Transport:
    """Puts our classes where mitmproxy looks up its own, and takes them back."""

    def load(self, _: object) -> None:
        if version.VERSION.startswith(f"{MITMPROXY}."):
            vars(layers).update(OURS)
        else:
            logging.error(f"codex-relay needs mitmproxy {MITMPROXY}, this is {version.VERSION}")

    def done(self) -> None:
        vars(layers).update(ORIGINAL)
