"""What the page is told: all of it as it opens, then what changes."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from mitmproxy import ctx
from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.dashboard.client_snippets import snippets
from addons.dashboard.event_hub import Hub
from addons.dashboard.recent import Feed
from addons.identity import VERSION
from addons.observe import exchange_record as ledger
from addons.observe import usage_totals as usage
from addons.observe.exchange_record import Facts
from addons.routing import target as upstream
from addons.routing.target import Target
from translate import BadRequest

PACE = 1.0  # s between two looks at accounts and providers
SHORT = 1.0  # s that a page waits for a list of models

type Json = dict[str, Any]


class Accounts(Protocol):
    """The pool of accounts. What a person did wrong is told by ValueError."""

    def snapshot(self) -> Json: ...

    async def select(self, id: str) -> None: ...

    async def logout(self, id: str) -> None: ...

    async def login(self, kind: str) -> None:
        """Begin one, `browser` or `device`; `snapshot()["login"]` tells how it goes."""

    async def cancel(self) -> None:
        """End the login that runs."""


class Desk:
    def __init__(self, accounts: Accounts | None) -> None:
        self.accounts = accounts
        self.feed, self.hub = Feed(), Hub()
        self._told: Json = {}
        self._ticking: asyncio.Task[None] | None = None

    def open(self) -> None:
        ledger.watchers.append(self.heard)
        usage.watchers.append(self.counted)
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    def close(self) -> None:
        if self._ticking:
            self._ticking.cancel()
            ledger.watchers.remove(self.heard)
            usage.watchers.remove(self.counted)
        self._ticking = None
        self.hub.close()

    def heard(self, flow: HTTPFlow, told: Facts) -> None:
        self.hub.publish("exchange", self.feed.put(flow.id, told, ledger.left(flow)))

    def counted(self, prices: usage.Prices, rows: list[usage.Row]) -> None:
        for id, cost in prices.items():
            if cost and (priced := self.feed.price(id, cost)):
                self.hub.publish("exchange", priced)
        for row in rows:
            self.hub.publish("totals", usage.flat(row))

    async def snapshot(self, origin: str) -> Json:
        """All of it; `origin`: the relay's URL as this browser reaches it."""
        settings = config.settings()
        try:
            totals = await usage.table()
        except OSError as error:
            totals = {"error": str(error)}
        ca = str(Path(ctx.options.confdir) / "mitmproxy-ca-cert.pem")
        rows = self.feed.rows()
        names = [settings.model, *(one["model"] for one in self.providers()[:1])]
        names += [row["model"] for row in rows if row["outcome"] == "completed"]
        model = next(filter(None, names), "") or await first_listed()
        keyed = bool(settings.client_key)
        return {
            "version": VERSION,
            "keyed": keyed,
            "mitmweb": mitmweb(),
            "exchanges": rows,
            "totals": totals,
            "setup": snippets(origin, model, ca, keyed),
            **self.state(),
        }

    def state(self) -> Json:
        """What is looked at time and again."""
        accounts = self.accounts.snapshot() if self.accounts else None
        return {"accounts": accounts, "providers": self.providers(), "now": int(time.time())}

    def providers(self) -> list[Json]:
        return [
            {
                "name": to.provider.name,
                "title": to.provider.title,
                "host": urlsplit(to.url).netloc,
                "dialect": to.provider.dialect,
                "key": key_state(to),
                "model": to.provider.model,
                **self.feed.health(to.provider.name),
            }
            for to in served(self.feed.met())
        ]

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(PACE)
            if len(self.hub):
                try:
                    self._publish_changes()
                except Exception:
                    logging.exception("codex-relay failed at the dashboard's state")

    def _publish_changes(self) -> None:
        state = self.state()
        for name in ("accounts", "providers"):
            if self._told.get(name) != state[name]:
                self._told[name] = state[name]
                self.hub.publish(name, state[name])


def served(met: Iterable[str]) -> list[Target]:
    """The providers that the user chose, the first for whatever names no other; then those that
    were met."""
    first, accounts = primary(), upstream.account()
    found = [to for to in (first, accounts) if to]
    for name in [*config.served(), *(one for one in met if one in config.providers())]:
        with contextlib.suppress(BadRequest):  # it has no place of its own
            found.append(upstream.named(name))
    once: dict[str, Target] = {}
    for to in found:
        once.setdefault(to.provider.name, to)
    return list(once.values())


def primary() -> Target | None:
    """The provider of the settings, else the demonstration, unless accounts are in its place."""
    settings = config.settings()
    if not upstream.configured(settings) and upstream.account():
        return None
    try:
        provider, url = upstream.place(settings)
    except RuntimeError:  # it is the demonstration, and that does not run
        return None
    if provider.accounts:
        return upstream.named(provider.name)
    own = settings.api_key.get_secret_value() or upstream.usual_key(provider, url)
    return Target(provider, url, own or None)


async def first_listed() -> str:
    """A model that the first provider offers; "" where it does not tell at once."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SHORT):
            entries = [await upstream.listed(to) or [] for to in served(())[:1]]
            return next((one.id for one in sum(entries, []) if one.chat and not one.hidden), "")
    return ""


def key_state(to: Target) -> str:
    """`set`, `missing`, `login` of an account, or `optional` where it may need none."""
    if not upstream.ready(to):
        return "missing"
    return "login" if to.provider.accounts else "set" if to.key else "optional"


def mitmweb() -> Json | None:
    """Where mitmweb is; None where something else runs."""
    if not hasattr(ctx.master, "app"):
        return None
    wide = ctx.options.web_host in ("", "0.0.0.0", "::")  # noqa: S104 - compared only
    return {"host": None if wide else ctx.options.web_host, "port": ctx.options.web_port}
