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

from addons.transport.attempts import Steps
from addons.transport.connections import LastResponseData
from addons.transport.plan import RelayPlan
from addons.transport.reply_body import BoundedStream
from addons.transport.retry_policy import EARLY_END, EMPTY_STREAM
from translate import StreamRefusal, StreamStart


class ProbingStream(BoundedStream):
    """Treats a failure at the start of a streamed reply as a failed attempt."""

    held_back: list[bytes]  # the pieces of a reply that has no content yet
    probe: Callable[[bytes], StreamStart]  # reads these pieces

    @property
    def retryable_states(self) -> tuple[Callable[..., Steps], ...]:
        return *super().retryable_states, self.state_probe_response_body

    def state_wait_for_response_headers(self, event: wire.ResponseHeaders) -> Steps:
        if plan := self.relay_plan:
            self.probe = plan.start_probe()
        yield from super().state_wait_for_response_headers(event)

    def start_response_stream(self) -> Steps:
        if self.relay_plan and self.flow.response and self.flow.response.status_code == 200:
            self.held_back, self.server_state = [], self.state_probe_response_body
        else:
            yield from super().start_response_stream()

    def state_probe_response_body(self, event: events.Event) -> Steps:
        opening: StreamStart = "pending"
        if isinstance(event, wire.ResponseData):
            plan = self.relay_plan
            if plan and (fault := self.read_stream_piece(event, plan)):
                yield from self.fail_attempt(*fault)
            elif event.data:
                self.held_back.append(event.data)
                opening = self.probe(event.data)
        elif isinstance(event, wire.ResponseEndOfMessage):
            opening = self.probe(b"")
        if isinstance(opening, StreamRefusal):
            yield from self.answer_refusal(opening, event)
        elif opening == "begun" or (
            isinstance(event, wire.ResponseEndOfMessage)
            and not (yield from self.retry_or_keep_reply(early_end(b"".join(self.held_back))))
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
            self.held_back = []
            yield from super().state_stream_response_body(data)
        if not isinstance(event, wire.ResponseData):
            yield from super().state_stream_response_body(event)
        else:
            yield from self.check_end(event)

    def answer_refusal(self, refusal: StreamRefusal, event: events.Event) -> Steps:
        """Treat the reply as one that did not stream and had the status of its error."""
        if isinstance(event, wire.ResponseData):
            yield from self.cancel_upstream("refused in its stream")
        self.flow.response = refusal_response(refusal)
        self.server_state = self.state_consume_response_body
        yield from self.send_response()

    def state_stream_response_body(self, event: events.Event) -> Steps:
        plan = self.relay_plan
        if plan and isinstance(event, wire.ResponseData):
            if fault := self.read_stream_piece(event, plan):
                yield from self.fail_attempt(*fault)
            elif event.data:  # b"" would be the end of the reply
                yield from super().state_stream_response_body(event)
                if plan.exchange.is_finished:
                    yield from self.check_end(event)
        elif not plan or not isinstance(event, wire.ResponseTrailers):
            yield from super().state_stream_response_body(event)

    def check_end(self, event: wire.ResponseData) -> Steps:
        """Called after a piece of a streamed reply that may have been the last one."""
        plan = self.relay_plan
        if plan and plan.exchange.is_finished and not isinstance(event, LastResponseData):
            yield from self.await_end(plan)

    def await_end(self, plan: RelayPlan) -> Steps:
        """Called when nothing of the reply is missing but its end. `HeartbeatStream` implements
        it."""
        yield from ()

    def clear_body(self) -> None:
        super().clear_body()
        self.held_back = []

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
                error = early_end(response.get_content(strict=False) or b"")
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
        hints = (response.headers.get(name) for name in ("retry-after", "location"))
        body = response.get_content(strict=False) or b""
        event = plan.exchange.error_reply(response.status_code, body, *hints).stream_events
        yield SendHttp(wire.ResponseData(self.stream_id, event), self.context.client)


def early_end(body: bytes) -> str:
    """The error for a reply that ended before its content began."""
    return EARLY_END if b"data" in body else EMPTY_STREAM


def probe_whole_body(plan: RelayPlan, body: bytes) -> StreamStart:
    """The result of the plan's probe for a decoded body that did not stream."""
    probe = plan.start_probe()
    opening = probe(body) if body else "pending"
    return probe(b"") if opening == "pending" else opening


def refusal_response(refusal: StreamRefusal) -> http.Response:
    headers = {"content-type": "application/json"}
    return http.Response.make(refusal.status, refusal.body, headers)
