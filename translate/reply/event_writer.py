"""The growing response: gives its events their numbers and keeps its items in order."""

from typing import Any, Protocol

from translate.mappings.outcome import Outcome
from translate.wire.errors import Failure

Event = dict[str, Any]
Item = dict[str, Any]


class Machine(Protocol):
    """What carries a reply over: the upstream's pieces in, events out."""

    @property
    def ended(self) -> Outcome | None: ...

    @property
    def failure(self) -> Failure | None: ...

    @property
    def response(self) -> Item: ...

    def feed(self, piece: dict[str, Any]) -> list[Event]: ...

    def done(self) -> list[Event]: ...

    def lost(self, why: Failure) -> list[Event]: ...

    def close(self) -> list[Event]: ...

    def fail(self, why: Failure) -> list[Event]: ...

    def heartbeat(self) -> list[Event]: ...


class Events:
    """Collects the events of one reply; `drain` hands them out.

    What was given out never changes: items and responses in events are copies or finished.
    """

    def __init__(self, response: Item) -> None:
        self.response = response
        self._seed = str(response["id"]).removeprefix("resp_")
        self.items: list[Item | None] = []  # by output_index; None while open
        self._number = 0
        self._queue: list[Event] = []

    def emit(self, type: str, **fields: Any) -> None:
        self._queue.append({"type": type, "sequence_number": self._number, **fields})
        self._number += 1

    def drain(self) -> list[Event]:
        queue, self._queue = self._queue, []
        return queue

    def begin(self) -> bool:
        """The opening events, once. Whether they were due."""
        if self._number:
            return False
        self.emit("response.created", response=self.response)
        self.progress()
        return True

    def progress(self) -> None:
        self.emit("response.in_progress", response=self.response)

    def id(self, prefix: str) -> str:
        """An id of its own for the next thing in this response."""
        return f"{prefix}_{self._seed}_{len(self.items)}"

    def open(self, prefix: str, item: Item) -> tuple[int, Item]:
        """A new item and its output_index."""
        item = {"id": self.id(prefix), **item}
        self.items.append(None)
        index = len(self.items) - 1
        self.emit("response.output_item.added", output_index=index, item=item)
        return index, item

    def finish(self, index: int, item: Item) -> None:
        self.items[index] = item
        self.emit("response.output_item.done", output_index=index, item=item)

    def end(self, status: str, **fields: Any) -> None:
        """The last event. Items that are still open are not part of the response."""
        output = [item for item in self.items if item is not None]
        self.response = {**self.response, **fields, "status": status, "output": output}
        self.emit(f"response.{status}", response=self.response)
