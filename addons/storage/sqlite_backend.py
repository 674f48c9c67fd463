"""Stored responses and notes in a SQLite file."""

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from addons.storage.backend import Notes, ResponseMissing, StorageLimits
from addons.storage.sqlite_file import open_sqlite_file

# One schema for each version, with what it adds; the version of a file is its `user_version`.
# conversation.id: the id of its first response; used: time of the last use, Unix s; size: bytes
RESPONSE_SCHEMA = (
    "CREATE TABLE conversation (id TEXT PRIMARY KEY, used REAL NOT NULL, size INTEGER NOT NULL)",
    "CREATE INDEX conversation_used ON conversation (used)",
    "CREATE TABLE response (id TEXT PRIMARY KEY, previous TEXT, data BLOB NOT NULL, conversation"
    " TEXT NOT NULL REFERENCES conversation ON DELETE CASCADE)",
    "CREATE INDEX response_conversation ON response (conversation)",
)
NOTE_SCHEMA = (
    "CREATE TABLE note (key TEXT PRIMARY KEY, used REAL NOT NULL, size INTEGER NOT NULL,"
    " data BLOB NOT NULL)",
    "CREATE INDEX note_used ON note (used, key, size)",
)
SCHEMAS = (RESPONSE_SCHEMA, NOTE_SCHEMA)
PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # no bytes of deleted conversations stay in the file
)
SELECT_RESPONSE = """
    SELECT data FROM response JOIN conversation ON conversation.id = conversation
    WHERE response.id = ? AND used >= ?"""
SELECT_CHAIN = """
    WITH RECURSIVE chain (id, previous, data, back) AS (
        SELECT id, previous, data, 0 FROM response WHERE id = ?
        UNION ALL
        SELECT response.id, response.previous, response.data, back + 1
        FROM response JOIN chain ON response.id = chain.previous)
    SELECT previous, data FROM chain ORDER BY back DESC"""
DELETE_EXCESS_CONVERSATIONS = """
    DELETE FROM conversation WHERE id IN (
        SELECT id FROM (
            SELECT id, sum(size) OVER (ORDER BY used DESC, id) AS together FROM conversation)
        WHERE together > ?)"""
SELECT_NOTES = """
    SELECT key, used, data FROM note
    WHERE key IN (SELECT value FROM json_each(?)) AND used >= ?"""
DELETE_EXCESS_NOTES = """
    DELETE FROM note WHERE key IN (
        SELECT key FROM (
            SELECT key, sum(size) OVER (ORDER BY used DESC, key DESC) AS together FROM note)
        WHERE together > ?)"""
# A note is renewed only after this part of its life, as a renewal writes the whole note again.
RENEWAL_INTERVAL = 1 / 1_000


class SqliteBackend:
    def __init__(self, path: Path, limits: StorageLimits) -> None:
        self._limits = limits
        self._db = open_sqlite_file(path, partial(upgrade_schema, path=path), PRAGMAS)

    def save_response(self, id: str, previous: str | None, data: bytes, now: float) -> None:
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            conversation = self._conversation_of(previous) or id
            size = db.execute("SELECT size FROM conversation WHERE id = ?", (conversation,))
            self._limits.check_conversation_size(len(data) + (size.fetchone() or [0])[0])
            db.execute(
                "INSERT INTO conversation VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET used = excluded.used, size = size + excluded.size",
                (conversation, now, len(data)),
            )
            row = (id, previous, data, conversation)
            db.execute("INSERT INTO response VALUES (?, ?, ?, ?)", row)
            db.execute("DELETE FROM conversation WHERE used < ?", (now - self._limits.max_age,))
            db.execute(DELETE_EXCESS_CONVERSATIONS, (self._limits.max_bytes,))

    def load_chain(self, id: str, now: float) -> list[bytes]:
        with self._db as db:
            db.execute("BEGIN")  # so that all rows are of one moment
            if self.find_response(id, now) is None:
                raise ResponseMissing(id)
            rows = db.execute(SELECT_CHAIN, (id,)).fetchall()
            if missing := rows[0][0]:  # the oldest stored response names one before it
                raise ResponseMissing(missing)
            conversation = self._conversation_of(id)
        self._renew("UPDATE conversation SET used = ? WHERE id = ?", [(now, conversation)])
        return [data for _, data in rows]

    def find_response(self, id: str, now: float) -> bytes | None:
        row = self._db.execute(SELECT_RESPONSE, (id, now - self._limits.max_age)).fetchone()
        return row and bytes(row[0])

    def remove_response(self, id: str, now: float) -> bool:
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            data, conversation = self.find_response(id, now), self._conversation_of(id)
            if data is None:
                return False
            db.execute("DELETE FROM response WHERE id = ?", (id,))
            shrink = "UPDATE conversation SET size = size - ? WHERE id = ?"
            db.execute(shrink, (len(data), conversation))
            db.execute("DELETE FROM conversation WHERE id = ? AND size <= 0", (conversation,))
        return True

    def save_notes(self, notes: Notes, now: float) -> None:
        rows = [(key, now, len(d), d) for key, d in self._limits.notes_that_fit(notes).items()]
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            insert = "INSERT OR REPLACE INTO note (key, used, size, data) VALUES (?, ?, ?, ?)"
            db.executemany(insert, rows)
            db.execute("DELETE FROM note WHERE used < ?", (now - self._limits.max_age,))
            db.execute(DELETE_EXCESS_NOTES, (self._limits.max_bytes,))

    def load_notes(self, keys: Collection[str], now: float) -> Notes:
        max_age = self._limits.max_age
        rows = self._db.execute(SELECT_NOTES, (json.dumps([*keys]), now - max_age)).fetchall()
        stale = [
            (now, key) for key, used_at, _ in rows if used_at < now - max_age * RENEWAL_INTERVAL
        ]
        if stale:
            self._renew("UPDATE note SET used = ? WHERE key = ?", stale)
        return {key: bytes(data) for key, _, data in rows}

    def close(self) -> None:
        self._db.close()

    def _renew(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Set times of the last use. What was read counts even if they cannot be written: the disk
        may be full, or another relay be writing."""
        with contextlib.suppress(sqlite3.OperationalError), self._db as db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(statement, rows)

    def _conversation_of(self, id: str | None) -> str | None:
        row = self._db.execute("SELECT conversation FROM response WHERE id = ?", (id,)).fetchone()
        return row and str(row[0])


def upgrade_schema(db: sqlite3.Connection, path: Path) -> None:
    """Create the tables, or upgrade those of an earlier version; writes nothing else.

    Raises OSError for a file of another program or of a later version."""
    if database_version(db, path) == len(SCHEMAS):
        return
    with db:
        db.execute("BEGIN IMMEDIATE")
        for schema in SCHEMAS[database_version(db, path) :]:
            for statement in schema:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(SCHEMAS)}")


def database_version(db: sqlite3.Connection, path: Path) -> int:
    """The version of the tables, 0 for an empty file. Raises as `upgrade_schema`."""
    [[version]] = db.execute("PRAGMA user_version")
    [[tables]] = db.execute("SELECT count(*) FROM sqlite_master")
    if tables and not 0 < version <= len(SCHEMAS):
        raise OSError(f"{path} is a database of another program or version")
    return int(version)
