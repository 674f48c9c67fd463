"""Ends what the relay's own failures break: without it mitmproxy would log an exception in a layer,
and leave the client waiting for ever.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.proxy.layers.http._base import ReceiveHttp

from addons.transport.attempts import Steps

RELAY_FAILURE = "mitmcodex failed at this reply; its log has the reason"


def guard_steps(steps: Steps, end_failed: Callable[[], Iterable[commands.Command]]) -> Steps:
    """The steps; if one of them fails, those of `end_failed` follow, and the failure is logged."""
    try:
        yield from steps
        return
    except Exception as error:  # also of an addon's function, and for lack of memory
        traceback.clear_frames(error.__traceback__)  # they may hold what took the memory
        failure = error
    try:
        yield from end_failed()  # first, as it frees the memory that a traceback's text needs
    finally:
        logging.error("mitmcodex failed at a reply", exc_info=failure)
        del failure  # else this frame and the traceback would hold one another


class GuardedConnection:
    """A connection of mitmproxy's that is closed if an event makes it fail. Its streams hear of the
    failure as the connection ends, and not at once: one of them may be sending just then."""

    conn: Any
    stream_id: Any = None  # of HTTP/1
    streams: Any = ()  # of HTTP/2
    ReceiveProtocolError: Any
    failed_ids: Sequence[int] = ()  # the stream that was sending

    def handle_event(self, event: events.Event) -> Steps:
        steps: Steps = super().handle_event(event)  # type: ignore[misc]  # of mitmproxy's class
        yield from guard_steps(steps, lambda: self.end_failed_connection(event))

    def end_failed_connection(self, event: events.Event) -> Steps:
        self._handle_event = self.report_end
        if isinstance(event, wire.HttpEvent):
            self.failed_ids = [event.stream_id]
        yield commands.CloseConnection(self.conn)
        yield from self.report_end(event)

    def report_end(self, event: events.Event) -> Steps:
        if isinstance(event, events.ConnectionClosed):
            for stream_id in self.open_stream_ids():
                code = self.ReceiveProtocolError.code
                error = self.ReceiveProtocolError(stream_id, RELAY_FAILURE, code)
                yield ReceiveHttp(error)

    def open_stream_ids(self) -> set[int]:
        """The streams on this connection, by the client's numbers."""
        return {*self.streams, *self.failed_ids} or {self.stream_id} - {None}
