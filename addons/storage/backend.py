"""The contract of the backends for stored responses, SQLite and Redis. They block; only the storage
thread calls them.

A conversation is all responses that descend from one first response. Conversations that were unused
for longest are deleted first, and always whole, so that no history has a gap. Notes are small
values that may be lost: each is deleted by itself. They have as much space again, of their own, so
that they never displace a response.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from addons.config import Settings
from addons.storage.worker import Closable, StoredDataError

type Notes = Mapping[str, bytes]


class ResponseMissing(StoredDataError):
    """The response was never stored or is deleted; the text is its id."""


@dataclass(frozen=True)
class StorageLimits:
    max_age: float  # s after its last use until a conversation is deleted
    max_bytes: int  # of all conversations together

    def check_conversation_size(self, size: int) -> None:
        """Raises OSError for a conversation so large that it would be deleted at once."""
        if size > self.max_bytes:
            raise OSError("this conversation alone is larger than relay_store_limit allows")

    def notes_that_fit(self, notes: Notes) -> Notes:
        """The notes without those that are larger than the space for all notes."""
        return {key: data for key, data in notes.items() if len(data) <= self.max_bytes}


def storage_limits(settings: Settings) -> StorageLimits:
    limit = settings.store_limit
    return StorageLimits(limit.days * 86_400, int(limit.megabytes * 1_000_000))


class NoteBackend(Protocol):
    def save_notes(self, notes: Notes, now: float) -> None:
        """Store values under keys; a later value replaces an earlier one."""

    def load_notes(self, keys: Collection[str], now: float) -> Notes:
        """The stored notes under these keys; `now` becomes the time of their last use."""


class Backend(NoteBackend, Closable, Protocol):
    def save_response(self, id: str, previous: str | None, data: bytes, now: float) -> None:
        """Raises OSError for a conversation that has become too large."""

    def load_chain(self, id: str, now: float) -> list[bytes]:
        """This response and all before it, oldest first; `now` becomes the time of their last use.

        Raises ResponseMissing, also if only an earlier response is missing."""

    def find_response(self, id: str, now: float) -> bytes | None: ...

    def remove_response(self, id: str, now: float) -> bool:
        """Whether there was such a response."""


class MemoryNotes:
    """Notes in the memory of this process."""

    def __init__(self, limits: StorageLimits) -> None:
        self._limits = limits
        # Key → time of the last use, and value; in the order of these times.
        self._notes: dict[str, tuple[float, bytes]] = {}
        self._size = 0

    def save_notes(self, notes: Notes, now: float) -> None:
        for key, data in self._limits.notes_that_fit(notes).items():
            self._remove_note(key)
            self._notes[key] = now, data
            self._size += len(data)
        self._remove_excess(now)

    def load_notes(self, keys: Collection[str], now: float) -> Notes:
        self._remove_excess(now)
        loaded = {key: self._notes.pop(key)[1] for key in keys if key in self._notes}
        self._notes |= {key: (now, data) for key, data in loaded.items()}
        return loaded

    def _remove_excess(self, now: float) -> None:
        for key, (used_at, _) in [*self._notes.items()]:
            is_recent = used_at >= now - self._limits.max_age
            if is_recent and self._size <= self._limits.max_bytes:
                break
            self._remove_note(key)

    def _remove_note(self, key: str) -> None:
        _, data = self._notes.pop(key, (0, b""))
        self._size -= len(data)
