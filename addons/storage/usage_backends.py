"""The backends for usage totals: one row for each day, provider and model, whose counts only grow.
They block; only the storage thread calls them."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol

from addons.config import REDIS_SCHEMES, STORE_OFF, Settings
from addons.storage.sqlite_file import LOCK_TIMEOUT, holds_all_content, open_sqlite_file
from addons.storage.worker import Closable
from addons.user_folders import data_folder

COUNT_FIELDS = (
    *("exchanges", "failed", "input", "cached", "output", "reasoning"),
    "cost",  # US dollars, without the turns of ChatGPT accounts
    "notional",  # US dollars that the turns of ChatGPT accounts would have cost by the API
    "unpriced",  # exchanges whose price is unknown
)
MAX_MODELS = 200  # rows for one day: clients may send any number of model names
OTHER_MODELS = "(others)"  # the model of the row that counts all further models
MAX_DAYS = 400
MAX_AGE = MAX_DAYS * 86_400  # s

type Counts = tuple[float, ...]  # in the order of COUNT_FIELDS


class UsageKey(NamedTuple):
    day: str  # UTC, 2026-01-31
    provider_name: str
    model: str


type UsageRow = tuple[UsageKey, Counts]


class UsageBackend(Closable, Protocol):
    def add_counts(self, key: UsageKey, counts: Counts) -> UsageRow:
        """Add to a row, and return it as it is then. Its model may be OTHER_MODELS."""

    def load_rows(self, first_day: str) -> list[UsageRow]:
        """The rows of this day and of later ones."""

    def remove_before(self, day: str) -> None:
        """Remove the rows of earlier days."""


class MemoryUsage:
    """Totals in the memory of this process."""

    def __init__(self) -> None:
        self._rows: dict[UsageKey, Counts] = {}

    def add_counts(self, key: UsageKey, counts: Counts) -> UsageRow:
        models = sum(other.day == key.day for other in self._rows)
        if key not in self._rows and models >= MAX_MODELS:
            key = key._replace(model=OTHER_MODELS)
        row = self._rows.get(key, (0.0,) * len(COUNT_FIELDS))
        self._rows[key] = tuple(old + new for old, new in zip(row, counts, strict=True))
        return key, self._rows[key]

    def load_rows(self, first_day: str) -> list[UsageRow]:
        return sorted((key, counts) for key, counts in self._rows.items() if key.day >= first_day)

    def remove_before(self, day: str) -> None:
        self._rows = {key: counts for key, counts in self._rows.items() if key.day >= day}

    def close(self) -> None:
        pass


COLUMNS = ", ".join(COUNT_FIELDS)
CREATE_TABLE = (
    "CREATE TABLE IF NOT EXISTS usage (day TEXT, provider TEXT, model TEXT, "
    + "".join(f"{field} REAL NOT NULL, " for field in COUNT_FIELDS)
    + "PRIMARY KEY (day, provider, model)) WITHOUT ROWID"
)
ADD_COUNTS = (
    f"INSERT INTO usage VALUES ({', '.join('?' * (3 + len(COUNT_FIELDS)))}) "  # noqa: S608 - our own names
    "ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{field} = {field} + excluded.{field}" for field in COUNT_FIELDS)
    + f" RETURNING {COLUMNS}"
)
COUNT_ROWS = "SELECT count(*), sum(provider = ? AND model = ?) FROM usage WHERE day = ?"
SELECT_ROWS = f"SELECT day, provider, model, {COLUMNS} FROM usage WHERE day >= ? ORDER BY 1, 2, 3"  # noqa: S608 - our own names


class SqliteUsage:
    def __init__(self, path: Path) -> None:
        self._db = open_sqlite_file(path, create_usage_table)

    def add_counts(self, key: UsageKey, counts: Counts) -> UsageRow:
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            parameters = (key.provider_name, key.model, key.day)
            models, exists = db.execute(COUNT_ROWS, parameters).fetchone()
            if models >= MAX_MODELS and not exists:
                key = key._replace(model=OTHER_MODELS)
            [row] = db.execute(ADD_COUNTS, (*key, *counts)).fetchall()
        return key, tuple(row)

    def load_rows(self, first_day: str) -> list[UsageRow]:
        return select_rows(self._db, first_day)

    def remove_before(self, day: str) -> None:
        self._db.execute("DELETE FROM usage WHERE day < ?", (day,))

    def close(self) -> None:
        self._db.close()


def select_rows(db: sqlite3.Connection, first_day: str) -> list[UsageRow]:
    rows = db.execute(SELECT_ROWS, (first_day,)).fetchall()
    return [(UsageKey(*row[:3]), tuple(row[3:])) for row in rows]


def create_usage_table(db: sqlite3.Connection) -> None:
    db.execute(CREATE_TABLE)


DAY_PREFIX = "codex-relay:usage:"  # and the day: the key of a hash, provider, model, field → number
SEPARATOR = "\x1f"  # between provider, model and field


class RedisUsage:
    """Totals in Redis, where old days expire."""

    def __init__(self, url: str) -> None:
        # Imported here, as most relays do not use Redis.
        from addons.storage.redis_backend import connect_redis

        self._redis = connect_redis(url)

    def add_counts(self, key: UsageKey, counts: Counts) -> UsageRow:
        day = DAY_PREFIX + key.day
        first_field = SEPARATOR.join((*key[1:], COUNT_FIELDS[0]))
        is_full = self._redis.hlen(day) >= MAX_MODELS * len(COUNT_FIELDS)
        if is_full and not self._redis.hexists(day, first_field):
            key = key._replace(model=OTHER_MODELS)
        with self._redis.pipeline() as transaction:
            for field, count in zip(COUNT_FIELDS, counts, strict=True):
                transaction.hincrbyfloat(day, SEPARATOR.join((*key[1:], field)), count)
            transaction.expire(day, MAX_AGE)
            *row, _ = transaction.execute()
        return key, tuple(map(float, row))

    def load_rows(self, first_day: str) -> list[UsageRow]:
        names = sorted(self._redis.scan_iter(match=DAY_PREFIX + "*", count=1000))
        days = [name.decode().removeprefix(DAY_PREFIX) for name in names]
        rows: dict[UsageKey, dict[str, float]] = {}
        for day in (day for day in days if day >= first_day):
            for name, value in self._redis.hgetall(DAY_PREFIX + day).items():
                provider, model, field = name.decode().split(SEPARATOR)
                rows.setdefault(UsageKey(day, provider, model), {})[field] = float(value)
        return [
            (key, tuple(row.get(field, 0.0) for field in COUNT_FIELDS))
            for key, row in sorted(rows.items())
        ]

    def remove_before(self, day: str) -> None:
        pass

    def close(self) -> None:
        self._redis.close()


def open_usage_backend(settings: Settings) -> UsageBackend:
    if settings.store == STORE_OFF:
        return MemoryUsage()
    if settings.store.startswith(REDIS_SCHEMES):
        return RedisUsage(settings.store)
    return SqliteUsage(usage_file(settings))


def read_usage_rows(settings: Settings, first_day: str) -> list[UsageRow]:
    """The stored rows of this day and of later ones, without a change to what is stored; none
    where the totals are in memory or were never written. Raises OSError."""
    if settings.store == STORE_OFF:
        return []
    if settings.store.startswith(REDIS_SCHEMES):
        return read_redis_rows(settings.store, first_day)
    path = usage_file(settings)
    if not path.is_file() or not path.stat().st_size:
        return []
    # A relay that writes has its journal beside the file; without one, no other file is needed.
    mode = "mode=ro&immutable=1" if holds_all_content(path) else "mode=ro"
    try:
        uri = f"{path.absolute().as_uri()}?{mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT)) as db:
            return select_rows(db, first_day)
    except sqlite3.Error as error:
        raise OSError(f"{path}: {error}") from None


def read_redis_rows(url: str, first_day: str) -> list[UsageRow]:
    """Raises OSError."""
    from redis import RedisError

    try:
        with closing(RedisUsage(url)) as backend:
            return backend.load_rows(first_day)
    except RedisError as error:
        raise OSError(str(error)) from None


def usage_file(settings: Settings) -> Path:
    """The path of the usage totals, in the folder of the stored responses."""
    responses = Path(settings.store) if settings.store else None
    folder = data_folder()
    return responses.with_name(f"{responses.stem}-usage.db") if responses else folder / "usage.db"
