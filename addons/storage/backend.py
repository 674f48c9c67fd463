"""Where kept responses lie: what SQLite and Redis both do. Blocking; called by one thread only.

Responses form conversations: all that goes back to one first response. What was not used for
longest goes first, and always as a whole, so that no history ever has a hole. Notes are small
values that nobody was promised: each goes by itself, and they have room of their own, as much
again, so that they never push out a response.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

type Data = Mapping[str, bytes]


class Missing(Exception):
    """No such response, or no more: its id."""


@dataclass(frozen=True)
class Limits:
    seconds: float  # that a conversation is kept after its last use
    bytes: int  # of all conversations together

    def check(self, size: int) -> None:
        """Raises OSError for a conversation of so many bytes that it could not be kept alone."""
        if size > self.bytes:
            raise OSError("this conversation alone is larger than relay_store_megabytes allows")

    def fitting(self, notes: Data) -> Data:
        """Without those that would push out all others, and then themselves."""
        return {key: data for key, data in notes.items() if len(data) <= self.bytes}


class Notes(Protocol):
    def note(self, notes: Data, now: float) -> None:
        """Keep values under keys; a later one takes the place of an earlier one."""

    def noted(self, keys: Collection[str], now: float) -> Data:
        """Those of the keys that there are, used now."""


class Place(Notes, Protocol):
    cure: str  # what to do when it cannot be used

    def keep(self, id: str, previous: str | None, data: bytes, now: float) -> None: ...

    def chain(self, id: str, now: float) -> list[bytes]:
        """This response and all before it, oldest first, used now. Raises Missing."""

    def find(self, id: str, now: float) -> bytes | None: ...

    def remove(self, id: str, now: float) -> bool:
        """Whether it was there."""

    def close(self) -> None: ...
