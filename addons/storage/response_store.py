"""Kept responses: what goes in and out, by one thread, in order, so that whoever asks for a
response that was kept just now waits until it is written."""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from addons.config import addon as config
from addons.config.option_types import OFF
from addons.config.settings import Settings
from addons.storage.backend import Missing, Place
from addons.storage.owned import Owned
from addons.storage.places import opened
from addons.storage.sqlite_backend import SQLite
from translate import Kept, history, no_previous

PATIENCE = 15.0  # s that a request waits, and that the end waits for what is still being written
# Another relay on the same place tells its client of a response a moment before it is written.
ARRIVAL, PACE = 1.0, 0.05  # s that an id of our own making is looked for, and between two looks
OURS = re.compile(r"resp_[0-9a-f]{32}")
BACKLOG = 500  # responses that may wait to be written


class Unavailable(Exception):
    """Kept responses cannot be had now; the text says why, and what to do."""


class Keeper:
    """One place, opened when it is needed, and the thread that may block on it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "relay-store")
        self._place: Place | None = None
        self._backlog = 0

    def keep(self, kept: Kept, owner: str = "") -> None:
        """Never raises: the turn that is kept has gone well, whatever becomes of this."""
        self.write(
            lambda place: Owned(place, owner).keep(
                kept.id, kept.previous, kept.dump(), time.time()
            ),
            lambda why: logging.warning(f"relay: {kept.id} is not kept: {why}"),
        )

    def write(self, work: Callable[[Place], None], failed: Callable[[str], None]) -> None:
        """Have it done in its turn; `failed` is told why if it is not, perhaps by the thread."""
        if self._backlog >= BACKLOG:
            return failed(f"{BACKLOG} others wait to be written")
        try:
            self._thread.submit(self._write, work, failed)
            self._backlog += 1
        except RuntimeError:  # closed while the turn ran
            failed("relay_store has changed meanwhile")

    def _write(self, work: Callable[[Place], None], failed: Callable[[str], None]) -> None:
        try:
            self._on_place(work)
        except Unavailable as error:
            failed(str(error))
        finally:
            self._backlog -= 1

    async def chain(self, id: str, owner: str = "") -> list[Kept]:
        """A response and all before it, oldest first. Raises Missing, Unavailable."""
        end = time.monotonic() + ARRIVAL
        while True:
            try:
                return await self.ask(
                    lambda place: list(map(Kept.load, Owned(place, owner).chain(id, time.time())))
                )
            except Missing:
                if not OURS.fullmatch(id) or time.monotonic() > end:
                    raise
            await asyncio.sleep(PACE)

    async def find(self, id: str, owner: str) -> Kept | None:
        def found(place: Place) -> Kept | None:
            data = Owned(place, owner).find(id, time.time())
            return Kept.load(data) if data else None

        return await self.ask(found)

    async def remove(self, id: str, owner: str) -> bool:
        return await self.ask(lambda place: Owned(place, owner).remove(id, time.time()))

    def look(self) -> None:
        """Open the place already, to say what is wrong with it."""
        self._thread.submit(self._look)

    def _look(self) -> None:
        try:
            self._on_place(lambda place: place.find("", time.time()))
        except Unavailable as error:
            logging.warning(f"relay: {error}")

    def close(self) -> None:
        """Write what waits; it is bounded, as a place that does not answer is no reason to stay."""
        try:
            self._thread.submit(self._close).result(PATIENCE)
        except TimeoutError:
            logging.warning(f"relay: {self._backlog} responses were not kept: no answer in time")
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _close(self) -> None:
        if self._place:
            self._place.close()

    async def ask[T](self, work: Callable[[Place], T], patience: float = PATIENCE) -> T:
        """What the place answers. Raises Missing, Unavailable; waits `patience` seconds."""
        waiting = self._thread.submit(self._on_place, work)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(waiting), patience)
        except TimeoutError:
            raise self._unavailable(f"no answer in {patience:g} s") from None

    def _on_place[T](self, work: Callable[[Place], T]) -> T:
        try:
            self._place = self._place or opened(self._settings)
            return work(self._place)
        except Missing:
            raise
        except Exception as error:
            raise self._unavailable(error) from error

    def _unavailable(self, why: object) -> Unavailable:
        cure = self._place.cure if self._place else SQLite.cure
        return Unavailable(
            f"Kept responses cannot be used: {why}. relay_store (CODEX_RELAY_STORE) says where"
            f" they are: {cure}."
        )


_keeper: Keeper | None = None


def keeper() -> Keeper | None:
    """Who keeps responses; None while nobody does."""
    return _keeper


def keep(owner: str) -> Callable[[Kept], None] | None:
    """What is to be done with a response of this owner's that has ended."""
    return partial(_keeper.keep, owner=owner) if _keeper else None


async def before(id: object, owner: str) -> list[dict[str, Any]] | None:
    """The history that a `previous_response_id` names. Raises BadRequest, Unavailable."""
    if _keeper is None or not isinstance(id, str) or not id:
        return None
    try:
        return history(await _keeper.chain(id, owner))
    except Missing as missing:
        raise no_previous(str(missing)) from None


class Store:
    """Has a keeper as the settings want it."""

    chosen: tuple[str, float, float] | None = None

    def configure(self, updated: set[str]) -> None:
        global _keeper
        settings = config.settings()
        chosen = settings.store, settings.store_days, settings.store_megabytes
        if chosen == self.chosen:
            return
        self.done()
        self.chosen = chosen
        _keeper = None if settings.store == OFF else Keeper(settings)
        if _keeper and settings.store:  # else a file is made when a client wants it
            _keeper.look()

    def done(self) -> None:
        global _keeper
        if _keeper:
            _keeper.close()
        _keeper, self.chosen = None, None
