"""Retries, heartbeats and clean endings for a flow with a `RelayPlan`; other flows are left alone.

Only the modules of this package use mitmproxy's private API, which `contract` lists. A layer of
mitmproxy's receives events and yields commands. The classes build on one another: `attempts` and
`connections` have the upstream's side, `stream_start` probes the start of a reply, `heartbeat` adds
the timer, and this module has the client's side.
"""

import logging
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http import GetHttpConnectionCompleted, HttpStream, SendHttp
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server

from addons.flow_data import OWN_PORT, hidden_values, restore_hidden_headers, with_headers
from addons.transport.attempts import Steps
from addons.transport.client_connections import RelayHttp1Server, RelayHttp2Server
from addons.transport.client_limits import body_limit, client_limits
from addons.transport.connections import RelayHttp1Client, RelayHttp2Client
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
BROKEN = "codex-relay failed at this reply; its log has the reason"
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
            if limit and len(self.request_body_buf) + len(event.data) > limit.max_bytes:
                limit.refuse()
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
        for masked_event in self.upstream_mask.mask_event(event):
            steps = super()._handle_event(masked_event)
            if self.relay_plan:
                steps = hold_until_written(self.flow, steps, self.context.client)
            yield from steps

    # Every event enters here, and every command leaves here, whatever the stream is waiting for.

    def handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, events.Wakeup) and event.command is self.tick:
            yield from self.adapt_commands(self.handle_tick())
        elif (
            not isinstance(event, GetHttpConnectionCompleted)
            or event.command is self.awaited_command
        ):
            self.last_event_at = time.monotonic()
            try:
                yield from self.adapt_commands(super().handle_event(event))
            except Exception as error:  # also of an addon's function, and for lack of memory
                if not self.relay_plan or self.stop_reason:
                    raise
                traceback.clear_frames(error.__traceback__)  # they may hold what took the memory
                self.stop_reason = BROKEN
                logging.exception("codex-relay failed at a reply")
            if self.stop_reason == BROKEN and self.server_state != self.state_errored:
                yield from self.adapt_commands(self.end_broken_stream())
            if isinstance(event, wire.RequestProtocolError) and self.relay_plan:
                yield from self.adapt_commands(self.abandon_connection("client left"))
        end_states = self.state_done, self.state_errored
        states = self.client_state, self.server_state
        # A stream that waits, as for its response to be written, has the reply still to send.
        if self.relay_plan and not self._paused and all(each in end_states for each in states):
            detach_plan(self.flow)
            if self.client_state == self.server_state == self.state_done:
                del self.flow  # the last tick keeps the stream for a while, but not the flow

    def end_broken_stream(self) -> Steps:
        """End the reply as failed after an error of the relay's own."""
        self.clear_body()
        if self.context.server in self.http_layer.connections:
            yield from self.cancel_upstream(BROKEN)
        failure = self.stream_id, BROKEN, wire.ErrorCode.GENERIC_SERVER_ERROR
        yield from self.handle_protocol_error(wire.ResponseProtocolError(*failure))

    def adapt_commands(self, steps: Iterable[commands.Command]) -> Steps:
        """The commands, with their events changed to those that the client or the upstream gets."""
        for step in steps:
            if (
                isinstance(step, SendHttp)
                and step.connection is self.context.client
                and self.relay_plan
            ):
                for event in self.client_events(self.relay_plan, step.event):
                    self.last_client_byte_at = time.monotonic()
                    yield SendHttp(event, step.connection)
            elif (
                isinstance(step, SendHttp)
                and self.relay_plan
                and isinstance(step.event, REQUEST_EVENTS)
            ):
                for event in self.upstream_events(self.relay_plan, step.event):
                    yield SendHttp(event, step.connection)
            elif isinstance(step, SendHttp) and isinstance(step.event, wire.ResponseProtocolError):
                for event in self.error_events(step.event):
                    yield SendHttp(event, step.connection)
            elif isinstance(step, SendHttp) and "flow" in vars(self):
                yield SendHttp(self.restore_hidden(step.event), step.connection)
            else:
                yield step

    def error_events(self, event: wire.ResponseProtocolError) -> list[wire.HttpEvent]:
        """The error, but in JSON for mistakes of the client's, which mitmproxy answers in HTML."""
        if event.code not in CLIENT_MISTAKES:
            return [event]
        status, param = CLIENT_MISTAKES[event.code]
        body = error_body(status, NO_HOST if param == "host" else event.message, param=param)
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
            data = plan.exchange.interrupt(event.message)
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
