"""Server-sent events to many pages. One that does not keep up is left behind, and comes back."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

SEATS = 32  # pages at a time
WAITING = 256  # events for each
QUIET = 15.0  # s until a page that hears nothing gets a sign of life
ALIVE = "event: alive\ndata: 0\n\n"  # not a comment, which a page does not hear of


class Full(Exception):
    """As many pages are open as are served."""


class Hub:
    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[str | None]] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def publish(self, event: str, value: Any) -> None:
        if not self._queues:
            return
        text = packed(event, value)
        for queue in list(self._queues):
            if queue.full():
                self.drop(queue)
            else:
                queue.put_nowait(text)

    def close(self) -> None:
        for queue in list(self._queues):
            self.drop(queue)

    def drop(self, queue: asyncio.Queue[str | None]) -> None:
        self._queues.discard(queue)
        while queue.full():
            queue.get_nowait()
        queue.put_nowait(None)

    def subscribe(self) -> "Seat":
        """From now on every event is heard. Raises Full."""
        if len(self._queues) >= SEATS:
            raise Full
        queue: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
        self._queues.add(queue)
        return Seat(self, queue)


class Seat:
    """One page's place."""

    def __init__(self, hub: Hub, queue: asyncio.Queue[str | None]) -> None:
        self._hub, self._queue = hub, queue

    async def events(self) -> AsyncIterator[str]:
        """Ends where the page was left behind, or the relay stops."""
        while True:
            try:
                text = await asyncio.wait_for(self._queue.get(), QUIET)
            except TimeoutError:
                text = ALIVE
            if text is None:
                return
            yield text

    def leave(self) -> None:
        """Its `events` end."""
        self._hub.drop(self._queue)


def packed(event: str, value: Any) -> str:
    return f"event: {event}\ndata: {json.dumps(value)}\n\n"
