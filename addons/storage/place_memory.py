"""Notes of this process alone, which end with it: where nothing is to be kept anywhere."""

from collections.abc import Collection

from addons.storage.backend import Data, Limits


class Memory:
    """In the order of their last use, the oldest first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._notes: dict[str, tuple[float, bytes]] = {}
        self._size = 0

    def note(self, notes: Data, now: float) -> None:
        for key, data in self._limits.fitting(notes).items():
            self._drop(key)
            self._notes[key] = now, data
            self._size += len(data)
        self._tidy(now)

    def noted(self, keys: Collection[str], now: float) -> Data:
        self._tidy(now)
        found = {key: self._notes.pop(key)[1] for key in keys if key in self._notes}
        self._notes |= {key: (now, data) for key, data in found.items()}
        return found

    def _tidy(self, now: float) -> None:
        for key, (used, _) in [*self._notes.items()]:
            if used >= now - self._limits.seconds and self._size <= self._limits.bytes:
                break
            self._drop(key)

    def _drop(self, key: str) -> None:
        _, data = self._notes.pop(key, (0, b""))
        self._size -= len(data)
