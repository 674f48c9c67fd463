"""Stored responses. The storage thread saves, finds and removes them in order: a request that names
the previous response waits until that response is written."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from addons.config import REDIS_SCHEMES, STORE_OFF, Settings, StoreLimits, current_settings
from addons.storage.backend import Backend, ResponseMissing, storage_limits
from addons.storage.sqlite_backend import SqliteBackend
from addons.storage.worker import BackendQueue, StorageSuspended, failed_future
from addons.user_folders import data_folder
from translate import (
    StoredResponse,
    history_items,
    items_by_key,
    load_json,
    previous_response_missing,
    referenced_keys,
    replace_references,
)

type Json = dict[str, Any]

ANSWER_TIMEOUT = 15.0  # s that a request waits for the storage, and the relay's end for writes
# A client may know a response a moment before it is written. If it then asks another relay on the
# same storage, that relay looks for ids of RELAY_ID's form again and again.
RELAY_ID = re.compile(r"resp_[0-9a-f]{32}")
ARRIVAL_TIMEOUT, ARRIVAL_POLL = 1.0, 0.05  # s in all, and between two looks
WRITE_TIMEOUT = 1.0  # s that the end of a reply waits until its response is written
MAX_BACKLOG = 500  # responses that may wait to be written
VALID_ID = re.compile(r"[A-Za-z0-9_-]+")  # without "/", which ends the owner in a key


def open_backend(settings: Settings) -> Backend:
    if settings.store.startswith(REDIS_SCHEMES):
        # Imported here, as most relays do not use Redis.
        from addons.storage.redis_backend import RedisBackend

        return RedisBackend(settings.store, storage_limits(settings))
    return SqliteBackend(response_file(settings), storage_limits(settings))


def response_file(settings: Settings) -> Path:
    return Path(settings.store) if settings.store else data_folder() / "responses.db"


@dataclass(frozen=True)
class OwnedResponses:
    """The responses of one owner in a backend; those of other owners cannot be reached.

    `owner`: the name of the client's key; "" for all clients without a named key.
    """

    backend: Backend
    owner: str

    def save_response(self, response: StoredResponse, now: float) -> None:
        previous_id = response.previous_id
        key, previous_key = self._key(response.id), previous_id and self._key(previous_id)
        self.backend.save_response(key, previous_key, response.dump(), now)
        # By themselves, too, for requests that refer to them.
        self.backend.save_notes(items_by_key(response.response["output"], self.owner), now)

    def load_chain(self, id: str, now: float) -> list[bytes]:
        if not VALID_ID.fullmatch(id):
            raise ResponseMissing(id)
        try:
            return self.backend.load_chain(self._key(id), now)
        except ResponseMissing as missing:
            raise ResponseMissing(str(missing).removeprefix(self._key(""))) from None

    def find_response(self, id: str, now: float) -> bytes | None:
        return self.backend.find_response(self._key(id), now) if VALID_ID.fullmatch(id) else None

    def read_items(self, ids_by_key: Mapping[str, str], now: float) -> dict[str, Json]:
        """The stored items by their ids. `ids_by_key`: of this owner's `referenced_keys`."""
        notes = self.backend.load_notes(ids_by_key.keys(), now)
        return {ids_by_key[key]: load_json(data) for key, data in notes.items() if data}

    def remove_response(self, id: str, now: float) -> bool:
        data = self.find_response(id, now)
        if data is None or not self.backend.remove_response(self._key(id), now):
            return False
        keys = items_by_key(StoredResponse.load(data).response["output"], self.owner)
        self.backend.save_notes(dict.fromkeys(keys, b""), now)
        return True

    def _key(self, id: str) -> str:
        return f"{self.owner}/{id}" if self.owner else id


