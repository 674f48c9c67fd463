"""Ends the replies that are still streaming when mitmproxy is about to exit.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakSet

from mitmproxy.proxy import events

SHUTDOWN = "mitmcodex is shutting down"
SHUTDOWN_LIMIT = 2.0  # s for all clients together
SHUTDOWN_POLL = 0.02  # s between two checks whether all replies have ended

# The streams with a request at an upstream, `HeartbeatStream`s; some of them may have ended.
open_streams: WeakSet[Any] = WeakSet()


async def end_open_streams(handlers: Mapping[Any, Any]) -> None:
    """End each reply as failed, in its client's dialect, and wait until the clients have it.

    `handlers`: those of mitmproxy's connections, by the id of the client.
    """
    deadline = time.monotonic() + SHUTDOWN_LIMIT
    streams = [stream for stream in open_streams if stream.relay_plan and stream.tick]
    handler_by_stream = {
        stream: handler
        for stream in streams
        if (handler := handlers.get(stream.context.client.id)) is not None
    }
    for handler in set(handler_by_stream.values()):
        for timer in list(handler.wakeup_timer):  # the ticks come below, and must not come twice
            timer.cancel()
    for stream, handler in handler_by_stream.items():
        stream.stop_reason = SHUTDOWN
        await handler.server_event(events.Wakeup(stream.tick))
    while time.monotonic() < deadline and (
        any(stream.relay_plan for stream in handler_by_stream)
        or has_unsent_bytes(handler_by_stream.values())
    ):
        await asyncio.sleep(SHUTDOWN_POLL)


def has_unsent_bytes(handlers: Iterable[Any]) -> bool:
    """Whether a client has not taken all that was written for it."""
    writers = [
        side.writer for handler in handlers if (side := handler.transports.get(handler.client))
    ]
    return any(writer and writer.transport.get_write_buffer_size() for writer in writers)
