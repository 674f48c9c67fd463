"""The storage thread, the only one that waits for storage. All work on stored responses, remembered
reasoning and usage totals is done there in order, so that each read sees all earlier writes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from addons.config import REDIS_SCHEMES

_thread = ThreadPoolExecutor(1, "relay-storage")


class StorageUnavailable(Exception):
    """The storage cannot be used; the text says why, and what the user can do."""


class StoredDataError(Exception):
    """A working backend's answer about its data, such as "no such response"."""


class Closable(Protocol):
    """The contract of every backend. One thread uses it; other processes may use its data."""

    def close(self) -> None: ...


class BackendQueue[B: Closable]:
    """The work for one backend, which the storage thread opens when the first work needs it."""

    def __init__(self, content: str, location: str, open_backend: Callable[[], B]) -> None:
        """`content`: what the backend stores, in messages; `location`: the setting `store`."""
        self._content, self._cure = content, storage_cure(location)
        self._open_backend = open_backend
        self._backend: B | None = None
        self._closing = False  # no new work is taken
        self._abandoned = False  # `close` has timed out: the waiting work fails

    @property
    def is_open(self) -> bool:
        """Whether the backend has been opened."""
        return self._backend is not None

    def submit[T](self, work: Callable[[B], T]) -> "Future[T]":
        """Queue this work. The future raises StorageUnavailable or a StoredDataError."""
        if self._closing:
            failed: Future[T] = Future()
            failed.set_exception(self.unavailable("relay_store has changed meanwhile"))
            return failed
        return _thread.submit(self._run, work)

    async def ask[T](self, work: Callable[[B], T], timeout: float) -> T:
        """The result of this work, within `timeout` s. Raises as `submit`'s future does."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self.submit(work)), timeout)
        except TimeoutError:
            raise self.unavailable(f"no answer in {timeout:g} s") from None

    def close(self, timeout: float) -> bool:
        """Finish the waiting work and close the backend.

        False if that takes longer than `timeout` s: a backend that does not answer must not keep
        the relay from ending.
        """
        if self._closing:
            return True
        self._closing = True
        try:
            _thread.submit(self._close_backend).result(timeout)
        except TimeoutError:
            self._abandoned = True
        return not self._abandoned

    def unavailable(self, why: object) -> StorageUnavailable:
        return StorageUnavailable(
            f"{self._content} cannot be used: {why}. relay_store (CODEX_RELAY_STORE) says where"
            f" they are: {self._cure}."
        )

    def _run[T](self, work: Callable[[B], T]) -> T:
        if self._abandoned:
            raise self.unavailable("no answer in time")
        try:
            self._backend = self._backend or self._open_backend()
            return work(self._backend)
        except StoredDataError:
            raise
        except Exception as error:
            raise self.unavailable(error) from error

    def _close_backend(self) -> None:
        if self._backend:
            self._backend.close()


def storage_cure(location: str) -> str:
    """What the user can do when the storage at this location fails."""
    if location.startswith(REDIS_SCHEMES):
        return "start that Redis, or name another one, a file, or off"
    return "name a file that can be written, redis://…, or off"
