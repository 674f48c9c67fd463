"""Totals of ended exchanges by day, provider and model; in memory if `relay_store` is off.

The storage thread looks up prices and writes, as both take long.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from operator import add
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.config import STORE_OFF, Settings, current_settings
from addons.observe.exchange_record import (
    FELL_BACK,
    ExchangeRecord,
    is_client_gone,
    record_listeners,
)
from addons.storage import (
    COUNT_FIELDS,
    MAX_DAYS,
    BackendQueue,
    Counts,
    MemoryUsage,
    StorageSuspended,
    StorageUnavailable,
    UsageBackend,
    UsageKey,
    UsageRow,
    open_usage_backend,
)

ANSWER_TIMEOUT = 10.0  # s that a request and the relay's end wait for the storage
GATHER_INTERVAL = 0.5  # s in which exchanges are gathered before they are counted
MAX_BACKLOG = 1000  # exchanges that may wait to be counted
MAX_NAME_LENGTH = 200  # characters
TABLE_COLUMNS = ("day", "provider", "model", *COUNT_FIELDS)  # of `usage_table`
TOKEN_FIELDS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


@dataclass(frozen=True)
class ExchangeCost:
    dollars: float
    notional: bool  # of an account's turn, which is not paid singly: its price by the API


@dataclass(frozen=True)
class EndedExchange:
    flow_id: str
    record: ExchangeRecord
    failed: bool

    @property
    def client_name(self) -> str:
        return str(self.record.get("client", ""))


type CostByFlow = dict[str, ExchangeCost | None]  # flow id → cost, None if unknown
type ClientName = str | None  # of a client key; None stands for all clients together
type UsageListener = Callable[[CostByFlow, list[UsageRow], ClientName], None]

# They are called in the event loop, with the costs of ended exchanges and the rows that have grown:
# first those of all clients together, then those of each client's own exchanges.
usage_listeners: list[UsageListener] = []


class UsageTotals:
    """Gathers ended exchanges, and passes them to the storage thread together.

    If the thread worked after each exchange, the next request would wait for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._queue: BackendQueue[UsageBackend] = BackendQueue(
            "Usage totals", settings.store, partial(open_usage_backend, settings)
        )
        # Each client's own totals, since the start. Only the storage thread uses them.
        self._client_totals: defaultdict[str, MemoryUsage] = defaultdict(MemoryUsage)
        self._gathered: list[EndedExchange] = []
        self._timer: asyncio.TimerHandle | None = None  # runs while exchanges are gathered
        self._backlog = 0  # exchanges that are not counted yet
        self._cleaned_on = ""  # the last day on which old rows were removed

    def add_exchange(self, ended: EndedExchange) -> None:
        """Count the exchange, then call the listeners. Never raises."""
        if self._backlog >= MAX_BACKLOG:
            logging.warning(f"relay: an exchange is not counted: {MAX_BACKLOG} others wait")
            return
        self._backlog += 1
        self._gathered.append(ended)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(GATHER_INTERVAL, self._send_gathered)

    async def load_rows(self, client: ClientName) -> list[UsageRow]:
        """All rows, with the gathered exchanges. Raises OSError with a message for the user."""
        self._send_gathered()

        def load(backend: UsageBackend) -> list[UsageRow]:
            totals = backend if client is None else self._client_totals[client]
            return totals.load_rows(utc_day(MAX_DAYS))

        try:
            return await self._queue.ask(load, ANSWER_TIMEOUT)
        except StorageUnavailable as error:
            raise OSError(f"the totals cannot be read: {error}") from error

    def close(self) -> None:
        """Count the gathered exchanges, within ANSWER_TIMEOUT."""
        self._send_gathered()
        if not self._queue.close(ANSWER_TIMEOUT):
            logging.warning(f"relay: {self._backlog} exchanges were not counted: no answer in time")

    def _send_gathered(self) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer, loop = None, asyncio.get_running_loop()
        exchanges, self._gathered = self._gathered, []
        costs: CostByFlow = {}

        def finish(future: "Future[RowsByClient]") -> None:
            error = future.exception()
            if error and not isinstance(error, StorageSuspended):
                count = len(exchanges)
                logging.warning(f"relay: {count} finished exchanges not counted: {error}")
            rows: RowsByClient = {None: []} if error else future.result()
            all_costs = costs or exchange_costs(
                exchanges
            )  # listeners get them even after a failure
            clients = {ended.flow_id: ended.client_name for ended in exchanges}
            loop.call_soon_threadsafe(self._notify_listeners, all_costs, clients, rows)

        work = self._queue.submit(lambda backend: self._count(backend, exchanges, costs))
        work.add_done_callback(finish)

    def _notify_listeners(
        self, costs: CostByFlow, clients: Mapping[str, str], rows: "RowsByClient"
    ) -> None:
        self._backlog -= len(costs)
        for client, client_rows in rows.items():
            client_costs = {
                flow_id: cost
                for flow_id, cost in costs.items()
                if client is None or clients[flow_id] == client
            }
            for listener in list(usage_listeners):
                listener(client_costs, client_rows, client)

    def _count(
        self, backend: UsageBackend, exchanges: list[EndedExchange], costs: CostByFlow
    ) -> "RowsByClient":
        """Add the exchanges to their rows, which are returned, and their costs to `costs`."""
        costs |= exchange_costs(exchanges)
        client_names = {ended.client_name for ended in exchanges}
        totals = {client: self._client_totals[client] for client in client_names}
        if (day := utc_day()) != self._cleaned_on:
            for each in (backend, *self._client_totals.values()):
                each.remove_before(utc_day(MAX_DAYS))
            self._cleaned_on = day
        rows: RowsByClient = {
            client: add_exchanges(
                totals[client],
                [ended for ended in exchanges if ended.client_name == client],
                costs,
                day,
            )
            for client in client_names
        }
        return {None: add_exchanges(backend, exchanges, costs, day), **rows}


