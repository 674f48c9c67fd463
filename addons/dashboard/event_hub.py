"""Server-sent events to all open pages. A page that reads too slowly is dropped; it reconnects."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

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
        self._queues: set[asyncio.Queue[str | None]] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def publish_event(self, event: str, value: Any) -> None:
        """Send the event to every page; drop the pages that have too many waiting."""
        if not self._queues:
            return
        text = sse_text(event, value)
        for queue in list(self._queues):
            if queue.full():
                self.drop_queue(queue)
            else:
                queue.put_nowait(text)

    def close(self) -> None:
        for queue in list(self._queues):
            self.drop_queue(queue)

    def drop_queue(self, queue: asyncio.Queue[str | None]) -> None:
        """End this subscription; None is the end of its events."""
        self._queues.discard(queue)
        while queue.full():
            queue.get_nowait()
        queue.put_nowait(None)

    def open_subscription(self) -> "Subscription":
        """A subscription to every event from now on. Raises TooManySubscriptions."""
        if len(self._queues) >= MAX_SUBSCRIPTIONS:
            raise TooManySubscriptions
        queue: asyncio.Queue[str | None] = asyncio.Queue(MAX_WAITING_EVENTS)
        self._queues.add(queue)
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
