"""Retries, heartbeats and clean endings for a flow with a `Line`; other flows are left alone.

With `attempts`, which has upstream's side, the one place on mitmproxy's private API, that of 12.2:
a layer is fed events and yields commands.
"""

import logging
import time
from collections.abc import Iterable, Iterator

from mitmproxy import http, version
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http import GetHttpConnectionCompleted, HttpStream, SendHttp
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client

from addons.attempts import Attempts, RelayClient, RelayClient2, Steps
from addons.line import OWN, Line, attach, own, sse_head
from addons.retry import retry_policy
from translate import error_body

__all__ = ["Line", "Transport", "attach", "own", "retry_policy", "sse_head"]

UPWARD = (wire.RequestHeaders, wire.RequestData, wire.RequestTrailers)
MITMPROXY = "12.2"
SHORTEST, LONGEST = 0.01, 5.0  # s between two ticks; a finished stream is kept for one more
POLL = 0.5  # s until a stream looks again whether its `request` hook has attached a line


class RelayStream(Attempts):
    """The client's side: it hears from us while upstream is silent, and always gets an ending."""

    clock: commands.RequestWakeup | None = None  # the next tick; an older one is void
    sent = heard = 0.0  # monotonic time of the last byte to the client, of the last from upstream

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

    def to_upstream(self, line: Line, event: wire.HttpEvent) -> Iterator[wire.HttpEvent]:
        """The line's request for the client's, with the key, which nothing shows or saves."""
        match event:
            case wire.RequestHeaders(stream_id=stream):
                request = line.request.copy()
                request.headers.update(line.secrets)
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
            case wire.ResponseProtocolError(code=code) if code is not wire.ErrorCode.KILL:
                yield from self.failure(line, event.message)
            case _:
                yield event

    def failure(self, line: Line, reason: str) -> Iterator[wire.HttpEvent]:
        """What the client gets in place of mitmproxy's HTML page or of a torn connection."""
        if self.headed:
            tail = line.exchange.cut(reason)
        else:
            reply = line.exchange.unreachable(reason)
            tail = reply.body
            head = http.Response.make(reply.status, reply.body, reply.headers)
            yield wire.ResponseHeaders(self.stream_id, head)
        if tail:
            yield wire.ResponseData(self.stream_id, tail)
        yield wire.ResponseEndOfMessage(self.stream_id)

    # The clock: heartbeats for the client, a limit to the silence of upstream.

    def _handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, wire.RequestEndOfMessage):
            self.sent = time.monotonic()
            yield self.wind(POLL)
        yield from super()._handle_event(event)

    def make_server_connection(self) -> CommandGenerator[bool]:
        if line := self.line:
            yield self.next_tick(line)
        return (yield from super().make_server_connection())

    def wind(self, delay: float) -> commands.RequestWakeup:
        self.clock = commands.RequestWakeup(min(max(delay, SHORTEST), LONGEST))
        return self.clock

    def next_tick(self, line: Line) -> commands.RequestWakeup:
        beat = self.sent + (line.heartbeat or LONGEST)
        return self.wind(min(beat, self.heard + line.silence) - time.monotonic())

    def tick(self) -> Steps:
        line, now = self.line, time.monotonic()
        if line is None:
            if isinstance(self.waits_for, HttpRequestHook):
                yield self.wind(POLL)
            return
        if not self.flow.live:
            return
        if line.heartbeat and now >= self.sent + line.heartbeat:
            self.sent = now
            yield from self.beat(line)
        if now >= self.heard + line.silence:
            self.heard = now
            yield from self.silent(f"upstream silent for {line.silence:g} s (relay_timeout)")
        yield self.next_tick(line)

    def beat(self, line: Line) -> Steps:
        if data := line.exchange.heartbeat():
            if not self.headed:
                head = line.head()
                if self.flow.request.is_http10:
                    head.headers.pop("transfer-encoding", None)
                yield SendHttp(wire.ResponseHeaders(self.stream_id, head), self.context.client)
            yield SendHttp(wire.ResponseData(self.stream_id, data), self.context.client)

    def silent(self, reason: str) -> Steps:
        if self.waits_for:
            yield from self.abandon(reason)
        elif self.server_state != self.state_waiting:
            died = self.stream_id, reason, wire.ErrorCode.CANCEL
            yield SendHttp(wire.RequestProtocolError(*died), self.context.server)
            yield from super().handle_event(wire.ResponseProtocolError(*died))


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
