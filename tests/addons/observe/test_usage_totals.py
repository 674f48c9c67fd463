import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from addons.config.given import read
from addons.observe import usage_totals as usage
from addons.observe.prices import Cost, cost
from addons.observe.usage_totals import Totals, counts
from addons.storage.usage_backends import (
    DAYS,
    FIELDS,
    MODELS,
    OTHERS,
    Key,
    Memory,
    Place,
    Redis,
    SQLite,
    file,
    opened,
)
from tests.redis import RedisServer, redis_server

TOLD: dict[str, Any] = {
    "provider": "deepseek",
    "url": "https://api.deepseek.com/v1",
    "model": "deepseek-chat",
    "account": None,
    "input_tokens": 1_000_000,
    "cached_tokens": 0,
    "output_tokens": 1_000_000,
    "reasoning_tokens": 10,
    "status": "completed",
}
ONE = tuple(float(i) for i in range(1, len(FIELDS) + 1))
DAY = Key("2026-01-02", "deepseek", "deepseek-chat")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    made: Place = Memory()
    if request.param == "sqlite":
        made = SQLite(tmp_path / "folder" / "usage.db")
    if request.param == "redis":
        server = request.getfixturevalue("server")
        server.client.flushall()
        made = Redis(server.url)
    yield made
    made.close()


def test_rows_add_up_by_day_provider_and_model(place: Place) -> None:
    other = DAY._replace(model="kimi: k3 ünï")
    assert place.add(DAY, ONE) == (DAY, ONE)
    assert place.add(DAY, ONE) == (DAY, tuple(2 * n for n in ONE))
    place.add(other, ONE)
    place.add(DAY._replace(day="2026-01-01"), ONE)
    assert place.rows("2026-01-02") == [(DAY, tuple(2 * n for n in ONE)), (other, ONE)]
    assert len(place.rows("2026-01-01")) == 3


def test_what_clients_name_is_bounded(place: Place) -> None:
    for i in range(MODELS + 5):
        key, _ = place.add(DAY._replace(model=f"model-{i}"), ONE)
    assert key.model == OTHERS
    rows = dict(place.rows("2026-01-02"))
    assert len(rows) == MODELS + 1
    assert rows[DAY._replace(model=OTHERS)][0] == 5
    assert place.add(DAY._replace(model="model-7"), ONE)[0].model == "model-7"


def test_old_days_go(place: Place) -> None:
    if isinstance(place, Redis):
        place.add(DAY, ONE)
        left = place._client.ttl("codex-relay:usage:2026-01-02")
        assert 0 < left <= DAYS * 86_400
        return
    place.add(DAY, ONE)
    place.add(DAY._replace(day="2026-01-03"), ONE)
    place.forget("2026-01-03")
    assert [key.day for key, _ in place.rows("")] == ["2026-01-03"]


def test_two_processes_add_to_one_file(tmp_path: Path) -> None:
    one, other = (SQLite(tmp_path / "usage.db") for _ in range(2))
    one.add(DAY, ONE)
    other.add(DAY, ONE)
    assert one.rows("") == [(DAY, tuple(2 * n for n in ONE))]
    assert (tmp_path / "usage.db").stat().st_mode & 0o077 == 0
    one.close()
    other.close()


def test_the_price_is_the_providers_own() -> None:
    price = cost(TOLD)
    assert price and 0.1 < price.dollars < 10 and not price.notional
    cached = cost({**TOLD, "cached_tokens": 1_000_000})
    assert cached and cached.dollars < price.dollars


def test_a_turn_of_an_account_is_priced_as_the_apis() -> None:
    told = {**TOLD, "model": "gpt-5.5", "account": "acct_1", "url": "http://127.0.0.1:1/x"}
    price = cost(told)
    assert price and price.notional and price.dollars > 1
    named = dict(zip(FIELDS, counts(told, price, failed=False), strict=True))
    assert (named["cost"], named["unpriced"]) == (0, 0) and named["notional"] == price.dollars


@pytest.mark.parametrize(
    "more",
    [
        {"url": "http://localhost:11434/v1"},
        {"url": "https://api.example/v1"},
        {"model": "no-such-model"},
        {"model": ""},
        {"input_tokens": None},
        {"account": "acct_1", "model": "nobody-knows"},
    ],
)
def test_a_price_that_is_not_known_is_none(more: dict[str, Any]) -> None:
    told = {**TOLD, **more}
    assert cost(told) is None
    named = dict(zip(FIELDS, counts(told, None, failed=False), strict=True))
    assert named["cost"] == 0
    assert named["unpriced"] == (told["input_tokens"] is not None)


def test_totals_lie_beside_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert file(read({}, {})) == tmp_path / "codex-relay" / "usage.db"
    kept = read({"relay_store": str(tmp_path / "my.db")}, {})
    assert file(kept) == tmp_path / "my-usage.db"
    assert isinstance(opened(read({"relay_store": "off"}, {})), Memory)


def test_what_was_counted_is_told_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read({"relay_store": str(tmp_path / "kept.db")}, {})
    heard: list[tuple[dict[str, Cost | None], Any]] = []
    monkeypatch.setattr(usage, "watchers", [lambda *told: heard.append(told)])

    async def count() -> list[Any]:
        totals = Totals(settings)
        totals.add("flow-1", {**TOLD, "model": "deepseek-chat"}, failed=False)
        totals.add("flow-2", {**TOLD, "model": "a\nb\ud800" + "x" * 999}, failed=True)
        rows = await totals.rows()
        await asyncio.sleep(0)
        totals.close()
        return rows

    rows = asyncio.run(count())
    [(prices, grown)] = heard
    assert prices == {"flow-1": cost(TOLD), "flow-2": None}
    assert sorted(grown) == rows
    day = time.strftime("%Y-%m-%d", time.gmtime())
    assert {key.day for key, _ in rows} == {day}
    assert {key.model for key, _ in rows} == {"deepseek-chat", ("a?b?" + "x" * 999)[:200]}
    again = SQLite(tmp_path / "kept-usage.db")
    assert again.rows(day) == rows
    again.close()


def test_a_place_that_cannot_be_used_is_told_and_hurts_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    settings = read({"relay_store": str(tmp_path / "file" / "kept.db")}, {})

    async def count() -> None:
        totals = Totals(settings)
        totals.add("flow-1", TOLD, failed=False)
        with pytest.raises(OSError, match="the totals cannot be read"):
            await totals.rows()
        totals.close()

    asyncio.run(count())
    assert "1 finished exchanges not counted" in caplog.text
