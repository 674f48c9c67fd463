"""Costs of exchanges and their totals; tests/addons/storage tests the backends."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.flow import Error
from mitmproxy.test import taddons, tflow

from addons.config.addon import Config
from addons.config.config_file import read_settings
from addons.observe import usage_totals
from addons.observe.exchange_record import FELL_BACK, notify_listeners
from addons.observe.usage_totals import (
    ClientName,
    CostByFlow,
    EndedExchange,
    UsageCounter,
    UsageTotals,
    exchange_cost,
    flatten_row,
    million_token_prices,
    record_counts,
    storable_name,
    usage_table,
)
from addons.storage.usage_backends import COUNT_FIELDS, SqliteUsage, UsageKey, UsageRow
from tests.addons.proxy import bounded

RECORD: dict[str, Any] = {
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


def named_counts(record: dict[str, Any]) -> dict[str, float]:
    counts = record_counts(record, exchange_cost(record), failed=False)
    return dict(zip(COUNT_FIELDS, counts, strict=True))


def test_price_is_the_providers_own() -> None:
    cost = exchange_cost(RECORD)
    assert cost and 0.1 < cost.dollars < 10 and not cost.notional
    cached_cost = exchange_cost({**RECORD, "cached_tokens": 1_000_000})
    assert cached_cost and cached_cost.dollars < cost.dollars
    assert named_counts(RECORD)["cost"] == cost.dollars


def test_turn_of_an_account_has_the_price_of_the_api() -> None:
    record = {**RECORD, "model": "gpt-5.5", "account": "acct_1", "url": "http://127.0.0.1:1/x"}
    cost = exchange_cost(record)
    assert cost and cost.notional and cost.dollars > 1
    counts = named_counts(record)
    assert (counts["cost"], counts["unpriced"], counts["notional"]) == (0, 0, cost.dollars)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://localhost:11434/v1"},
        {"url": "https://api.example/v1"},
        {"model": "no-such-model"},
        {"model": ""},
        {"input_tokens": None},
        {"account": "acct_1", "model": "nobody-knows"},
    ],
)
def test_unknown_price_is_none(fields: dict[str, Any]) -> None:
    record = {**RECORD, **fields}
    assert exchange_cost(record) is None
    counts = named_counts(record)
    assert counts["cost"] == 0
    assert counts["unpriced"] == (record["input_tokens"] is not None)


def test_names_can_be_stored() -> None:
    assert storable_name("a\nb\ud800" + "x" * 999) == ("a?b?" + "x" * 999)[:200]
    assert storable_name("kimi: k3 ünï") == "kimi: k3 ünï"


@pytest.fixture
def notifications(monkeypatch: pytest.MonkeyPatch) -> list[tuple[CostByFlow, list[UsageRow]]]:
    """The arguments of each call of a listener for all clients."""
    calls: list[tuple[CostByFlow, list[UsageRow]]] = []

    def listener(costs: CostByFlow, rows: list[UsageRow], client: ClientName) -> None:
        if client is None:
            calls.append((costs, rows))

    monkeypatch.setattr(usage_totals, "usage_listeners", [listener])
    return calls


@bounded
async def test_counted_exchanges_are_reported_and_read_again(
    tmp_path: Path, notifications: list[tuple[CostByFlow, list[UsageRow]]]
) -> None:
    totals = UsageTotals(read_settings({"relay_store": str(tmp_path / "kept.db")}, {}))
    totals.add_exchange(EndedExchange("flow-1", RECORD, failed=False))
    totals.add_exchange(EndedExchange("flow-2", {**RECORD, "model": "m\n"}, failed=True))
    totals.add_exchange(EndedExchange("flow-3", RECORD, failed=False))
    rows = await totals.load_rows(None)
    await asyncio.sleep(0)
    totals.close()
    [(costs, grown_rows)] = notifications
    price = exchange_cost(RECORD)
    assert costs == {"flow-1": price, "flow-2": None, "flow-3": price}
    assert sorted(grown_rows) == rows
    day = time.strftime("%Y-%m-%d", time.gmtime())
    counts = {key: dict(zip(COUNT_FIELDS, row, strict=True)) for key, row in rows}
    assert counts.keys() == {UsageKey(day, "deepseek", name) for name in ("deepseek-chat", "m?")}
    assert counts[UsageKey(day, "deepseek", "deepseek-chat")]["exchanges"] == 2
    assert counts[UsageKey(day, "deepseek", "m?")]["failed"] == 1
    backend = SqliteUsage(tmp_path / "kept-usage.db")
    assert backend.load_rows(day) == rows
    backend.close()


@bounded
async def test_each_client_has_totals_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[ClientName, tuple[set[str], float]] = {}

    def listener(costs: CostByFlow, rows: list[UsageRow], client: ClientName) -> None:
        calls[client] = set(costs), sum(counts[0] for _, counts in rows)

    monkeypatch.setattr(usage_totals, "usage_listeners", [listener])
    totals = UsageTotals(read_settings({"relay_store": str(tmp_path / "kept.db")}, {}))
    for number, client in enumerate(("ada", "bob", "ada")):
        record = {**RECORD, "client": client, "model": f"of-{client}"}
        totals.add_exchange(EndedExchange(f"flow-{number}", record, failed=False))
    [(key, counts)] = await totals.load_rows("ada")
    assert key.model == "of-ada" and counts[0] == 2
    assert await totals.load_rows("eve") == []
    assert len(await totals.load_rows(None)) == 2
    await asyncio.sleep(0)
    totals.close()
    assert calls == {
        None: ({"flow-0", "flow-1", "flow-2"}, 3),
        "ada": ({"flow-0", "flow-2"}, 2),
        "bob": ({"flow-1"}, 1),
    }


@bounded
async def test_unusable_storage_is_logged_and_prices_are_reported(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    notifications: list[tuple[CostByFlow, list[UsageRow]]],
) -> None:
    (tmp_path / "file").write_text("not a folder")
    totals = UsageTotals(read_settings({"relay_store": str(tmp_path / "file" / "kept.db")}, {}))
    totals.add_exchange(EndedExchange("flow-1", RECORD, failed=False))
    with pytest.raises(OSError, match="the totals cannot be read"):
        await totals.load_rows(None)
    totals.close()
    await asyncio.sleep(0)
    assert "1 finished exchanges not counted" in caplog.text
    assert notifications == [({"flow-1": exchange_cost(RECORD)}, [])]


@bounded
async def test_backlog_is_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_totals, "MAX_BACKLOG", 2)
    totals = UsageTotals(read_settings({"relay_store": "off"}, {}))
    for number in range(3):
        totals.add_exchange(EndedExchange(f"flow-{number}", RECORD, failed=False))
    assert "an exchange is not counted: 2 others wait" in caplog.text
    [(_, counts)] = await totals.load_rows(None)
    assert counts[0] == 2
    await asyncio.sleep(0)
    totals.add_exchange(EndedExchange("flow-3", RECORD, failed=False))
    [(_, counts)] = await totals.load_rows(None)
    assert counts[0] == 3
    totals.close()


@bounded
async def test_addon_counts_ends_only(caplog: pytest.LogCaptureFixture) -> None:
    config, counter = Config(), UsageCounter()
    flow, cancelled = tflow.tflow(resp=True), tflow.tflow(err=True)
    cancelled.error = Error("Client disconnected.")
    with taddons.context(Proxyserver(), config, counter) as context:
        context.configure(config, relay_store="off")
        counter.configure(set())
        counter.running()
        for status in ("in_progress", FELL_BACK, "completed", "failed"):
            notify_listeners(flow, {**RECORD, "status": status})
        notify_listeners(cancelled, {**RECORD, "status": "failed"})
        table = await usage_table()
        assert table["lasting"] is False
        [row] = table["rows"]
        counts = dict(zip(table["columns"], row, strict=True))
        assert (counts["exchanges"], counts["failed"]) == (3, 1)
        assert row == flatten_row((UsageKey(*row[:3]), tuple(row[3:])))
        counter.done()
        notify_listeners(flow, RECORD)
        assert (await usage_table())["rows"] == []
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_prices_are_for_a_million_tokens() -> None:
    prices = million_token_prices("deepseek-chat", "https://api.deepseek.com/v1")
    assert prices and 0 < prices[0] < prices[1] < 10
    assert million_token_prices("gpt-5", "") == (1.25, 10.0)
    assert million_token_prices("no-such-model", "https://api.deepseek.com/v1") is None
    assert million_token_prices("gpt-5", "http://127.0.0.1:1/v1") is None
