"""Upstream's side of a stream: as many attempts at one request as its `Line` allows.

On mitmproxy's private API, as `transport`, which see.
"""

import time
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
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client

from addons.line import ATTEMPTS, Line, line_of

type Steps = CommandGenerator[None]


class Attempts(HttpStream):
    """Sends a request again while the client has seen nothing of a reply to it."""

    headed = False  # the client has its response head
    attempt = 0
    pause: commands.RequestWakeup | None = None  # ends the wait between two attempts

    @property
    def line(self) -> Line | None:
        return line_of(self.flow) if "flow" in vars(self) else None

    @property
    def waits_for(self) -> commands.Command | None:
        return self._paused and self._paused.command

    @property
    def parent(self) -> Any:
        return self.context.layers[self.context.layers.index(self) - 1]

    def _handle_event(self, event: events.Event) -> Steps:
        if not isinstance(event, events.Wakeup):
            yield from super()._handle_event(event)
        elif event.command is self.pause and self.server_state == self.state_waiting:
            yield from self.send_again()

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
        early = self.state_wait_for_response_headers, self.state_consume_response_body
        line = self.line
        if not line or self.client_state != self.state_done or self.server_state not in early:
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
        yield self.pause
        return True

    def handle_protocol_error(
        self, event: wire.RequestProtocolError | wire.ResponseProtocolError
    ) -> Steps:
        if isinstance(event, wire.ResponseProtocolError) and (
            yield from self.tries_again(event.message, not self.attempt and self.was_stale(event))
        ):
            return
        if self.line and isinstance(event, wire.ResponseProtocolError):
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
        return kept and not server.connected and event.code is wire.ErrorCode.GENERIC_SERVER_ERROR

    def send_response(self, already_streamed: bool = False) -> Steps:
        line, response = self.line, self.flow.response
        if line and response and response.status_code >= 400 and not already_streamed:
            held = self.server_state == self.state_consume_response_body
            if held and (yield from self.tries_again(None)):
                return
            if self.headed:  # by a heartbeat: too late for a status
                body, wait = response.get_content(strict=False), response.headers.get("retry-after")
                tail = line.exchange.fail(response.status_code, body or b"", wait).event
                yield SendHttp(wire.ResponseData(self.stream_id, tail), self.context.client)
                already_streamed = True
        yield from super().send_response(already_streamed)


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
