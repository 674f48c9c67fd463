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
from addons.transport.shutdown import open_streams
from addons.transport.stream_hooks import RelayFallbackHook
from addons.transport.stream_start import ProbingStream

SHORTEST, LONGEST = 0.01, 5.0  # s until the next tick; the last one outlives its stream
PLAN_POLL = 0.5  # s between two checks whether the `request` hook has attached a plan
STOP_POLL = 0.05  # s between two attempts to end a stream whose hook runs
END_PATIENCE = 1.0  # s that the upstream has to end a reply of which nothing else is missing
LARGE_BODY = 1 << 20  # bytes
IDLE_LIMITS = 4  # silence limits that an upstream may fill with bytes which say nothing


class HeartbeatStream(ProbingStream):
    """Sends heartbeats to the client, and ends an attempt whose upstream is silent for too long."""

    tick: commands.RequestWakeup | None = None  # the next one; older ones are ignored
    tick_at = 0.0  # monotonic time of the next one
    last_client_byte_at = 0.0  # monotonic time of the last byte to the client
    last_event_at = 0.0  # monotonic time of the last event of either side
    last_heartbeat_at = 0.0  # monotonic time of the last heartbeat
    progress_at = 0.0  # monotonic time at which a request left, or a tick saw news of its reply
    checked_size = 0  # bytes of a body that was not complete

    def _handle_event(self, event: events.Event) -> Steps:
        if isinstance(event, wire.RequestEndOfMessage):
            self.last_client_byte_at = time.monotonic()
            yield self.schedule_tick(PLAN_POLL)
        yield from super()._handle_event(event)

    def make_server_connection(self) -> CommandGenerator[bool]:
        if plan := self.relay_plan:
            self.progress_at, self.checked_size = time.monotonic(), 0
            open_streams.add(self)
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
        if self.has_streamed_all(plan):
            due_at = min(due_at, self.last_event_at + END_PATIENCE)
        if self.tick is None or due_at < self.tick_at:
            yield self.schedule_tick(due_at - time.monotonic())

    def handle_tick(self) -> Steps:
        plan = self.relay_plan
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
        if self.stop_reason:
            yield from self.stop_stream()
        elif isinstance(self.awaited_command, RelayFallbackHook):
            # No heartbeat: the head before it has to be that of the next candidate.
            yield self.schedule_tick(PLAN_POLL)
        else:
            yield from self.check_times(plan, time.monotonic())

    def check_times(self, plan: RelayPlan, now: float) -> Steps:
        """Do what is due at this monotonic time, and schedule the next tick."""
        if self.last_client_byte_at != self.last_heartbeat_at:
            self.progress_at = max(self.progress_at, self.last_client_byte_at)
        if plan.heartbeat_interval and now >= self.last_client_byte_at + plan.heartbeat_interval:
            yield from self.send_heartbeat(plan)
            self.last_client_byte_at = self.last_heartbeat_at = now
        if self.relay_plan and now >= self.last_event_at + END_PATIENCE:
            yield from self.end_complete_reply(plan)
        if self.relay_plan:
            yield from self.limit_silence(plan, now)
            yield from self.schedule_next_tick(plan)

    def limit_silence(self, plan: RelayPlan, now: float) -> Steps:
        """End the attempt if its upstream sends nothing, or nothing but white space, comments and
        events without content."""
        limit, reason = plan.silence_limit, ""
        if now >= self.last_event_at + limit:
            reason = f"upstream silent for {limit:g} s (relay_timeout)"
        elif now >= self.progress_at + limit * IDLE_LIMITS:
            reason = f"upstream without content for {limit * IDLE_LIMITS:g} s"
        if reason:
            self.last_event_at = self.progress_at = now
            yield from self.end_attempt(reason)

    def await_end(self, plan: RelayPlan) -> Steps:
        yield from self.schedule_next_tick(plan)

    def has_streamed_all(self, plan: RelayPlan) -> bool:
        """Whether the client has all of a streamed reply, and the upstream has not ended it."""
        is_streaming = self.server_state == self.state_stream_response_body
        return is_streaming and plan.exchange.is_finished

    def end_complete_reply(self, plan: RelayPlan) -> Steps:
        """End a reply of which nothing is missing, although the upstream goes on."""
        size = len(self.response_body_buf)
        is_complete = self.has_streamed_all(plan)
        if size > self.checked_size:  # this takes a while for a large body
            self.checked_size = size + size // 2 if size > LARGE_BODY else size
            is_complete = is_complete or self.is_whole_reply()
        if is_complete:
            yield from self.cancel_upstream("its reply has ended")
            yield from super().handle_event(wire.ResponseEndOfMessage(self.stream_id))

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
            yield from self.cancel_upstream(reason)
            yield from self.report_failure(reason)

    def report_failure(self, reason: str) -> Steps:
        """As if the connection to the upstream had failed for this reason."""
        failure = self.stream_id, reason, wire.ErrorCode.CANCEL
        yield from super().handle_event(wire.ResponseProtocolError(*failure))

    def stop_stream(self) -> Steps:
        """End the reply as failed, for `stop_reason`."""
        if self.server_state == self.state_between_attempts:
            self.client_state = self.state_done
            self.server_state = self.state_wait_for_response_headers
            yield from self.report_failure(self.stop_reason)
            return
        yield from self.end_attempt(self.stop_reason)
        if self.relay_plan and self.awaited_command:  # a hook runs; there is no other attempt
            yield self.schedule_tick(STOP_POLL)
