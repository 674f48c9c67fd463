"""The time of a stream: heartbeats for its client, a limit to the silence of its upstream.

On mitmproxy's private API, as `transport`, which see.
"""

import time

from mitmproxy.flow import Error
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook

from addons.transport.attempts import Steps
from addons.transport.plan import Line
from addons.transport.stream_start import Held

SHORTEST, LONGEST = 0.01, 5.0  # s between two ticks; a finished stream is kept for one more
POLL = 0.5  # s until a stream looks again whether its `request` hook has attached a line


class Clock(Held):
    clock: commands.RequestWakeup | None = None  # the next tick; an older one is void
    sent = heard = 0.0  # monotonic time of the last byte to the client, of the last from upstream

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
            if self.flow.error and self.flow.error.msg == Error.KILLED_MESSAGE:
                yield from self.silent(self.flow.error.msg)  # mitmproxy waits for the next hook
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
