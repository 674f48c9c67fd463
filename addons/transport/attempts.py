"""Upstream's side of a stream: as many attempts at one request as its `Line` allows.

On mitmproxy's private API, as `transport`, which see.
"""

import time
from collections.abc import Callable
from typing import Any

from mitmproxy.connection import Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpStream,
    SendHttp,
)
from mitmproxy.proxy.layers.http import _events as wire

from addons.flow_data import ATTEMPTS
from addons.transport.plan import Line, line_of

LOOK = 0.05  # s between two looks whether the line is ready

type Steps = CommandGenerator[None]


class Attempts(HttpStream):
    """Sends a request again while the client has seen nothing of a reply to it."""

    headed = False  # the client has its response head
    attempt = 0
    pause: commands.RequestWakeup | None = None  # ends the wait between two attempts
    patience = 0.0  # monotonic time at which it ends, ready or not

    @property
    def line(self) -> Line | None:
        return line_of(self.flow) if "flow" in vars(self) else None

    @property
    def waits_for(self) -> commands.Command | None:
        return self._paused and self._paused.command

    @property
    def early(self) -> tuple[Callable[..., Steps], ...]:
        """The states in which the client has nothing of a reply."""
        return self.state_wait_for_response_headers, self.state_consume_response_body

    @property
    def parent(self) -> Any:
        return self.context.layers[self.context.layers.index(self) - 1]

    def _handle_event(self, event: events.Event) -> Steps:
        if not isinstance(event, events.Wakeup):
            yield from super()._handle_event(event)
        elif event.command is self.pause and self.server_state == self.state_waiting:
            yield from self.go_on()

    def state_waiting(self, _: events.Event) -> Steps:
        yield from ()  # between two attempts upstream has nothing to say

    def make_server_connection(self) -> CommandGenerator[bool]:
        """As the base class does it, but to where the line leads."""
        if not (line := self.line):
            return (yield from super().make_server_connection())
        address, server = (line.request.host, line.request.port), self.flow.server_conn
        for known in (*self.parent.connections, self.parent.context.server):
            # mitmproxy would answer for a connection that failed with that failure for ever.
            if isinstance(known, Server) and known.address == address:
                known.error = None
        connection, error = yield GetHttpConnection(
            address, line.request.scheme == "https", server.via, server.transport_protocol
        )
        if error:
            died = self.stream_id, error, wire.ErrorCode.CONNECT_FAILED
            yield from self.handle_protocol_error(wire.ResponseProtocolError(*died))
        else:
            self.context.server = self.flow.server_conn = connection
        return not error

    def abandon(self, reason: str) -> Steps:
        """Stop waiting for a connection, and close it if nobody else waits for it."""
        if not isinstance(command := self.waits_for, GetHttpConnection):
            return
        for server, waiting in list(self.parent.waiting_for_establishment.items()):
            # Without a start time it is still in mitmproxy's queue and would never report back.
            if server.timestamp_start and [id(each) for each in waiting] == [id(command)]:
                yield commands.CloseConnection(server)
        yield from super().handle_event(GetHttpConnectionCompleted(command, (None, reason)))

    def go_on(self) -> Steps:
        """The next attempt, as soon as the line is ready for it."""
        line, now = self.line, time.monotonic()
        if line and self.flow.live and now < self.patience and not line.ready():
            self.pause = commands.RequestWakeup(LOOK)
            yield self.pause
        else:
            yield from self.send_again()

    def send_again(self) -> Steps:
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

    def tries_again(self, error: str | None, at_once: bool = False) -> CommandGenerator[bool]:
        """Ask the line; if there is to be another attempt, begin to wait for it."""
        line = self.line if self.flow.live else None  # not for who was killed
        if not line or self.client_state != self.state_done or self.server_state not in self.early:
            return False
        if error:
            self.flow.response = None
        self.attempt += 1
        why = error or f"status {self.flow.response and self.flow.response.status_code}"
        delay = 0.0 if at_once else line.retry(self.flow, error, self.attempt)
        if delay is None:
            if self.headed or not line.another(self.flow, error):
                return False
            self.attempt, delay = 0, 0.0
        else:
            self.flow.metadata.setdefault(ATTEMPTS, []).append(f"after {why}, {delay:.1f} s")
        yield commands.Log(f"relay: {why}; again in {delay:.1f} s")
        self.flow.response = None
        self.response_body_buf.clear()  # type: ignore[no-untyped-call]  # mitmproxy's
        # Not `state_done`: a client that leaves now has nothing to cancel upstream.
        self.client_state = self.server_state = self.state_waiting
        self.pause = commands.RequestWakeup(delay)
        self.patience = time.monotonic() + delay + line.silence
        yield self.pause
        return True

    def handle_protocol_error(
        self, event: wire.RequestProtocolError | wire.ResponseProtocolError
    ) -> Steps:
        if isinstance(event, wire.ResponseProtocolError) and (
            self.server_state == self.state_waiting  # it is about an attempt that was given up
            or self.server_state == self.client_state == self.state_done
            or (yield from self.tries_again(event.message, self.was_stale(event)))
        ):
            return
        if self.line and self.flow.live and isinstance(event, wire.ResponseProtocolError):
            self.prepare(self.line, event)  # before the hook, so that who watches sees it, too
        yield from super().handle_protocol_error(event)
        if self.server_state == self.state_waiting:
            self.server_state = self.state_errored

    def prepare(self, line: Line, event: wire.ResponseProtocolError) -> None:
        """Find the words for the client."""

    def was_stale(self, event: wire.ResponseProtocolError) -> bool:
        """A kept connection that was closed just as we used it says nothing about upstream."""
        server = self.flow.server_conn
        kept = (server.timestamp_start or time.time()) < self.flow.request.timestamp_start
        first = not self.attempt and self.server_state == self.state_wait_for_response_headers
        gone = not server.connected and event.code is wire.ErrorCode.GENERIC_SERVER_ERROR
        return first and kept and gone
