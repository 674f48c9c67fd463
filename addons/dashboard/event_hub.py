"""Server-sent events to all open pages. A page that reads too slowly is dropped; it reconnects."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

# Whose exchanges a page shows: those of the client keys with this name. None: everybody's.
type Viewer = str | None

MAX_SUBSCRIPTIONS = 32  # pages at a time
MAX_WAITING_EVENTS = 256  # for each page
KEEPALIVE_INTERVAL = 15.0  # s without an event, after which a page gets one
KEEPALIVE_EVENT = (
    "event: alive\ndata: 0\n\n"  # not a comment, which the page's script would not see
)


class TooManySubscriptions(Exception):
    """The relay serves no more pages at the same time."""


class EventHub:
    def __init__(self) -> None:
        self._queues: dict[asyncio.Queue[str | None], Viewer] = {}

    def __len__(self) -> int:
        return len(self._queues)

    @property
    def viewers(self) -> set[Viewer]:
        """Those who have a page open."""
        return set(self._queues.values())

    def publish_event(self, event: str, value: Any, viewer: Viewer) -> None:
        """Send the event to this viewer's pages; drop those that have too many waiting."""
        queues = [queue for queue, each in self._queues.items() if each == viewer]
        text = sse_text(event, value) if queues else ""
        for queue in queues:
            if queue.full():
                self.drop_queue(queue)
            else:
                queue.put_nowait(text)

    def close(self) -> None:
        for queue in list(self._queues):
            self.drop_queue(queue)

    def drop_queue(self, queue: asyncio.Queue[str | None]) -> None:
        """End this subscription; None is the end of its events."""
        self._queues.pop(queue, None)
        while queue.full():
            queue.get_nowait()
        queue.put_nowait(None)

    def open_subscription(self, viewer: Viewer) -> "Subscription":
        """A subscription to this viewer's events from now on. Raises TooManySubscriptions."""
        if len(self._queues) >= MAX_SUBSCRIPTIONS:
            raise TooManySubscriptions
        queue: asyncio.Queue[str | None] = asyncio.Queue(MAX_WAITING_EVENTS)
        self._queues[queue] = viewer
        return Subscription(self, queue)


class Subscription:
    """The events of one page."""

    def __init__(self, hub: EventHub, queue: asyncio.Queue[str | None]) -> None:
        self._hub, self._queue = hub, queue

    async def event_texts(self) -> AsyncIterator[str]:
        """Texts to send; they end when the page is dropped or the relay stops."""
        while True:
            try:
                text = await asyncio.wait_for(self._queue.get(), KEEPALIVE_INTERVAL)
            except TimeoutError:
                text = KEEPALIVE_EVENT
            if text is None:
                return
            yield text

    def close(self) -> None:
        self._hub.drop_queue(self._queue)


def sse_text(event: str, value: Any) -> str:
    return f"event: {event}\ndata: {json.dumps(value)}\n\n"
