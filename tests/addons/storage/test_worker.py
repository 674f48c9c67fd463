"""One thread does all storage work in order, and a failing backend does not stop the relay."""

import asyncio
import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator

import pytest

from addons.config.config_file import read_settings
from addons.storage import breaker
from addons.storage.breaker import breaker_for
from addons.storage.response_store import ResponseWriter
from addons.storage.worker import (
    BackendQueue,
    StorageSuspended,
    StorageUnavailable,
    StoredDataError,
    storage_cure,
)
from tests.addons.proxy import bounded
from translate import StoredResponse


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


class BadlyClosed(Journal):
    def close(self) -> None:
        raise OSError("I/O error")


def test_backend_that_cannot_be_closed_is_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue: BackendQueue[Journal] = BackendQueue("Things", "", BadlyClosed)
    queue.submit(lambda backend: backend.write("a")).result(5)
    assert queue.close(5)
    assert caplog.messages == ["relay: Things were not closed properly: I/O error"]


def test_backend_that_turns_out_damaged_is_opened_again() -> None:
    backends = [Journal(), Journal()]
    first, second = backends
    queue = BackendQueue("Things", "", lambda: backends.pop(0))

    def read_damage(backend: Journal) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(StorageUnavailable, match="malformed"):
        queue.submit(read_damage).result(5)
    assert queue.submit(lambda backend: backend.write("a")).result(5) == ["a"]
    assert first.entries == ["closed"] and second.entries == ["a"]
    assert queue.close(5)


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[str, list[socket.socket]]]:
    """The URL of a Redis that accepts connections and never answers, and its connections."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept_all() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connections.append(server.accept()[0])

        thread = threading.Thread(target=accept_all)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0", connections
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    for connection in connections:
        connection.close()


@bounded
async def test_silent_redis_costs_one_short_wait_and_then_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "PAUSE", 600.0)
    with silent_server() as (url, connections):
        settings = read_settings({"relay_store": url}, {})
        writer = ResponseWriter(settings)
        start = time.monotonic()
        futures = [
            writer.save_response(StoredResponse([], {"id": "r", "previous_response_id": None}))
            for _ in range(20)
        ]
        with pytest.raises(StorageUnavailable):
            await writer.load_chain("resp_" + "0" * 32)
        assert time.monotonic() - start < 3  # 20 writes and a read, of 0.5 s each without a breaker
        asked = len(connections)
        for _ in range(50):
            with pytest.raises(StorageSuspended, match="does not answer"):
                await writer.load_chain("resp_" + "0" * 32)
        assert len(connections) == asked
        assert all(isinstance(future.exception(5), StorageSuspended) for future in futures)
        assert len(caplog.messages) == 1 and "does not answer" in caplog.messages[0]
        # The pause is over: one piece of work tries again.
        shared = breaker_for(url)
        assert shared
        shared._broken_until = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await writer.load_chain("resp_" + "0" * 32)
        assert len(connections) > asked and len(caplog.messages) == 1
        writer.close()