type RowsByClient = dict[ClientName, list[UsageRow]]  # of all clients together first


def add_exchanges(
    totals: UsageBackend, exchanges: list[EndedExchange], costs: CostByFlow, day: str
) -> list[UsageRow]:
    """Add the exchanges to their rows, which are returned."""
    sums = sum_counts(exchanges, costs, day)
    return [totals.add_counts(key, counts) for key, counts in sums.items()]


def sum_counts(
    exchanges: list[EndedExchange], costs: CostByFlow, day: str
) -> dict[UsageKey, Counts]:
    """The counts of all exchanges with the same provider and model, added up."""
    sums: dict[UsageKey, Counts] = {}
    for ended in exchanges:
        provider = ended.record["provider"][:MAX_NAME_LENGTH]
        key = UsageKey(day, provider, storable_name(ended.record["model"]))
        counts = record_counts(ended.record, costs[ended.flow_id], ended.failed)
        sums[key] = tuple(map(add, sums[key], counts)) if key in sums else counts
    return sums


def record_counts(record: ExchangeRecord, cost: ExchangeCost | None, failed: bool) -> Counts:
    """What one exchange adds to its row."""
    paid = cost.dollars if cost and not cost.notional else 0.0
    notional = cost.dollars if cost and cost.notional else 0.0
    is_unpriced = record["input_tokens"] is not None and cost is None
    return (
        *(1.0, float(failed), *(float(record[name] or 0) for name in TOKEN_FIELDS)),
        *(paid, notional, float(is_unpriced)),
    )


def exchange_costs(exchanges: list[EndedExchange]) -> CostByFlow:
    return {ended.flow_id: exchange_cost(ended.record) for ended in exchanges}


def exchange_cost(record: ExchangeRecord) -> ExchangeCost | None:
    """The cost by the price list in the package genai-prices, which never downloads another.

    None if the price or the usage is unknown. The first call reads the list, in half a second.
    """
    if record["input_tokens"] is None:
        return None
    counts = {
        "input_tokens": record["input_tokens"],
        "cache_read_tokens": min(record["cached_tokens"] or 0, record["input_tokens"]),
        "output_tokens": record["output_tokens"] or 0,
    }
    is_account = bool(record["account"])
    url = "" if is_account else record["url"]
    dollars = listed_price(record["model"], url, counts)
    return None if dollars is None else ExchangeCost(round(dollars, 6), notional=is_account)


def listed_price(model: str, url: str, counts: Mapping[str, int]) -> float | None:
    """The price of so many tokens in US dollars; None if it is unknown. `url`: the provider's base
    URL, "" for OpenAI."""
    from genai_prices import Usage, calc_price

    vendor: Any = {"provider_api_url": url} if url else {"provider_id": "openai"}
    try:
        return float(calc_price(Usage(**counts), model, **vendor).total_price)
    except (LookupError, ValueError):
        return None


def million_token_prices(model: str, url: str) -> tuple[float, float] | None:
    """US dollars for a million tokens of input and of output in short requests; None if they are
    unknown. `url`: as for `listed_price`."""
    sample = 1000  # tokens: some models cost more in long requests
    prices = [listed_price(model, url, {f"{side}_tokens": sample}) for side in ("input", "output")]
    input_price, output_price = (
        None if price is None else round(price * 1_000_000 / sample, 4) for price in prices
    )
    return None if input_price is None or output_price is None else (input_price, output_price)


def storable_name(text: str) -> str:
    """A model's name, which may be any text of a client's, as every backend can store it."""
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return printable.encode("utf-8", "replace").decode()[:MAX_NAME_LENGTH]


def utc_day(days_ago: int = 0) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - days_ago * 86_400))


async def usage_table(client: ClientName = None) -> dict[str, Any]:
    """All totals, or those of one client's exchanges since the start, as JSON: the names of the
    columns, a list for each row, and `lasting`: whether the totals outlive this process. Raises
    OSError with a message for the user."""
    rows = await _totals.load_rows(client) if _totals else []
    lasting = client is None and current_settings().store != STORE_OFF
    head = {"lasting": lasting, "columns": TABLE_COLUMNS}
    return {**head, "rows": [flatten_row(row) for row in rows]}


def flatten_row(row: UsageRow) -> list[str | float]:
    key, counts = row
    return [*key, *(round(count, 6) for count in counts)]


_totals: UsageTotals | None = None


class UsageCounter:
    """The addon that counts each exchange that ends."""

    _location: str | None = None

    def configure(self, updated: set[str]) -> None:
        global _totals
        settings = current_settings()
        if settings.store != self._location:
            self._close_totals()
            self._location, _totals = settings.store, UsageTotals(settings)

    def running(self) -> None:
        record_listeners.append(self._on_record)

    def done(self) -> None:
        if self._on_record in record_listeners:
            record_listeners.remove(self._on_record)
        self._close_totals()

    def _on_record(self, flow: HTTPFlow, record: ExchangeRecord) -> None:
        if _totals and record["status"] not in ("in_progress", FELL_BACK):
            failed = record["status"] == "failed" and not is_client_gone(flow)
            _totals.add_exchange(EndedExchange(flow.id, record, failed))

    def _close_totals(self) -> None:
        global _totals
        if _totals:
            _totals.close()
        _totals, self._location = None, None
