"""The response as it grows: numbers its events and keeps its items in order."""

from collections.abc import Sequence
from typing import Any, Protocol

from translate.mappings.outcome import Outcome
from translate.wire.errors import BadReply, Failure

Event = dict[str, Any]
Item = dict[str, Any]

LOSSES_LIMIT = 100  # kinds of loss that are told apart in one reply
LOSS_LENGTH = 200  # characters of the path of one
MORE_LOSSES = "and more of the reply"
ITEMS_LIMIT = 4_096  # output items of one reply, calls included


class ReplyMachine(Protocol):
    """Translates one reply: the upstream's chunks or events in, the client's events out.

    `outcome` and `failure` say how the reply ended and, if it failed, why; `dropped` lists the
    parts of it that the client did not get.
    """

    @property
    def outcome(self) -> Outcome | None: ...

    @property
    def failure(self) -> Failure | None: ...

    @property
    def response(self) -> Item: ...

    @property
    def dropped(self) -> Sequence[str]: ...

    def mark_dropped(self, path: str) -> None: ...

    def feed(self, chunk: dict[str, Any]) -> list[Event]: ...

    def mark_done(self) -> list[Event]:
        """The upstream sent `[DONE]`."""

    def lose_connection(self, failure: Failure) -> list[Event]:
        """The connection to the upstream broke."""

    def close(self) -> list[Event]:
        """The upstream has ended."""

    def fail(self, failure: Failure) -> list[Event]:
        """End the reply as failed, unless it has ended."""

    def heartbeat_events(self) -> list[Event]:
        """An event without news, for clients that give up after a silence."""


class EventWriter:
    """Collects the events of one reply; `drain` hands them out.

    An event never changes once it is written: its items and responses are copies or finished.
    """

    def __init__(self, response: Item) -> None:
        self.response = response
        self.items: list[Item | None] = []  # by output_index; None while open
        self._dropped: dict[str, None] = {}  # in their order, each once
        self._seed = str(response["id"]).removeprefix("resp_")
        self._next_number = 0
        self._queue: list[Event] = []

    @property
    def finished_items(self) -> list[Item]:
        return [item for item in self.items if item is not None]

    @property
    def dropped(self) -> list[str]:
        return [*self._dropped]

    def mark_dropped(self, path: str) -> None:
        """Report, once, that the client does not get this part of the reply."""
        path = path[:LOSS_LENGTH]
        if path not in self._dropped:
            self._dropped[path if len(self._dropped) < LOSSES_LIMIT else MORE_LOSSES] = None

    def emit(self, type: str, /, **fields: Any) -> None:
        self._queue.append({"type": type, "sequence_number": self._next_number, **fields})
        self._next_number += 1

    def drain(self) -> list[Event]:
        """The events since the last call."""
        queue, self._queue = self._queue, []
        return queue

    def emit_opening(self) -> bool:
        """Write the first two events, unless they are written; returns whether it wrote them."""
        if self._next_number:
            return False
        self.emit("response.created", response=self.response)
        self.emit_progress()
        return True

    def emit_progress(self) -> None:
        self.emit("response.in_progress", response=self.response)

    def new_id(self, prefix: str) -> str:
        """A unique id for the next item of this response."""
        return f"{prefix}_{self._seed}_{len(self.items)}"

    def unique_call_id(self, id: str, used_ids: set[str]) -> str:
        """`id`, or one made from it that is not in use; adds it to `used_ids`.

        Codex matches outputs to calls by id, so no two calls may share one.
        """
        unique, number = id or self.new_id("call"), len(used_ids)
        while unique in used_ids:
            unique = f"{self.new_id(id or 'call')}_{number}"
            number += 1
        used_ids.add(unique)
        return unique

    def open_item(self, prefix: str, item: Item) -> tuple[int, Item]:
        """Add an item; returns its output_index, and the item with its id.

        Raises BadReply for more items than any reply can need.
        """
        if len(self.items) >= ITEMS_LIMIT:
            raise BadReply(f"more than {ITEMS_LIMIT:,} items")
        item = {"id": self.new_id(prefix), **item}
        self.items.append(None)
        index = len(self.items) - 1
        self.emit("response.output_item.added", output_index=index, item=item)
        return index, item

    def finish_item(self, index: int, item: Item) -> None:
        self.items[index] = item
        self.emit("response.output_item.done", output_index=index, item=item)

    def end_response(self, status: str, **fields: Any) -> None:
        """Write the last event. Items that are still open are not part of the response."""
        output = self.finished_items
        self.response = {**self.response, **fields, "status": status, "output": output}
        self.emit(f"response.{status}", response=self.response)
