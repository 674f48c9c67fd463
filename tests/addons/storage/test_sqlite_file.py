"""Opening SQLite files: damage, full disks, and who may read them."""

import os
import resource
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from addons.config.config_file import read_settings
from addons.storage.backend import StorageLimits
from addons.storage.response_store import open_backend
from addons.storage.sqlite_backend import SqliteBackend
from addons.storage.sqlite_file import (
    holds_all_content,
    needs_opening_again,
    open_sqlite_file,
)
from addons.storage.worker import BackendQueue, StorageUnavailable

DAY = 86_400.0


def create_table(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS thing (name TEXT)")


@contextmanager
def full_disk() -> Iterator[None]:
    """No byte can be written to a file by this process; Python ignores the signal for that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_chain_and_notes_are_read_on_a_full_disk(tmp_path: Path) -> None:
    limits = StorageLimits(30 * DAY, 1_000_000)
    backend = SqliteBackend(tmp_path / "kept.db", limits)
    backend.save_response("a", None, b"1", 0)
    backend.save_response("b", "a", b"2", 0)
    backend.save_notes({"n": b"3"}, 0)
    with full_disk():
        chain, notes = backend.load_chain("b", DAY), backend.load_notes(["n"], DAY)
        stored = backend.find_response("a", DAY)
        with pytest.raises(sqlite3.OperationalError):
            backend.save_response("c", "b", b"4" * 10_000, DAY)
        second = SqliteBackend(tmp_path / "kept.db", limits)  # another relay starts
        again = second.load_chain("b", DAY)
        second.close()
    assert chain == again == [b"1", b"2"]
    assert notes == {"n": b"3"} and stored == b"1"
    backend.save_response("c", "b", b"4" * 10_000, DAY)
    assert len(backend.load_chain("c", DAY)) == 3
    backend.close()


def test_reading_waits_for_no_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.storage.sqlite_file.LOCK_TIMEOUT", 0.05)
    backend = SqliteBackend(tmp_path / "kept.db", StorageLimits(30 * DAY, 1_000_000))
    backend.save_response("a", None, b"1", 0)
    other = sqlite3.connect(tmp_path / "kept.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert backend.load_chain("a", DAY) == [b"1"]
    other.execute("COMMIT")
    other.close()
    backend.close()


def test_relay_that_starts_on_a_full_disk_reads_and_later_writes(tmp_path: Path) -> None:
    settings = read_settings({"relay_store": str(tmp_path / "kept.db")}, {})
    backend = open_backend(settings)
    backend.save_response("a", None, b"1", 0)
    backend.close()  # leaves no other file
    queue = BackendQueue("Things", settings.store, lambda: open_backend(settings))
    with full_disk():
        chain = queue.submit(lambda each: each.load_chain("a", DAY)).result(5)
        failure = queue.submit(lambda each: each.save_response("b", "a", b"2", DAY)).exception(5)
        again = queue.submit(lambda each: each.load_chain("a", DAY)).result(5)
    assert chain == again == [b"1"] and isinstance(failure, StorageUnavailable)
    with pytest.raises(StorageUnavailable, match="readonly"):
        queue.submit(lambda each: each.save_response("b", "a", b"2", DAY)).result(5)
    queue.submit(lambda each: each.save_response("b", "a", b"2", DAY)).result(5)
    assert queue.submit(lambda each: each.load_chain("b", DAY)).result(5) == [b"1", b"2"]
    assert queue.close(5)


def test_file_that_another_relay_uses_is_not_opened_for_reading_alone(tmp_path: Path) -> None:
    db = open_sqlite_file(tmp_path / "x.db", create_table)
    assert not holds_all_content(tmp_path / "x.db")
    db.close()
    assert holds_all_content(tmp_path / "x.db")
    (tmp_path / "new.db").touch()
    assert not holds_all_content(tmp_path / "new.db")


def test_damaged_and_unwritable_files_are_opened_again() -> None:
    assert needs_opening_again(sqlite3.DatabaseError("malformed"))
    for error in (sqlite3.OperationalError("locked"), sqlite3.IntegrityError("x"), OSError("x")):
        assert not needs_opening_again(error)


def test_error_of_the_preparation_is_raised_and_the_file_stays(tmp_path: Path) -> None:
    def refuse(db: sqlite3.Connection) -> None:
        raise OSError("another program's")

    with pytest.raises(OSError, match="another program's"):
        open_sqlite_file(tmp_path / "x.db", refuse)
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]


@pytest.mark.skipif(os.name != "posix", reason="modes mean nothing here")
def test_file_its_folder_and_its_journals_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        db = open_sqlite_file(tmp_path / "a" / "b" / "x.db", create_table)
        db.execute("INSERT INTO thing VALUES ('x')")
        files = list((tmp_path / "a" / "b").iterdir())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}
        folders = {stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path / "a").rglob("")}
        db.close()
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(("x.db", "x.db-wal", "x.db-shm"), 0o600)
    assert folders == {0o700}
