"""The timer of a stream: it sends heartbeats to the client, and limits the upstream's silence.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

import time

from mitmproxy.flow import Error
from mitmproxy.http import Response
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook

from addons.transport.attempts import Steps
from addons.transport.plan import RelayPlan
from addons.transport.stream_start import ProbingStream

SHORTEST, LONGEST = 0.01, 5.0  # s until the next tick; the last one outlives its stream
PLAN_POLL = 0.5  # s between two checks whether the `request` hook has attached a plan


class HeartbeatStream(ProbingStream):
    """Sends heartbeats to the client, and ends an attempt whose upstream is silent for too long."""

    tick: commands.RequestWakeup | None = None  # the next one; older ones are ignored
    tick_at = 0.0  # monotonic time of the next one
    last_client_byte_at = 0.0  # monotonic time of the last byte to the client
    last_event_at = 0.0  # monotonic time of the last event of either side

    def _handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, wire.RequestEndOfMessage):
            self.last_client_byte_at = time.monotonic()
            yield self.schedule_tick(PLAN_POLL)
        yield from super()._handle_event(event)

    def make_server_connection(self) -> CommandGenerator[bool]:
        if plan := self.relay_plan:
            yield from self.schedule_next_tick(plan)
        return (yield from super().make_server_connection())

    def schedule_tick(self, delay: float) -> commands.RequestWakeup:
        delay = min(max(delay, SHORTEST), LONGEST)
        self.tick, self.tick_at = commands.RequestWakeup(delay), time.monotonic() + delay
        return self.tick

    def schedule_next_tick(self, plan: RelayPlan) -> Steps:
        """Make sure that a tick comes by the time that a heartbeat is due or the upstream's silence
        is too long. An earlier tick schedules the next one itself, so most exchanges need no second
        timer."""
        heartbeat_at = self.last_client_byte_at + (plan.heartbeat_interval or LONGEST)
        silence_ends_at = self.last_event_at + plan.silence_limit
        due_at = min(heartbeat_at, silence_ends_at)
        if self.tick is None or due_at < self.tick_at:
            yield self.schedule_tick(due_at - time.monotonic())

    def handle_tick(self) -> Steps:
        plan, now = self.relay_plan, time.monotonic()
        self.tick = None
        if plan is None:
            if isinstance(self.awaited_command, HttpRequestHook):
                yield self.schedule_tick(PLAN_POLL)
            return
        if not self.flow.live:
            if self.flow.error and self.flow.error.msg == Error.KILLED_MESSAGE:
                # mitmproxy itself notices a killed flow only at the next hook.
                yield from self.end_attempt(self.flow.error.msg)
            return
        if plan.heartbeat_interval and now >= self.last_client_byte_at + plan.heartbeat_interval:
            self.last_client_byte_at = now
            yield from self.send_heartbeat(plan)
        if now >= self.last_event_at + plan.silence_limit:
            self.last_event_at = now
            limit = f"{plan.silence_limit:g} s (relay_timeout)"
            yield from self.end_attempt(f"upstream silent for {limit}")
        yield from self.schedule_next_tick(plan)

    def send_heartbeat(self, plan: RelayPlan) -> Steps:
        if data := plan.exchange.heartbeat():
            if not self.head_sent:
                head = Response.make(200)
                head.headers = plan.stream_headers()
                yield SendHttp(wire.ResponseHeaders(self.stream_id, head), self.context.client)
            yield SendHttp(wire.ResponseData(self.stream_id, data), self.context.client)

    def end_attempt(self, reason: str) -> Steps:
        """End the current attempt, as if the upstream had ended it for this reason."""
        if self.awaited_command:
            yield from self.abandon_connection(reason)
        elif self.server_state != self.state_between_attempts:
            cancel = self.stream_id, reason, wire.ErrorCode.CANCEL
            yield SendHttp(wire.RequestProtocolError(*cancel), self.context.server)
            yield from super().handle_event(wire.ResponseProtocolError(*cancel))
