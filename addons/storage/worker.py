"""The storage thread, the only one that waits for storage. All work on stored responses, remembered
reasoning and usage totals is done there in order, so that each read sees all earlier writes."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

from addons.config import REDIS_SCHEMES
from addons.storage.breaker import REDIS_ANSWER_TIMEOUT, breaker_for
from addons.storage.sqlite_file import needs_opening_again

NO_ANSWER = "it does not answer"

_thread = ThreadPoolExecutor(1, "relay-storage")


class StorageUnavailable(Exception):
    """The storage cannot be used; the text says why, and what the user can do."""


class StorageSuspended(StorageUnavailable):
    """The storage does not answer, or was not asked as it has not answered lately. The log says so
    by itself, once."""


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
        self._open_backend, self._breaker = open_backend, breaker_for(location)
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
            return failed_future(self.unavailable("relay_store has changed meanwhile"))
        if self._breaker and self._breaker.refuses_work:
            return failed_future(self._suspended(NO_ANSWER))
        return _thread.submit(self._run, work)

    async def ask[T](self, work: Callable[[B], T], timeout: float) -> T:
        """The result of this work, within `timeout` s; of Redis within REDIS_ANSWER_TIMEOUT.

        Raises as `submit`'s future does."""
        timeout = min(timeout, REDIS_ANSWER_TIMEOUT) if self._breaker else timeout
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self.submit(work)), timeout)
        except TimeoutError:
            raise self.unavailable(f"no answer in {timeout:g} s") from None

    def close(self, timeout: float) -> bool:
        """Finish the waiting work and close the backend.

        False if that takes longer than `timeout` s: a backend that does not answer must not keep
        the relay from ending. Never raises.
        """
        if self._closing:
            return True
        self._closing = True
        closing = _thread.submit(self._close_backend)
        done, _ = wait([closing], timeout)
        self._abandoned = not done
        return bool(done)

    def unavailable(self, why: object) -> StorageUnavailable:
        return StorageUnavailable(self._failure_message(why))

    def _suspended(self, why: object) -> StorageSuspended:
        return StorageSuspended(self._failure_message(why))

    def _failure_message(self, why: object) -> str:
        return (
            f"{self._content} cannot be used: {why}. relay_store (CODEX_RELAY_STORE) says where"
            f" they are: {self._cure}."
        )

    def _run[T](self, work: Callable[[B], T]) -> T:
        if self._abandoned:
            raise self.unavailable("no answer in time")
        if self._breaker and self._breaker.refuses_work:  # since the work was queued
            raise self._suspended(NO_ANSWER)
        try:
            self._backend = self._backend or self._open_backend()
            result = work(self._backend)
        except StoredDataError:
            raise
        except Exception as error:
            if self._breaker and self._breaker.on_failure(error):
                raise self._suspended(error) from error
            if needs_opening_again(error):  # by the next work, which sets a damaged file aside
                self._close_backend()
            raise self.unavailable(error) from error
        if self._breaker:
            self._breaker.on_success()
        return result

    def _close_backend(self) -> None:
        backend, self._backend = self._backend, None
        try:
            if backend:
                backend.close()
        except Exception as error:  # all that was written is safe
            logging.warning(f"relay: {self._content} were not closed properly: {error}")


def failed_future(error: Exception) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def storage_cure(location: str) -> str:
    """What the user can do when the storage at this location fails."""
    if location.startswith(REDIS_SCHEMES):
        return "start that Redis, or name another one, a file, or off"
    return "name a file that can be written, redis://…, or off"
