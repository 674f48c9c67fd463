"""Whose a kept response is: the name of a client's key has its own, and finds no other's."""

import re
from dataclasses import dataclass

from addons.storage.backend import Missing, Place

ID = re.compile(r"[A-Za-z0-9_-]+")  # so that none can name another owner's


@dataclass(frozen=True)
class Owned:
    """What one owner has in a place, as `Place` does it; "" is who has no key with a name."""

    place: Place
    owner: str

    def keep(self, id: str, previous: str | None, data: bytes, now: float) -> None:
        self.place.keep(self._named(id), previous and self._named(previous), data, now)

    def chain(self, id: str, now: float) -> list[bytes]:
        if not ID.fullmatch(id):
            raise Missing(id)
        try:
            return self.place.chain(self._named(id), now)
        except Missing as missing:
            raise Missing(str(missing).removeprefix(self._named(""))) from None

    def find(self, id: str, now: float) -> bytes | None:
        return self.place.find(self._named(id), now) if ID.fullmatch(id) else None

    def remove(self, id: str, now: float) -> bool:
        return self.place.remove(self._named(id), now)

    def _named(self, id: str) -> str:
        return f"{self.owner}/{id}" if self.owner else id
