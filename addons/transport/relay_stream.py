"""Retries, heartbeats and clean endings for a flow with a `RelayPlan`; other flows are left alone.

Only the modules of this package use mitmproxy's private API, which `contract` lists. A layer of
mitmproxy's receives events and yields commands. Two kinds of layers are replaced:

- the stream, one request and its reply. Its class is built in five steps, each of which derives
  from the one before: `attempts` sends the request again, `reply_body` decodes and bounds the
  reply, `stream_start` probes its start, `heartbeat` adds the timer, and `RelayStream` in this
  module has the client's side;
- the connections below it: `client_connections` and `connections`, the latter to upstreams.

`failure_guard` ends what the relay's own failures break, in either of them.

An event for the stream passes `upstream_mask`, which hides the upstream's key, before any step
sees it. A command of the stream passes `write_barrier`, which holds the reply's end until the
response is stored, and then `adapt_commands`, which writes what client and upstream get.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mitmproxy import http
from mitmproxy.flow import Error
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http import (
    DropStream,
    GetHttpConnectionCompleted,
    HttpStream,
    SendHttp,
)
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server

from addons.flow_data import OWN_PORT, hidden_values, restore_hidden_headers, with_headers
from addons.transport.attempts import Steps
from addons.transport.client_connections import RelayHttp1Server, RelayHttp2Server
from addons.transport.client_limits import body_limit, client_limits
from addons.transport.connections import RelayHttp1Client, RelayHttp2Client
from addons.transport.failure_guard import RELAY_FAILURE, guard_steps
from addons.transport.heartbeat import HeartbeatStream
from addons.transport.plan import RelayPlan, detach_plan
from addons.transport.write_barrier import hold_until_written
from translate import error_body

NO_HOST = "The request has no Host header."
# mitmproxy's code → status of the reply, and the parameter that is at fault
CLIENT_MISTAKES: Mapping[wire.ErrorCode, tuple[int, str | None]] = {
    wire.ErrorCode.DESTINATION_UNKNOWN: (400, "host"),
    wire.ErrorCode.REQUEST_TOO_LARGE: (413, None),
    wire.ErrorCode.REQUEST_VALIDATION_FAILED: (400, None),
}
REQUEST_EVENTS = (wire.RequestHeaders, wire.RequestData, wire.RequestTrailers)


class RelayStream(HeartbeatStream):
    """Gives the client heartbeats and a proper ending, whatever the upstream does."""

    error_ending: Sequence[wire.HttpEvent] = ()  # sent to the client for the upstream's error

    def state_wait_for_request_headers(self, event: wire.RequestHeaders) -> Steps:
        # The base class would make the flow itself, and run its hooks before it could be marked.
        if event.replay_flow is None:
            event.replay_flow = http.HTTPFlow(self.context.client, self.context.server)
            request, tunnel = event.request, self.context.server.address
            # HTTP/2 has no origin-form; a request through the proxy has another scheme, or CONNECT.
            direct = request.scheme == "https" if request.is_http2 else not request.host
            if direct and not tunnel and request.method != "CONNECT":
                event.replay_flow.metadata[OWN_PORT] = True
        expects_continue = "expect" in event.request.headers
        yield from super().state_wait_for_request_headers(event)
        if self.client_state != self.state_consume_request_body or event.end_stream:
            return
        if self.flow.response and (expects_continue or is_large_body(event.request)):
            yield from self.answer_early()

    def state_consume_request_body(self, event: events.Event) -> Steps:
        if isinstance(event, wire.RequestData):
            if self.flow.response:
                return  # the head was refused: a client without access must not fill the memory
            limit = body_limit(self.flow)
            size = len(self.request_body_buf) + len(event.data)
            if limit and not limit.admit_size(size):
                yield from self.answer_early()
                return
        yield from super().state_consume_request_body(event)

    def answer_early(self) -> Steps:
        """Send the response that an addon has set, and drop the rest of the request's body."""
        self.request_body_buf.clear()  # type: ignore[no-untyped-call]  # mitmproxy's
        if self.flow.response and not self.flow.request.is_http2:
            self.flow.response.headers["connection"] = "close"
        yield from self.state_consume_request_body(wire.RequestEndOfMessage(self.stream_id))

    def _handle_event(self, event: events.Event) -> Steps:
        steps = super()._handle_event(event)
        if self.relay_plan:
            steps = hold_until_written(self.flow, steps, self.context.client)
        yield from steps

    # Every event enters here, and every command leaves here, whatever the stream is waiting for.

    def handle_event(self, event: events.Event) -> Steps:
        steps = self.adapt_commands(self.event_steps(event))
        yield from guard_steps(steps, self.end_failed_stream)
        end_states = self.state_done, self.state_errored
        states = self.client_state, self.server_state
        # A stream that waits, as for its response to be written, has the reply still to send.
        if self.relay_plan and not self._paused and all(each in end_states for each in states):
            detach_plan(self.flow)
            if self.client_state == self.server_state == self.state_done:
                del self.flow  # the last tick keeps the stream for a while, but not the flow

    def event_steps(self, event: events.Event) -> Steps:
        if isinstance(event, events.Wakeup) and event.command is self.tick:
            yield from self.handle_tick()
        elif (
            not isinstance(event, GetHttpConnectionCompleted)
            or event.command is self.awaited_command
        ):
            self.last_event_at = time.monotonic()
            yield from super().handle_event(event)
            if isinstance(event, wire.RequestProtocolError) and self.relay_plan:
                yield from self.abandon_connection("client left")

    def end_failed_stream(self) -> Steps:
        """Called after a failure of the relay's own: end the reply in the client's dialect, and if
        that fails, too, without a word."""
        if self.relay_plan and not self.stop_reason:
            self.stop_reason = RELAY_FAILURE
            self.clear_body()  # it may hold what took the memory
            yield from guard_steps(self.adapt_commands(self.stop_stream()), self.abort_stream)
        else:
            yield from self.abort_stream()

    def abort_stream(self) -> Steps:
        """End the stream and both of its sides, without a call to the plan or an addon."""
        is_ended = self.server_state in (self.state_done, self.state_errored)
        self.client_state = self.server_state = self.state_errored
        self._paused, self.tick = None, None
        self._paused_event_queue.clear()
        self.clear_body()
        yield from self.cancel_upstream(RELAY_FAILURE)
        for event in self.failure_events():
            yield SendHttp(event, self.context.client)
        if "flow" in vars(self):
            detach_plan(self.flow)
            self.flow.live = False
            if not is_ended:
                self.flow.error = Error(RELAY_FAILURE)
                hook = HttpErrorHook(self.flow)
                hook.blocking = False  # the stream is not there to wait for it
                yield hook
        yield DropStream(self.stream_id)

    def failure_events(self) -> list[wire.HttpEvent]:
        """A reply for a client that has nothing of one; another one is cut off."""
        if not self.head_sent:
            return self.whole_reply_events(500, error_body(500, RELAY_FAILURE))
        code = wire.ErrorCode.GENERIC_SERVER_ERROR
        return [wire.ResponseProtocolError(self.stream_id, RELAY_FAILURE, code)]

    def adapt_commands(self, steps: Iterable[commands.Command]) -> Steps:
        """The commands, with their events changed to those that the client or the upstream gets."""
        for step in steps:
            if isinstance(step, SendHttp):
                for event in self.adapted_events(step):
                    if step.connection is self.context.client:
                        self.last_client_byte_at = time.monotonic()
                    yield SendHttp(event, step.connection)
            else:
                yield step

    def adapted_events(self, step: SendHttp) -> Iterable[wire.HttpEvent]:
        """What is sent in place of the step's event."""
        plan, event = self.relay_plan, step.event
        if plan and step.connection is self.context.client:
            return self.client_events(plan, event)
        if plan and isinstance(event, REQUEST_EVENTS):
            return self.upstream_events(plan, event)
        if isinstance(event, wire.ResponseProtocolError):
            return self.error_events(event)
        restored_event = self.restore_hidden(event) if "flow" in vars(self) else event
        if isinstance(event, wire.ResponseHeaders):
            self.head_sent = self.head_sent or event.response.status_code != 100
        return [restored_event]

    def error_events(self, event: wire.ResponseProtocolError) -> list[wire.HttpEvent]:
        """The error, but in JSON for mistakes of the client's, which mitmproxy answers in HTML."""
        if event.code not in CLIENT_MISTAKES:
            return [event]
        status, param = CLIENT_MISTAKES[event.code]
        message = NO_HOST if param == "host" else event.message
        return self.whole_reply_events(status, error_body(status, message, param=param))

    def whole_reply_events(self, status: int, body: bytes) -> list[wire.HttpEvent]:
        """A whole reply, after which the connection of an HTTP/1 client is closed."""
        headers = {"content-type": "application/json", "connection": "close"}
        return [
            wire.ResponseHeaders(self.stream_id, http.Response.make(status, body, headers)),
            wire.ResponseData(self.stream_id, body),
            wire.ResponseEndOfMessage(self.stream_id),
        ]

    def restore_hidden(self, event: wire.HttpEvent) -> wire.HttpEvent:
        """The event with the values that are hidden on the flow, as it is sent."""
        hidden = hidden_values(self.flow)
        match event:
            case wire.RequestHeaders(stream_id=stream, request=request, end_stream=end):
                if hidden.request_headers:
                    headers = restore_hidden_headers(request.headers, hidden.request_headers)
                    return wire.RequestHeaders(stream, with_headers(request, headers), end)
            case wire.ResponseHeaders(stream_id=stream, response=response, end_stream=end):
                if hidden.response_headers:
                    headers = restore_hidden_headers(response.headers, hidden.response_headers)
                    return wire.ResponseHeaders(stream, with_headers(response, headers), end)
            case wire.ResponseData(stream_id=stream) if hidden.reply_body is not None:
                return wire.ResponseData(stream, hidden.reply_body)
        return event

    def upstream_events(self, plan: RelayPlan, event: wire.HttpEvent) -> Iterator[wire.HttpEvent]:
        """The plan's request in place of the client's, with the key, which is never put on the
        flow."""
        match event:
            case wire.RequestHeaders(stream_id=stream):
                headers, credentials = plan.upstream_request.headers.copy(), plan.credentials()
                headers.update(credentials)
                self.upstream_mask.add_credentials(credentials.values())
                request = with_headers(plan.upstream_request, headers)
                yield wire.RequestHeaders(stream, request, False)
            case wire.RequestData(stream_id=stream):
                yield wire.RequestData(stream, plan.upstream_request.raw_content or b"")

    def client_events(self, plan: RelayPlan, event: wire.HttpEvent) -> Iterator[wire.HttpEvent]:
        """The client's events: one head at most, and for an error an ending in its dialect."""
        match event:
            case wire.ResponseHeaders(response=response):
                if not self.head_sent:
                    self.head_sent = response.status_code >= 200
                    yield event
            case wire.ResponseData(data=b""):
                pass  # it would end a chunked response
            case wire.ResponseData(data=data):
                event.data = self.upstream_mask.mask_events(data)
                plan.on_client_bytes(event.data)
                yield event
            case wire.ResponseProtocolError(code=code) if code is not wire.ErrorCode.KILL:
                if not self.error_ending:  # `handle_protocol_error` did not get this error
                    self.prepare_ending(plan, event)
                yield from self.error_ending
            case _:
                yield event

    def prepare_ending(self, plan: RelayPlan, event: wire.ResponseProtocolError) -> None:
        """Prepare an error in the client's dialect, in place of mitmproxy's HTML page or of a
        broken stream."""
        ending: list[wire.HttpEvent] = []
        if self.head_sent:
            data = self.upstream_mask.mask_events(plan.exchange.interrupt(event.message))
        else:
            reply = plan.exchange.unreachable_reply(event.message)
            data = reply.body
            headers = {**reply.headers, **plan.relay_headers()}
            self.flow.response = http.Response.make(reply.status, data, headers)
            ending.append(wire.ResponseHeaders(self.stream_id, self.flow.response))
        if data:
            plan.on_client_bytes(data)
            ending.append(wire.ResponseData(self.stream_id, data))
        self.error_ending = [*ending, wire.ResponseEndOfMessage(self.stream_id)]


def is_large_body(request: http.Request) -> bool:
    """Whether the body of a request, which is dropped, is too large to be waited for."""
    length = request.headers.get("content-length", "")
    return not length.isdecimal() or int(length) > client_limits().surplus_bytes


layer_namespace = vars(layers)  # mitmproxy looks up the classes here
ORIGINALS = {
    "HttpStream": HttpStream,
    "Http1Client": Http1Client,
    "Http1Server": Http1Server,
    "Http2Client": Http2Client,
    "Http2Server": Http2Server,
}
REPLACEMENTS = {
    "HttpStream": RelayStream,
    "Http1Client": RelayHttp1Client,
    "Http1Server": RelayHttp1Server,
    "Http2Client": RelayHttp2Client,
    "Http2Server": RelayHttp2Server,
}
