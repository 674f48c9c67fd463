"""Kept responses in a file."""

import json
import logging
import sqlite3
import time
from collections.abc import Collection
from pathlib import Path

from addons.storage.backend import Data, Limits, Missing

# What each version has more than the one before; a file says in `user_version` which one it is.
# `id`: of its first response; `used`: Unix seconds; `size`: bytes
RESPONSES = (
    "CREATE TABLE conversation (id TEXT PRIMARY KEY, used REAL NOT NULL, size INTEGER NOT NULL)",
    "CREATE INDEX conversation_used ON conversation (used)",
    "CREATE TABLE response (id TEXT PRIMARY KEY, previous TEXT, data BLOB NOT NULL, conversation"
    " TEXT NOT NULL REFERENCES conversation ON DELETE CASCADE)",
    "CREATE INDEX response_conversation ON response (conversation)",
)
NOTES = (
    "CREATE TABLE note (key TEXT PRIMARY KEY, used REAL NOT NULL, size INTEGER NOT NULL,"
    " data BLOB NOT NULL)",
    "CREATE INDEX note_used ON note (used, key, size)",
)
SCHEMAS = (RESPONSES, NOTES)
PRAGMAS = (
    "PRAGMA auto_vacuum = FULL",  # of a new file: it shrinks as responses go
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # who deletes a conversation means it
)
FIND = """
    SELECT data FROM response JOIN conversation ON conversation.id = conversation
    WHERE response.id = ? AND used >= ?"""
CHAIN = """
    WITH RECURSIVE chain (id, previous, data, back) AS (
        SELECT id, previous, data, 0 FROM response WHERE id = ?
        UNION ALL
        SELECT response.id, response.previous, response.data, back + 1
        FROM response JOIN chain ON response.id = chain.previous)
    SELECT previous, data FROM chain ORDER BY back DESC"""
OVERFLOW = """
    DELETE FROM conversation WHERE id IN (
        SELECT id FROM (
            SELECT id, sum(size) OVER (ORDER BY used DESC, id) AS together FROM conversation)
        WHERE together > ?)"""
NOTED = """
    SELECT key, used, data FROM note
    WHERE key IN (SELECT value FROM json_each(?)) AND used >= ?"""
TOO_MANY = """
    DELETE FROM note WHERE key IN (
        SELECT key FROM (
            SELECT key, sum(size) OVER (ORDER BY used DESC, key DESC) AS together FROM note)
        WHERE together > ?)"""
RENEWALS = 1_000  # in the life of a note, at most: each writes all of it again


class SQLite:
    cure = "name a file that can be written, redis://…, or off"

    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(0o600)  # conversations are nobody else's
        try:
            self._db = connected(path)
        except sqlite3.OperationalError:  # locked, a full disk …: nothing is wrong with the file
            raise
        except sqlite3.DatabaseError as error:
            aside = set_aside(path)
            logging.warning(
                f"{path} is damaged ({error}): it is now {aside.name}; a new one begins"
            )
            self._db = connected(path)

    def keep(self, id: str, previous: str | None, data: bytes, now: float) -> None:
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            conversation = self._conversation(previous) or id
            known = db.execute("SELECT size FROM conversation WHERE id = ?", (conversation,))
            self._limits.check(len(data) + (known.fetchone() or [0])[0])
            db.execute(
                "INSERT INTO conversation VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET used = excluded.used, size = size + excluded.size",
                (conversation, now, len(data)),
            )
            row = (id, previous, data, conversation)
            db.execute("INSERT INTO response VALUES (?, ?, ?, ?)", row)
            db.execute("DELETE FROM conversation WHERE used < ?", (now - self._limits.seconds,))
            db.execute(OVERFLOW, (self._limits.bytes,))

    def chain(self, id: str, now: float) -> list[bytes]:
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            if self.find(id, now) is None:
                raise Missing(id)
            rows = db.execute(CHAIN, (id,)).fetchall()
            if before := rows[0][0]:
                raise Missing(before)
            used = "UPDATE conversation SET used = ? WHERE id = ?"
            db.execute(used, (now, self._conversation(id)))
        return [data for _, data in rows]

    def find(self, id: str, now: float) -> bytes | None:
        row = self._db.execute(FIND, (id, now - self._limits.seconds)).fetchone()
        return row and bytes(row[0])

    def remove(self, id: str, now: float) -> bool:
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            data, conversation = self.find(id, now), self._conversation(id)
            if data is None:
                return False
            db.execute("DELETE FROM response WHERE id = ?", (id,))
            shrunk = "UPDATE conversation SET size = size - ? WHERE id = ?"
            db.execute(shrunk, (len(data), conversation))
            db.execute("DELETE FROM conversation WHERE id = ? AND size <= 0", (conversation,))
        return True

    def note(self, notes: Data, now: float) -> None:
        rows = self._limits.fitting(notes).items()
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            kept = "INSERT OR REPLACE INTO note (key, used, size, data) VALUES (?, ?, ?, ?)"
            db.executemany(kept, [(key, now, len(data), data) for key, data in rows])
            db.execute("DELETE FROM note WHERE used < ?", (now - self._limits.seconds,))
            db.execute(TOO_MANY, (self._limits.bytes,))

    def noted(self, keys: Collection[str], now: float) -> Data:
        life = self._limits.seconds
        found = self._db.execute(NOTED, (json.dumps([*keys]), now - life)).fetchall()
        old = [(now, key) for key, used, _ in found if used < now - life / RENEWALS]
        if old:
            with self._db as db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany("UPDATE note SET used = ? WHERE key = ?", old)
        return {key: bytes(data) for key, _, data in found}

    def close(self) -> None:
        self._db.close()

    def _conversation(self, id: str | None) -> str | None:
        row = self._db.execute("SELECT conversation FROM response WHERE id = ?", (id,)).fetchone()
        return row and str(row[0])


def connected(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.DatabaseError for a damaged file, OSError for one that is not ours."""
    db = sqlite3.connect(path, timeout=5, isolation_level=None)  # s, if another relay writes
    try:
        for pragma in PRAGMAS:
            db.execute(pragma)
        [[state]] = db.execute("PRAGMA quick_check(1)")
        if state != "ok":
            raise sqlite3.DatabaseError(state)
        with db:
            db.execute("BEGIN IMMEDIATE")
            [[version]] = db.execute("PRAGMA user_version")
            [[tables]] = db.execute("SELECT count(*) FROM sqlite_master")
            if tables and not 0 < version <= len(SCHEMAS):
                raise OSError(f"{path} is a database of another program or version")
            for schema in SCHEMAS[version:]:
                for statement in schema:
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(SCHEMAS)}")
    except BaseException:
        db.close()
        raise
    return db


def set_aside(path: Path) -> Path:
    """Give the file and its journals another name, under which somebody may save what can be."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(aside.with_name(aside.name + suffix))
    path.touch(0o600)
    return aside
