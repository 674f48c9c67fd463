"""The upstream's side of a stream: as many attempts at one request as its `RelayPlan` allows.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

import re
import time
from collections.abc import Callable
from typing import Any

from mitmproxy.connection import Server
from mitmproxy.http import Request
from mitmproxy.net.server_spec import ServerSpec
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpStream,
    SendHttp,
)
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.utils.human import format_address

from addons.flow_data import ATTEMPTS
from addons.transport.plan import RelayPlan, plan_of
from addons.transport.stream_hooks import RelayFallbackHook
from translate import connection_words, has_reply_end, printable, without_step

TLS_ERROR = re.compile(r"certificate|\bTLS\b|OpenSSL", re.I)  # in mitmproxy's words
READY_POLL = 0.05  # s between two checks whether the plan is ready for the next attempt
# The same upstream would fail again.
LASTING_FAILURES = (
    wire.ErrorCode.RESPONSE_TOO_LARGE,
    wire.ErrorCode.RESPONSE_VALIDATION_FAILED,
)

type Steps = CommandGenerator[None]


class RetryingStream(HttpStream):
    """Sends a request again as long as the client has seen nothing of a reply."""

    head_sent = False  # whether the client has the head of its response
    attempt = 0
    pause: commands.RequestWakeup | None = None  # ends the pause between two attempts
    pause_limit = 0.0  # monotonic time at which the pause ends, even if the plan is not ready
    stop_reason = ""  # why the relay itself ends the stream, without another attempt

    @property
    def relay_plan(self) -> RelayPlan | None:
        return plan_of(self.flow) if "flow" in vars(self) else None

    @property
    def awaited_command(self) -> commands.Command | None:
        """The command whose completion the stream waits for."""
        return self._paused and self._paused.command

    @property
    def retryable_states(self) -> tuple[Callable[..., Steps], ...]:
        """The states of the upstream's side in which the client has nothing of a reply."""
        return self.state_wait_for_response_headers, self.state_consume_response_body

    @property
    def http_layer(self) -> Any:
        """mitmproxy's layer around this stream, which owns the connections to the upstream."""
        return self.context.layers[self.context.layers.index(self) - 1]

    def _handle_event(self, event: events.Event) -> Steps:
        if not isinstance(event, events.Wakeup):
            yield from super()._handle_event(event)
        elif event.command is self.pause and self.server_state == self.state_between_attempts:
            yield from self.end_pause()

    def cancel_upstream(self, reason: str) -> Steps:
        """Close the connection of the current attempt; in HTTP/2, reset its stream."""
        if self.context.server in self.http_layer.connections:
            cancel = self.stream_id, reason, wire.ErrorCode.CANCEL
            yield SendHttp(wire.RequestProtocolError(*cancel), self.context.server)

    def fail_attempt(self, reason: str, code: wire.ErrorCode) -> Steps:
        """End the current attempt, whose reply the relay cannot use. It is not repeated at the same
        upstream if the code is in `LASTING_FAILURES`."""
        self.clear_body()
        yield from self.cancel_upstream(reason)
        yield from self.handle_protocol_error(
            wire.ResponseProtocolError(self.stream_id, reason, code)
        )

    def clear_body(self) -> None:
        """Forget the body of the reply as far as it has come."""
        self.response_body_buf.clear()  # type: ignore[no-untyped-call]  # mitmproxy's

    def state_between_attempts(self, _: events.Event) -> Steps:
        yield from ()  # late events of the attempt that was given up

    def make_server_connection(self) -> CommandGenerator[bool]:
        """Connect to the host of the plan's request, not to that of the flow's request."""
        if not (plan := self.relay_plan):
            return (yield from super().make_server_connection())
        request, server = plan.upstream_request, self.flow.server_conn
        address = request.host, request.port
        for known_server in (*self.http_layer.connections, self.http_layer.context.server):
            # mitmproxy remembers a failed connection and would report its error each time.
            if isinstance(known_server, Server) and known_server.address == address:
                known_server.error = None
        connection, error = yield GetHttpConnection(
            address, request.scheme == "https", server.via, server.transport_protocol
        )
        if error:
            reason = connection_words(connection_url(request, server.via, error), error)
            failure = self.stream_id, reason, wire.ErrorCode.CONNECT_FAILED
            yield from self.handle_protocol_error(wire.ResponseProtocolError(*failure))
        else:
            self.context.server = self.flow.server_conn = connection
        return not error

    def abandon_connection(self, reason: str) -> Steps:
        """Stop waiting for a connection, and close it if no other stream waits for it."""
        if not isinstance(command := self.awaited_command, GetHttpConnection):
            return
        for server, waiting in list(self.http_layer.waiting_for_establishment.items()):
            # Without a start time it is still in mitmproxy's queue, and closing it has no effect.
            if server.timestamp_start and [id(each) for each in waiting] == [id(command)]:
                yield commands.CloseConnection(server)
        yield from super().handle_event(GetHttpConnectionCompleted(command, (None, reason)))

    def end_pause(self) -> Steps:
        """Start the next attempt as soon as the plan is ready for it."""
        plan, now = self.relay_plan, time.monotonic()
        if plan and self.flow.live and now < self.pause_limit and not plan.is_ready():
            self.pause = commands.RequestWakeup(READY_POLL)
            yield self.pause
        else:
            yield from self.resend_request()

    def resend_request(self) -> Steps:
        self.client_state, self.server_state = self.state_done, self.state_wait_for_response_headers
        if (yield from self.check_killed(True)) or not (yield from self.make_server_connection()):
            return
        body = self.flow.request.raw_content or b""
        for event in (
            wire.RequestHeaders(self.stream_id, self.flow.request, not body),
            wire.RequestData(self.stream_id, body),
            wire.RequestEndOfMessage(self.stream_id),
        ):
            yield SendHttp(event, self.context.server)

    def begin_retry(
        self, error: str | None, at_once: bool = False, is_lasting: bool = False
    ) -> CommandGenerator[bool]:
        """Ask the plan for another attempt and begin the pause before it; False if there is none.

        `error` is that of a failed connection; without one, the flow's response is the failure.
        `at_once`: without asking the plan, and without a pause. `is_lasting`: at another upstream
        only.
        """
        plan = self.relay_plan if self.flow.live else None  # a killed flow is not tried again
        if self.stop_reason:
            return False
        is_early = self.server_state in self.retryable_states
        if not plan or self.client_state != self.state_done or not is_early:
            return False
        if error:
            self.flow.response = None
        self.attempt += 1
        reason = error or f"status {self.flow.response and self.flow.response.status_code}"
        delay = self.retry_pause(plan, error, at_once, is_lasting)
        if delay is None:
            if self.head_sent or not (yield from self.replace_plan(plan)):
                return False
            self.attempt, delay = 0, 0.0
        else:
            note = f"after {without_step(reason)}, {delay:.1f} s"
            self.flow.metadata.setdefault(ATTEMPTS, []).append(note)
        yield commands.Log(f"relay: {printable(reason, 500)}; again in {delay:.1f} s")
        self.flow.response = None
        self.clear_body()
        # Not `state_done`: if the client leaves now, there is nothing to cancel upstream.
        self.client_state = self.server_state = self.state_between_attempts
        self.pause = commands.RequestWakeup(delay)
        self.pause_limit = time.monotonic() + delay + plan.silence_limit
        yield self.pause
        return True

    def replace_plan(self, plan: RelayPlan) -> CommandGenerator[bool]:
        """Let the plan attach that of the next candidate; False if there is none."""
        yield RelayFallbackHook(self.flow)
        return self.flow.live and self.relay_plan not in (None, plan)

    def retry_pause(
        self, plan: RelayPlan, error: str | None, at_once: bool, is_lasting: bool
    ) -> float | None:
        """Seconds until the next attempt at the same upstream; None for no further attempt."""
        if is_lasting:
            return None
        return 0.0 if at_once else plan.retry_delay(error, self.attempt)

    def handle_protocol_error(
        self, event: wire.RequestProtocolError | wire.ResponseProtocolError
    ) -> Steps:
        if isinstance(event, wire.ResponseProtocolError) and (
            self.server_state == self.state_between_attempts  # of an attempt that was given up
            or self.server_state == self.client_state == self.state_done
            or (yield from self.end_whole_reply())
            or (
                yield from self.begin_retry(
                    event.message, self.is_stale_connection(event), event.code in LASTING_FAILURES
                )
            )
        ):
            return
        if self.relay_plan and self.flow.live and isinstance(event, wire.ResponseProtocolError):
            # Before the hook, so that addons see the reply, too.
            self.prepare_ending(self.relay_plan, event)
        yield from super().handle_protocol_error(event)
        if self.server_state == self.state_between_attempts:
            self.server_state = self.state_errored

    def end_whole_reply(self) -> CommandGenerator[bool]:
        """End a reply that does not stream and whose connection fails if all of it has come; False
        if it has not."""
        is_whole = self.is_whole_reply()
        if is_whole:
            yield from self.state_consume_response_body(wire.ResponseEndOfMessage(self.stream_id))
        return is_whole

    def is_whole_reply(self) -> bool:
        """Whether nothing is missing in the body of a reply that does not stream but its end."""
        if self.server_state != self.state_consume_response_body or not self.response_body_buf:
            return False
        response = self.flow.response if self.relay_plan and self.flow.live else None
        is_success = response is not None and response.status_code == 200
        return is_success and has_reply_end(bytes(self.response_body_buf))

    def prepare_ending(self, plan: RelayPlan, event: wire.ResponseProtocolError) -> None:
        """Prepare the client's reply to an error of the upstream's. `RelayStream` implements it."""

    def is_stale_connection(self, event: wire.ResponseProtocolError) -> bool:
        """Whether the upstream closed a reused connection before it got the request: no failure."""
        server = self.flow.server_conn
        is_reused = (server.timestamp_start or time.time()) < self.flow.request.timestamp_start
        is_first = not self.attempt and self.server_state == self.state_wait_for_response_headers
        is_closed = not server.connected and event.code is wire.ErrorCode.GENERIC_SERVER_ERROR
        return is_first and is_reused and is_closed


def connection_url(request: Request, via: ServerSpec | None, error: str) -> str:
    """The URL of the connection for the request that failed with this error: its own, or that of
    the proxy that mitmproxy's `upstream` mode names."""
    if via is None or (via[0] == "http" and TLS_ERROR.search(error)):  # such a proxy speaks no TLS
        return request.url
    scheme, address = via
    return f"{scheme}://{format_address(address)}"
