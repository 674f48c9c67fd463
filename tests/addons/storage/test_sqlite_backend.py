"""What only a SQLite file has: versions, damage, and access rights."""

import sqlite3
import stat
from pathlib import Path

import pytest

from addons.storage.backend import StorageLimits
from addons.storage.sqlite_backend import RESPONSE_SCHEMA, SqliteBackend

DAY = 86_400.0
LIMITS = StorageLimits(max_age=30 * DAY, max_bytes=1_000)


def test_file_of_the_first_version_is_upgraded(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    with sqlite3.connect(file) as first:
        for statement in (*RESPONSE_SCHEMA, "PRAGMA user_version = 1"):
            first.execute(statement)
        first.execute("INSERT INTO conversation VALUES ('a', 0, 1)")
        first.execute("INSERT INTO response VALUES ('a', NULL, x'31', 'a')")
    first.close()
    for _ in range(2):
        backend = SqliteBackend(file, LIMITS)
        assert backend.load_chain("a", 1) == [b"1"]
        backend.save_notes({"a": b"2"}, 1)
        assert backend.load_notes("a", 1) == {"a": b"2"}
        backend.close()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.db"]


def test_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    SqliteBackend(file, LIMITS).close()
    with sqlite3.connect(file) as later:
        later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(OSError, match="another program or version"):
        SqliteBackend(file, LIMITS)


def test_damaged_file_is_moved_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "kept.db"
    file.write_bytes(b"these are not pages of a database " * 1_000)
    backend = SqliteBackend(file, LIMITS)
    backend.save_response("a", None, b"1", 0)
    assert backend.find_response("a", 1) == b"1"
    backend.close()
    [aside] = tmp_path.glob("kept.db.damaged-*")
    assert aside.read_bytes().startswith(b"these are")
    assert "is damaged" in caplog.text and aside.name in caplog.text and str(file) in caplog.text


def test_file_with_damaged_pages_is_moved_aside(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    backend = SqliteBackend(file, StorageLimits(1, 10_000_000))
    for number in range(200):
        backend.save_response(f"r{number}", f"r{number - 1}", b"x" * 1_000, 0)
    backend.close()
    data = bytearray(file.read_bytes())
    data[8_192:40_960] = b"\xff" * (40_960 - 8_192)
    file.write_bytes(data)
    SqliteBackend(file, LIMITS).close()
    [aside] = tmp_path.glob("kept.db.damaged-*")
    # The first 100 bytes are the header, in which SQLite counts changes.
    assert aside.read_bytes()[100:] == data[100:]


def test_database_of_another_program_is_refused_and_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "theirs.db"
    with sqlite3.connect(file) as theirs:
        theirs.execute("CREATE TABLE t (x)")
    theirs.close()
    before = file.read_bytes()
    with pytest.raises(OSError, match="another program"):
        SqliteBackend(file, LIMITS)
    with sqlite3.connect(file) as theirs:
        assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    theirs.close()
    assert len(file.read_bytes()) == len(before)


def test_file_is_private_and_shrinks(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "kept.db"
    backend = SqliteBackend(file, StorageLimits(DAY, 2_000_000))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    for number in range(10):
        backend.save_response(f"r{number}", None, b"x" * 1_000_000, number)
    backend.save_response("last", None, b"x", 3 * DAY)
    backend.close()
    assert file.stat().st_size < 1_000_000
