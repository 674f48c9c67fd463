"""One thread does all storage work in order, and a failing backend does not stop the relay."""

import asyncio
import threading
import time

import pytest

from addons.storage.worker import (
    BackendQueue,
    StorageUnavailable,
    StoredDataError,
    storage_cure,
)
from tests.addons.proxy import bounded


class Journal:
    """A backend that records its work, and the threads that do it."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.threads = {threading.get_ident()}

    def write(self, entry: str) -> list[str]:
        self.threads.add(threading.get_ident())
        self.entries.append(entry)
        return list(self.entries)

    def close(self) -> None:
        self.write("closed")


def refuse_to_open() -> Journal:
    raise OSError("disk full")


def test_work_of_all_queues_is_done_by_one_thread_in_order() -> None:
    journal = Journal()
    journal.threads.clear()
    queues = [BackendQueue("Things", "", lambda: journal) for _ in range(2)]
    assert not queues[0].is_open
    for number in range(4):
        entries = queues[number % 2].submit(lambda backend, n=number: backend.write(str(n)))
    assert entries.result(5) == ["0", "1", "2", "3"]
    assert all(queue.is_open for queue in queues)
    assert all(queue.close(5) for queue in queues)
    assert journal.entries == ["0", "1", "2", "3", "closed", "closed"]
    assert len(journal.threads) == 1 and threading.get_ident() not in journal.threads


@bounded
async def test_failure_names_reason_and_cure_and_the_next_work_tries_again() -> None:
    backends = iter([refuse_to_open, Journal])
    queue: BackendQueue[Journal] = BackendQueue("Things", "redis://h", lambda: next(backends)())
    with pytest.raises(StorageUnavailable) as caught:
        await queue.ask(lambda backend: backend.write("a"), 5)
    assert str(caught.value) == (
        "Things cannot be used: disk full. relay_store (CODEX_RELAY_STORE) says where they are: "
        + storage_cure("redis://h")
        + "."
    )
    assert await queue.ask(lambda backend: backend.write("a"), 5) == ["a"]
    assert queue.close(5)


@bounded
async def test_answers_about_stored_data_are_not_failures() -> None:
    def find(backend: Journal) -> None:
        raise StoredDataError("r1")

    queue = BackendQueue("Things", "", Journal)
    with pytest.raises(StoredDataError, match="^r1$"):
        await queue.ask(find, 5)
    assert queue.close(5)


@bounded
async def test_slow_backend_costs_a_request_its_timeout_only() -> None:
    released = threading.Event()
    queue = BackendQueue("Things", "", Journal)
    start = time.monotonic()
    with pytest.raises(StorageUnavailable, match=r"no answer in 0\.05 s"):
        await queue.ask(lambda backend: released.wait(5), 0.05)
    assert time.monotonic() - start < 2
    later = queue.submit(lambda backend: backend.write("later"))
    assert not await asyncio.to_thread(queue.close, 0.05)
    released.set()
    with pytest.raises(StorageUnavailable, match="no answer in time"):
        later.result(5)


def test_closed_queue_takes_no_work() -> None:
    journal = Journal()
    queue = BackendQueue("Things", "", lambda: journal)
    entry = queue.submit(lambda backend: backend.write("a"))
    assert queue.close(5) and queue.close(5)
    assert entry.done() and journal.entries == ["a", "closed"]
    with pytest.raises(StorageUnavailable, match="has changed meanwhile"):
        queue.submit(lambda backend: backend.write("b")).result(5)


def test_closing_opens_nothing() -> None:
    queue = BackendQueue("Things", "", refuse_to_open)
    assert queue.close(5) and not queue.is_open


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("", "a file that can be written"),
        ("/x.db", "a file that"),
        ("unix:///r", "start that Redis"),
    ],
)
def test_cure_fits_the_location(location: str, words: str) -> None:
    assert words in storage_cure(location)
