"""A SQLite file: how it is opened, and what happens to a damaged one."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from addons.private_files import create_private_file

LOCK_TIMEOUT = 5.0  # s, while another relay writes
# For an empty file only, as SQLite writes for it: the file shrinks when rows are deleted.
SHRINKING = "PRAGMA auto_vacuum = FULL"
JOURNAL_SUFFIXES = ("-wal", "-shm")
DISK_ERRORS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
JOURNAL_PRAGMAS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL")

type Preparation = Callable[[sqlite3.Connection], None]


def open_sqlite_file(
    path: Path, prepare: Preparation, pragmas: Sequence[str] = ()
) -> sqlite3.Connection:
    """Open the file, which is created if it is missing; a damaged one is set aside.

    `prepare` creates or upgrades the tables; what it raises is raised here. On a full disk, a file
    that needs no upgrade opens all the same. Raises sqlite3.Error, OSError.
    """
    create_private_file(path)  # SQLite gives its journals the same mode
    is_complete = holds_all_content(path)
    try:
        return connect_database(path, prepare, pragmas)
    except sqlite3.OperationalError as error:  # locked, disk full …: the file is not damaged
        if not is_complete or error.sqlite_errorcode & 0xFF not in DISK_ERRORS:
            raise
        return connect_read_only(path, prepare)
    except sqlite3.DatabaseError as error:
        aside = move_aside(path)
        logging.warning(f"{path} is damaged ({error}): it is now {aside.name}; a new one begins")
        return connect_database(path, prepare, pragmas)


def connect_database(
    path: Path, prepare: Preparation, pragmas: Sequence[str]
) -> sqlite3.Connection:
    """Raises sqlite3.DatabaseError for a damaged file, and what `prepare` raises."""
    is_empty = path.stat().st_size == 0
    db = sqlite3.connect(path, timeout=LOCK_TIMEOUT, isolation_level=None)
    with closed_after_error(db):
        for pragma in (*((SHRINKING,) if is_empty else ()), *JOURNAL_PRAGMAS, *pragmas):
            db.execute(pragma)
        [[state]] = db.execute("PRAGMA quick_check(1)")
        if state != "ok":
            raise sqlite3.DatabaseError(state)
        prepare(db)
    return db


@contextmanager
def closed_after_error(db: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        db.close()
        raise


def holds_all_content(path: Path) -> bool:
    """Whether the file can be read without its journals, as no relay uses it. Call it before the
    file is opened, which creates them; where that failed, they may be there and empty."""
    journals = [path.with_name(path.name + suffix) for suffix in JOURNAL_SUFFIXES]
    has_journal = any(journal.exists() and journal.stat().st_size for journal in journals)
    return path.stat().st_size > 0 and not has_journal


def connect_read_only(path: Path, prepare: Preparation) -> sqlite3.Connection:
    """For reading alone; writing raises sqlite3.OperationalError. Raises as `connect_database`."""
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"  # no other file is needed
    db = sqlite3.connect(uri, uri=True, isolation_level=None)
    with closed_after_error(db):
        prepare(db)
    return db


def needs_opening_again(error: Exception) -> bool:
    """Whether the file turns out to be damaged, or was opened for reading alone."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
    # Other failures, as of wrong statements, raise classes derived from this one.
    return type(error) is sqlite3.DatabaseError


def move_aside(path: Path) -> Path:
    """Rename the file and its journals, and create an empty file. Returns the file's new path.

    The user may still read parts of the damaged file."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    for suffix in ("", *JOURNAL_SUFFIXES):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(aside.with_name(aside.name + suffix))
    create_private_file(path)
    return aside
