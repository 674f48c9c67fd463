"""Where totals lie: rows of a day, a provider and a model, which only ever grow. Blocking; called
by one thread only, but by several processes."""

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from platformdirs import user_data_path

from addons.config.option_types import OFF, REDIS
from addons.config.settings import Settings

FIELDS = (
    *("exchanges", "failed", "input", "cached", "output", "reasoning"),
    *("cost", "notional", "unpriced"),  # US dollars, of accounts' turns, exchanges of unknown price
)
MODELS = 200  # of a day; what clients name beyond them is one row
OTHERS = "(others)"
DAYS = 400
SECONDS = DAYS * 86_400

type Counts = tuple[float, ...]  # in the order of FIELDS


class Key(NamedTuple):
    day: str  # UTC, 2026-01-31
    provider: str
    model: str


class Place(Protocol):
    def add(self, key: Key, counts: Counts) -> tuple[Key, Counts]:
        """The row after that, under the key that it got."""

    def rows(self, since: str) -> list[tuple[Key, Counts]]:
        """Those of this day and later."""

    def forget(self, before: str) -> None:
        """Those of earlier days."""

    def close(self) -> None: ...


class Memory:
    def __init__(self) -> None:
        self._rows: dict[Key, Counts] = {}

    def add(self, key: Key, counts: Counts) -> tuple[Key, Counts]:
        if key not in self._rows and len([k for k in self._rows if k.day == key.day]) >= MODELS:
            key = key._replace(model=OTHERS)
        before = self._rows.get(key, (0.0,) * len(FIELDS))
        self._rows[key] = tuple(old + new for old, new in zip(before, counts, strict=True))
        return key, self._rows[key]

    def rows(self, since: str) -> list[tuple[Key, Counts]]:
        return sorted((key, counts) for key, counts in self._rows.items() if key.day >= since)

    def forget(self, before: str) -> None:
        self._rows = {key: counts for key, counts in self._rows.items() if key.day >= before}

    def close(self) -> None:
        pass


COLUMNS = ", ".join(FIELDS)
CREATE = (
    "CREATE TABLE IF NOT EXISTS usage (day TEXT, provider TEXT, model TEXT, "
    + "".join(f"{field} REAL NOT NULL, " for field in FIELDS)
    + "PRIMARY KEY (day, provider, model)) WITHOUT ROWID"
)
ADD = (
    f"INSERT INTO usage VALUES ({', '.join('?' * (3 + len(FIELDS)))}) "  # noqa: S608 - ours alone
    "ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{field} = {field} + excluded.{field}" for field in FIELDS)
    + f" RETURNING {COLUMNS}"
)
KNOWN = "SELECT count(*), sum(provider = ? AND model = ?) FROM usage WHERE day = ?"
ROWS = f"SELECT day, provider, model, {COLUMNS} FROM usage WHERE day >= ? ORDER BY 1, 2, 3"  # noqa: S608


class SQLite:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(0o600)
        self._db = sqlite3.connect(path, timeout=5, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(CREATE)

    def add(self, key: Key, counts: Counts) -> tuple[Key, Counts]:
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            count, known = db.execute(KNOWN, (key.provider, key.model, key.day)).fetchone()
            if count >= MODELS and not known:
                key = key._replace(model=OTHERS)
            [row] = db.execute(ADD, (*key, *counts)).fetchall()
        return key, tuple(row)

    def rows(self, since: str) -> list[tuple[Key, Counts]]:
        found = self._db.execute(ROWS, (since,)).fetchall()
        return [(Key(*row[:3]), tuple(row[3:])) for row in found]

    def forget(self, before: str) -> None:
        self._db.execute("DELETE FROM usage WHERE day < ?", (before,))

    def close(self) -> None:
        self._db.close()


USAGE = "codex-relay:usage:"  # and the day: a hash, provider, model and field → number
GAP = "\x1f"


class Redis:
    """Redis lets a day go by itself."""

    def __init__(self, url: str) -> None:
        from redis import Redis as Client  # only those who use it pay for the import

        self._client: Any = Client.from_url(url, socket_connect_timeout=2, socket_timeout=2)

    def add(self, key: Key, counts: Counts) -> tuple[Key, Counts]:
        day = USAGE + key.day
        first = GAP.join((*key[1:], FIELDS[0]))
        full = self._client.hlen(day) >= MODELS * len(FIELDS)
        if full and not self._client.hexists(day, first):
            key = key._replace(model=OTHERS)
        with self._client.pipeline() as all_or_nothing:
            for field, count in zip(FIELDS, counts, strict=True):
                all_or_nothing.hincrbyfloat(day, GAP.join((*key[1:], field)), count)
            all_or_nothing.expire(day, SECONDS)
            *after, _ = all_or_nothing.execute()
        return key, tuple(map(float, after))

    def rows(self, since: str) -> list[tuple[Key, Counts]]:
        names = sorted(self._client.scan_iter(match=USAGE + "*", count=1000))
        days = [name.decode().removeprefix(USAGE) for name in names]
        found: dict[Key, dict[str, float]] = {}
        for day in (day for day in days if day >= since):
            for name, value in self._client.hgetall(USAGE + day).items():
                provider, model, field = name.decode().split(GAP)
                found.setdefault(Key(day, provider, model), {})[field] = float(value)
        every = sorted(found.items())
        return [(key, tuple(row.get(field, 0.0) for field in FIELDS)) for key, row in every]

    def forget(self, before: str) -> None:
        pass

    def close(self) -> None:
        self._client.close()


def opened(settings: Settings) -> Place:
    if settings.store == OFF:
        return Memory()
    if settings.store.startswith(REDIS):
        return Redis(settings.store)
    return SQLite(file(settings))


def file(settings: Settings) -> Path:
    """Beside the kept responses."""
    kept = Path(settings.store).expanduser() if settings.store else None
    folder = user_data_path("codex-relay", appauthor=False)
    return kept.with_name(f"{kept.stem}-usage.db") if kept else folder / "usage.db"
