"""The contract of the backends for usage totals, with memory, a real file and a real Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.config.config_file import read_settings
from addons.storage.usage_backends import (
    COUNT_FIELDS,
    MAX_AGE,
    MAX_MODELS,
    OTHER_MODELS,
    MemoryUsage,
    RedisUsage,
    SqliteUsage,
    UsageBackend,
    UsageKey,
    open_usage_backend,
    read_usage_rows,
    usage_file,
)
from tests.redis import RedisServer

COUNTS = tuple(float(number) for number in range(1, len(COUNT_FIELDS) + 1))
TWICE = tuple(2 * count for count in COUNTS)
KEY = UsageKey("2026-01-02", "deepseek", "deepseek-chat")


@pytest.fixture(params=["memory", "sqlite", "redis"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UsageBackend]:
    backend: UsageBackend = MemoryUsage()
    if request.param == "sqlite":
        backend = SqliteUsage(tmp_path / "folder" / "usage.db")
    if request.param == "redis":
        backend = RedisUsage(request.getfixturevalue("redis").url)
    yield backend
    backend.close()


def test_rows_add_up_by_day_provider_and_model(backend: UsageBackend) -> None:
    other = KEY._replace(model="kimi: k3 ünï")
    assert backend.add_counts(KEY, COUNTS) == (KEY, COUNTS)
    assert backend.add_counts(KEY, COUNTS) == (KEY, TWICE)
    backend.add_counts(other, COUNTS)
    backend.add_counts(KEY._replace(day="2026-01-01"), COUNTS)
    assert backend.load_rows("2026-01-02") == [(KEY, TWICE), (other, COUNTS)]
    assert len(backend.load_rows("2026-01-01")) == 3


def test_number_of_models_is_bounded(backend: UsageBackend) -> None:
    for number in range(MAX_MODELS + 5):
        key, _ = backend.add_counts(KEY._replace(model=f"model-{number}"), COUNTS)
    assert key.model == OTHER_MODELS
    rows = dict(backend.load_rows("2026-01-02"))
    assert len(rows) == MAX_MODELS + 1
    assert rows[KEY._replace(model=OTHER_MODELS)][0] == 5
    assert backend.add_counts(KEY._replace(model="model-7"), COUNTS)[0].model == "model-7"


def test_old_days_are_removed(backend: UsageBackend) -> None:
    backend.add_counts(KEY, COUNTS)
    backend.add_counts(KEY._replace(day="2026-01-03"), COUNTS)
    backend.remove_before("2026-01-03")
    days = [key.day for key, _ in backend.load_rows("")]
    expires_by_itself = isinstance(backend, RedisUsage)
    assert days == (["2026-01-02", "2026-01-03"] if expires_by_itself else ["2026-01-03"])


def test_days_in_redis_expire(redis: RedisServer) -> None:
    backend = RedisUsage(redis.url)
    backend.add_counts(KEY, COUNTS)
    assert 0 < redis.client.ttl("codex-relay:usage:2026-01-02") <= MAX_AGE
    backend.close()


def test_two_processes_add_to_one_private_file(tmp_path: Path) -> None:
    first, second = (SqliteUsage(tmp_path / "usage.db") for _ in range(2))
    first.add_counts(KEY, COUNTS)
    second.add_counts(KEY, COUNTS)
    assert first.load_rows("") == [(KEY, TWICE)]
    assert (tmp_path / "usage.db").stat().st_mode & 0o077 == 0
    first.close()
    second.close()


def test_file_is_beside_the_stored_responses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert usage_file(read_settings({}, {})) == tmp_path / "mitmcodex" / "usage.db"
    settings = read_settings({"relay_store": str(tmp_path / "my.db")}, {})
    assert usage_file(settings) == tmp_path / "my-usage.db"


def test_location_decides_the_backend(tmp_path: Path, redis: RedisServer) -> None:
    for location, backend_type in (
        ("off", MemoryUsage),
        (redis.url, RedisUsage),
        (str(tmp_path / "kept.db"), SqliteUsage),
    ):
        backend = open_usage_backend(read_settings({"relay_store": location}, {}))
        assert type(backend) is backend_type
        backend.close()


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_rows_are_read_while_a_relay_writes(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    is_redis = store == "redis"
    location = request.getfixturevalue("redis").url if is_redis else str(tmp_path / "kept.db")
    settings = read_settings({"relay_store": location}, {})
    backend = open_usage_backend(settings)
    backend.add_counts(KEY, COUNTS)
    backend.add_counts(KEY._replace(day="2026-01-01"), COUNTS)
    assert read_usage_rows(settings, "2026-01-02") == [(KEY, COUNTS)]
    backend.add_counts(KEY, COUNTS)
    assert read_usage_rows(settings, "2026-01-02") == [(KEY, TWICE)]
    backend.close()
    assert read_usage_rows(settings, "2026-01-02") == [(KEY, TWICE)]


def test_reading_rows_writes_nothing(tmp_path: Path) -> None:
    settings = read_settings({"relay_store": str(tmp_path / "kept.db")}, {})
    assert read_usage_rows(settings, "") == []
    assert read_usage_rows(read_settings({"relay_store": "off"}, {}), "") == []
    assert not list(tmp_path.iterdir())
    backend = open_usage_backend(settings)
    backend.add_counts(KEY, COUNTS)
    backend.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert read_usage_rows(settings, "") == [(KEY, COUNTS)]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_unreadable_rows_are_told(tmp_path: Path) -> None:
    (tmp_path / "kept-usage.db").write_bytes(b"no database " * 1000)
    with pytest.raises(OSError, match="kept-usage.db: file is not a database"):
        read_usage_rows(read_settings({"relay_store": str(tmp_path / "kept.db")}, {}), "")
    with pytest.raises(OSError, match="refused"):
        read_usage_rows(read_settings({"relay_store": "redis://127.0.0.1:1/0"}, {}), "")


def test_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "usage.db"
    file.write_bytes(b"these are not pages of a database " * 1_000)
    backend = SqliteUsage(file)
    assert backend.add_counts(KEY, COUNTS) == (KEY, COUNTS)
    backend.close()
    [aside] = tmp_path.glob("usage.db.damaged-*")
    assert aside.read_bytes().startswith(b"these are") and aside.name in caplog.text
