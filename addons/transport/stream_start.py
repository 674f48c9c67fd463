"""Holds back the start of a streamed reply until it has content, so that a failure before that can
still lead to another attempt, as an HTTP status can.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from collections.abc import Callable

from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http import _events as wire

from addons.flow_data import mask_secrets
from addons.transport.attempts import RetryingStream, Steps
from addons.transport.plan import RelayPlan
from translate import StreamRefusal, StreamStart

EARLY_END = "the reply ended before it said anything"


class ProbingStream(RetryingStream):
    """Treats a failure at the start of a streamed reply as a failed attempt."""

    held_back: list[bytes]  # the pieces of a reply that has no content yet
    probe: Callable[[bytes], StreamStart]  # reads these pieces

    @property
    def retryable_states(self) -> tuple[Callable[..., Steps], ...]:
        return *super().retryable_states, self.state_probe_response_body

    def state_wait_for_response_headers(self, event: wire.ResponseHeaders) -> Steps:
        if plan := self.relay_plan:  # before the hook puts the client's head in place
            self.probe = plan.start_probe(event.response.headers.get("content-encoding", ""))
        yield from super().state_wait_for_response_headers(event)

    def start_response_stream(self) -> Steps:
        if self.relay_plan and self.flow.response and self.flow.response.status_code == 200:
            self.held_back, self.server_state = [], self.state_probe_response_body
        else:
            yield from super().start_response_stream()

    def state_probe_response_body(self, event: events.Event) -> Steps:
        opening: StreamStart = "pending"
        if isinstance(event, wire.ResponseData):
            self.held_back.append(event.data)
            self.report_upstream_bytes(event)
            opening = self.probe(event.data)
        elif isinstance(event, wire.ResponseEndOfMessage):
            opening = self.probe(b"")
        if isinstance(opening, StreamRefusal):
            yield from self.answer_refusal(opening, event)
        elif opening == "begun" or (
            isinstance(event, wire.ResponseEndOfMessage)
            and not (yield from self.retry_or_keep_reply(EARLY_END))
        ):
            yield from self.release_held_back(event)

    def release_held_back(self, event: events.Event) -> Steps:
        """Start the client's stream, with all that was held back in one piece."""
        for step in super().start_response_stream():
            # Omit mitmproxy's "Streaming response from …": an exchange logs one line, its record.
            if not isinstance(step, commands.Log):
                yield step
        if self.held_back:
            data = wire.ResponseData(self.stream_id, b"".join(self.held_back))
            yield from super().state_stream_response_body(data)
        if not isinstance(event, wire.ResponseData):
            yield from super().state_stream_response_body(event)

    def answer_refusal(self, refusal: StreamRefusal, event: events.Event) -> Steps:
        """Treat the reply as one that did not stream and had the status of its error."""
        if isinstance(event, wire.ResponseData):
            cancel = self.stream_id, "refused in its stream", wire.ErrorCode.CANCEL
            yield SendHttp(wire.RequestProtocolError(*cancel), self.context.server)
        self.flow.response = refusal_response(refusal)
        self.server_state = self.state_consume_response_body
        yield from self.send_response()

    def state_stream_response_body(self, event: events.Event) -> Steps:
        self.report_upstream_bytes(event)
        yield from super().state_stream_response_body(event)

    def report_upstream_bytes(self, event: events.Event) -> None:
        if isinstance(event, wire.ResponseData) and (plan := self.relay_plan):
            plan.on_upstream_bytes(event.data)

    def state_done(self, _: events.Event) -> Steps:
        yield from ()  # the rest of a read that contained a refusal

    def send_response(self, already_streamed: bool = False) -> Steps:
        plan = self.relay_plan
        is_upstream_reply = self.server_state == self.state_consume_response_body
        if plan and not already_streamed and self.flow.response:
            if is_upstream_reply and (yield from self.retry_whole_reply(plan, self.flow.response)):
                return
            if self.head_sent and self.flow.response.status_code >= 400:
                # A heartbeat went out with status 200, so the error follows as an event.
                yield from self.send_failure_event(plan, self.flow.response)
                already_streamed = True
        yield from super().send_response(already_streamed)

    def retry_whole_reply(self, plan: RelayPlan, response: http.Response) -> CommandGenerator[bool]:
        """Begin another attempt if a reply that did not stream is a failure; False if there is
        none."""
        error: str | None = None
        if response.status_code == 200:
            opening = probe_whole_body(plan, response.get_content(strict=False) or b"")
            if opening == "begun":
                return False
            if isinstance(opening, StreamRefusal):
                self.flow.response = refusal_response(opening)
            else:
                error = EARLY_END
        elif response.status_code < 400:
            return False
        return (yield from self.retry_or_keep_reply(error))

    def retry_or_keep_reply(self, error: str | None) -> CommandGenerator[bool]:
        """`begin_retry`, but the flow keeps its response if there is no other attempt."""
        response = self.flow.response
        if (yield from self.begin_retry(error)):
            return True
        self.flow.response = response
        return False

    def send_failure_event(self, plan: RelayPlan, response: http.Response) -> Steps:
        retry_after = response.headers.get("retry-after")
        content = response.get_content(strict=False) or b""
        body = mask_secrets(content, plan.credentials().values())
        event = plan.exchange.error_reply(response.status_code, body, retry_after).stream_events
        yield SendHttp(wire.ResponseData(self.stream_id, event), self.context.client)


def probe_whole_body(plan: RelayPlan, body: bytes) -> StreamStart:
    """The result of the plan's probe for a decoded body that did not stream."""
    probe = plan.start_probe("")
    opening = probe(body) if body else "pending"
    return probe(b"") if opening == "pending" else opening


def refusal_response(refusal: StreamRefusal) -> http.Response:
    headers = {"content-type": "application/json"}
    return http.Response.make(refusal.status, refusal.body, headers)
