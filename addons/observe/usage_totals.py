"""Totals of finished exchanges by day, provider and model, where `relay_store` keeps things; in
memory where that is off. One thread prices and writes: neither may hold up the proxy."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import add
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.config.option_types import OFF
from addons.config.settings import Settings
from addons.observe import exchange_record as ledger
from addons.observe.exchange_record import LEFT, Facts
from addons.observe.prices import Cost, cost
from addons.storage.usage_backends import DAYS, FIELDS, Counts, Key, Place, opened

PATIENCE = 10.0  # s
PACE = 0.5  # s in which exchanges are gathered
BACKLOG = 1000  # exchanges that may wait to be counted
LONGEST = 200  # characters of a name

type Row = tuple[Key, Counts]
type Prices = dict[str, Cost | None]  # by the flow's id
type Waiting = tuple[str, Facts, bool]
type Watcher = Callable[[Prices, list[Row]], None]

# Hear, in the event loop, what exchanges cost, and which rows have grown.
watchers: list[Watcher] = []


class Totals:
    """One place, opened when it is needed, and the thread that may block on it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "relay-usage")
        self._place: Place | None = None
        self._backlog = 0
        self._waiting: list[Waiting] = []
        self._timer: asyncio.TimerHandle | None = None  # until these are counted
        self._swept = ""  # the day on which old rows were last removed

    def add(self, id: str, told: Facts, failed: bool) -> None:
        """Never raises; watchers are told when it is done. Several at a time, as a thread that
        works for each exchange would make the next one wait."""
        if self._backlog >= BACKLOG:
            logging.warning(f"relay: an exchange is not counted: {BACKLOG} others wait")
            return
        self._backlog += 1
        self._waiting.append((id, told, failed))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PACE, self._send)

    def _send(self) -> None:
        """What waits goes to the thread."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer, loop = None, asyncio.get_running_loop()
        waiting, self._waiting = self._waiting, []
        done = self._thread.submit(self._count, waiting)
        done.add_done_callback(
            lambda it: it.cancelled() or loop.call_soon_threadsafe(self._told, *it.result())
        )

    def _told(self, prices: Prices, rows: list[Row]) -> None:
        self._backlog -= len(prices)
        for watcher in list(watchers):
            watcher(prices, rows)

    def _count(self, waiting: list[Waiting]) -> tuple[Prices, list[Row]]:
        prices = {id: cost(told) for id, told, _ in waiting}
        sums: dict[Key, Counts] = {}
        for id, told, failed in waiting:
            key = Key(today(), told["provider"][:LONGEST], clean(told["model"])[:LONGEST])
            more = counts(told, prices[id], failed)
            sums[key] = tuple(map(add, sums[key], more)) if key in sums else more
        try:
            place = self._opened()
            if (day := today()) != self._swept:
                place.forget(today(DAYS))
                self._swept = day
            return prices, [place.add(key, found) for key, found in sums.items()]
        except Exception as error:
            logging.warning(f"relay: {len(waiting)} finished exchanges not counted: {error}")
            return prices, []

    def _opened(self) -> Place:
        self._place = self._place or opened(self._settings)
        return self._place

    async def rows(self) -> list[Row]:
        """All that are kept, after what was to be counted before. Raises OSError with words."""
        self._send()
        waiting = self._thread.submit(lambda: self._opened().rows(today(DAYS)))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(waiting), PATIENCE)
        except TimeoutError:
            raise OSError("no answer in time from where the totals are kept") from None
        except Exception as error:
            raise OSError(f"the totals cannot be read: {error}") from error

    def _close(self) -> None:
        if self._place:
            self._place.close()

    def close(self) -> None:
        """Count what waits, within bounds."""
        self._send()
        try:
            self._thread.submit(self._close).result(PATIENCE)
        except TimeoutError:
            logging.warning(f"relay: {self._backlog} exchanges were not counted: no answer in time")
        self._thread.shutdown(wait=False, cancel_futures=True)


def counts(told: Facts, price: Cost | None, failed: bool) -> Counts:
    paid = price.dollars if price and not price.notional else 0.0
    notional = price.dollars if price and price.notional else 0.0
    tokens = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    used = told["input_tokens"] is not None
    return (
        *(1.0, float(failed), *(float(told[name] or 0) for name in tokens)),
        *(paid, notional, float(used and price is None)),
    )


def clean(text: str) -> str:
    """A name from outside, as any place can keep it."""
    return "".join(c if c.isprintable() else "?" for c in text).encode("utf-8", "replace").decode()


def today(back: int = 0) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - back * 86_400))


async def table() -> dict[str, Any]:
    """All totals as JSON: the names of the columns, a list for each row, and whether they outlive
    this process. Raises OSError with words."""
    rows = await _totals.rows() if _totals else []
    lasting = config.settings().store != OFF
    head = {"lasting": lasting, "columns": [*Key._fields, *FIELDS]}
    return {**head, "rows": [flat(row) for row in rows]}


def flat(row: Row) -> list[str | float]:
    key, numbers = row
    return [*key, *(round(number, 6) for number in numbers)]


_totals: Totals | None = None


class Usage:
    """Counts each exchange that ends."""

    chosen: str | None = None

    def configure(self, updated: set[str]) -> None:
        global _totals
        settings = config.settings()
        if settings.store != self.chosen:
            self.close()
            self.chosen, _totals = settings.store, Totals(settings)

    def running(self) -> None:
        ledger.watchers.append(self.heard)

    def heard(self, flow: HTTPFlow, told: Facts) -> None:
        if _totals and told["status"] not in ("in_progress", LEFT):
            failed = told["status"] == "failed" and not ledger.left(flow)
            _totals.add(flow.id, told, failed)

    def done(self) -> None:
        if self.heard in ledger.watchers:
            ledger.watchers.remove(self.heard)
        self.close()

    def close(self) -> None:
        global _totals
        if _totals:
            _totals.close()
        _totals, self.chosen = None, None