class ResponseWriter:
    """Passes work on responses and notes to the storage thread."""

    def __init__(self, settings: Settings) -> None:
        self._queue: BackendQueue[Backend] = BackendQueue(
            "Stored responses", settings.store, partial(open_backend, settings)
        )
        self._pending: set[Future[None]] = set()

    @property
    def is_open(self) -> bool:
        return self._queue.is_open

    def save_response(self, response: StoredResponse, owner: str = "") -> "Future[None]":
        """Never raises: the turn succeeds even if its response cannot be stored. The future ends
        when the response is stored, or is lost."""
        return self.write(
            lambda backend: OwnedResponses(backend, owner).save_response(response, time.time()),
            lambda why: logging.warning(f"relay: {response.id} is not stored: {why}"),
        )

    def write(
        self, work: Callable[[Backend], None], on_failure: Callable[[str], None]
    ) -> "Future[None]":
        """Queue this work. If it fails, `on_failure` is called with the reason, in any thread,
        unless the log says so already (StorageSuspended).

        The future ends with the work. Do not read its result, which may be an exception."""
        if len(self._pending) >= MAX_BACKLOG:
            on_failure(f"{MAX_BACKLOG} others wait to be written")
            return failed_future(self._queue.unavailable("too much waits to be written"))

        def finish(future: "Future[None]") -> None:
            self._pending.discard(future)
            error = future.exception()
            if error and not isinstance(error, StorageSuspended):
                on_failure(str(error))

        future = self._queue.submit(work)
        self._pending.add(future)
        future.add_done_callback(finish)
        return future

    async def load_chain(self, id: str, owner: str = "") -> list[StoredResponse]:
        """A response and all before it, oldest first.

        Raises ResponseMissing, StorageUnavailable."""
        deadline = time.monotonic() + ARRIVAL_TIMEOUT
        while True:
            try:
                return await self.ask(
                    lambda backend: [
                        StoredResponse.load(data)
                        for data in OwnedResponses(backend, owner).load_chain(id, time.time())
                    ]
                )
            except ResponseMissing:
                if not RELAY_ID.fullmatch(id) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(ARRIVAL_POLL)

    async def find_response(self, id: str, owner: str) -> StoredResponse | None:
        def load(backend: Backend) -> StoredResponse | None:
            data = OwnedResponses(backend, owner).find_response(id, time.time())
            return StoredResponse.load(data) if data else None

        return await self.ask(load)

    async def load_items(self, ids_by_key: Mapping[str, str], owner: str) -> dict[str, Json]:
        """As `OwnedResponses.read_items`. Raises StorageUnavailable."""
        return await self.ask(
            lambda backend: OwnedResponses(backend, owner).read_items(ids_by_key, time.time())
        )

    async def remove_response(self, id: str, owner: str) -> bool:
        return await self.ask(
            lambda backend: OwnedResponses(backend, owner).remove_response(id, time.time())
        )

    async def ask[T](self, work: Callable[[Backend], T], timeout: float = ANSWER_TIMEOUT) -> T:
        """The result of this work. Raises ResponseMissing, StorageUnavailable."""
        return await self._queue.ask(work, timeout)

    def check_backend(self) -> None:
        """Open the backend now, and log a warning if that fails."""

        def finish(future: "Future[bytes | None]") -> None:
            error = future.exception()
            if error and not isinstance(error, StorageSuspended):
                logging.warning(f"relay: {error}")

        work = self._queue.submit(lambda backend: backend.find_response("", time.time()))
        work.add_done_callback(finish)

    def close(self) -> None:
        """Finish the waiting work, within ANSWER_TIMEOUT."""
        if not self._queue.close(ANSWER_TIMEOUT):
            count = len(self._pending)
            logging.warning(f"relay: {count} responses were not stored: no answer in time")


_writer: ResponseWriter | None = None


def response_writer() -> ResponseWriter | None:
    """The writer in use; None while `relay_store` is off."""
    return _writer


class ResponseSaver:
    """A function that stores the response of one exchange for one owner; its end can be awaited."""

    def __init__(self, writer: ResponseWriter, owner: str) -> None:
        self._writer, self._owner = writer, owner
        self._write: Future[None] | None = None

    def __call__(self, response: StoredResponse) -> None:
        """Queue the write. Never raises."""
        self._write = self._writer.save_response(response, self._owner)

    def is_busy(self) -> bool:
        """Whether the response waits to be written, or is just being written."""
        return self._write is not None and not self._write.done()

    async def wait_until_written(self) -> None:
        """Wait until the response is written, or cannot be, for at most WRITE_TIMEOUT. Never raises
        for a failure of the storage."""
        if self._write:
            written = asyncio.wrap_future(self._write)
            await asyncio.wait([written], timeout=WRITE_TIMEOUT)
            # Not cancelled, even after the time: a later write is better than none.
            written.add_done_callback(asyncio.Future.exception)


def response_saver(owner: str) -> ResponseSaver | None:
    """What stores an ended response of this owner; None while `relay_store` is off."""
    return ResponseSaver(_writer, owner) if _writer else None


async def load_history(id: object, owner: str) -> list[dict[str, Any]] | None:
    """The items before a request with this `previous_response_id`.

    None if there is no such id, or `relay_store` is off.
    Raises BadRequest for an unknown response, StorageUnavailable.
    """
    if _writer is None or not isinstance(id, str) or not id:
        return None
    try:
        return history_items(await _writer.load_chain(id, owner))
    except ResponseMissing as missing:
        raise previous_response_missing(str(missing)) from None


STORE_IS_OFF = (
    "relay_store is off: turn it on, or have the client send whole items (in the AI SDK the"
    " provider option `store: false`)."
)


async def resolve_references(body: Json, owner: str) -> Json:
    """A client's body with the stored items in place of its item references.

    Raises BadRequest for an unknown item, StorageUnavailable.
    """
    ids_by_key = referenced_keys(body, owner)
    if not ids_by_key:
        return body
    if _writer is None:
        return replace_references(body, {}, cure=STORE_IS_OFF)
    return replace_references(body, await _writer.load_items(ids_by_key, owner))


class ResponseStore:
    """The addon that opens the writer, and a new one when `relay_store` or its limit changes."""

    _configured: tuple[str, StoreLimits] | None = None

    def configure(self, updated: set[str]) -> None:
        global _writer
        settings = current_settings()
        configured = settings.store, settings.store_limit
        if configured == self._configured:
            return
        self.done()
        self._configured = configured
        _writer = None if settings.store == STORE_OFF else ResponseWriter(settings)
        if _writer and settings.store:  # the default file is created when a client needs it
            _writer.check_backend()

    def done(self) -> None:
        global _writer
        if _writer:
            _writer.close()
        _writer, self._configured = None, None
