"""The content of the page: a snapshot as it opens, then each change as an event."""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from mitmproxy import ctx
from mitmproxy.http import HTTPFlow

from addons.config import additional_providers, available_providers, current_settings
from addons.dashboard.client_snippets import client_snippets
from addons.dashboard.event_hub import EventHub, Viewer
from addons.dashboard.recent import RecentExchanges
from addons.identity import VERSION
from addons.observe import (
    CostByFlow,
    ExchangeRecord,
    flatten_row,
    is_client_gone,
    record_listeners,
    usage_listeners,
    usage_table,
)
from addons.routing import (
    Target,
    account_target,
    has_configured_provider,
    is_target_ready,
    list_target_models,
    main_target,
    target_by_name,
)
from addons.storage import UsageRow
from translate import BadRequest

POLL_INTERVAL = 1.0  # s between two polls of accounts and providers
MODEL_LIST_TIMEOUT = 1.0  # s that a page waits for a list of models

type Json = dict[str, Any]


class DashboardAccounts(Protocol):
    """What the dashboard needs of the accounts. Faults that the user can cure raise ValueError."""

    def accounts_snapshot(self) -> Json: ...

    async def select_account(self, account_id: str) -> None: ...

    async def log_out(self, account_id: str) -> None: ...

    async def start_login(self, kind: str) -> None:
        """Start a login, `browser` or `device`; `accounts_snapshot()["login"]` has its progress."""

    async def cancel_login(self) -> None:
        """End the login in progress."""


class DashboardState:
    def __init__(self, accounts: DashboardAccounts | None) -> None:
        self.accounts, self.hub = accounts, EventHub()
        self._recent_exchanges: defaultdict[Viewer, RecentExchanges] = defaultdict(RecentExchanges)
        self._published: dict[tuple[Viewer, str], Json] = {}
        self._poller: asyncio.Task[None] | None = None

    def start_publishing(self) -> None:
        record_listeners.append(self.on_record)
        usage_listeners.append(self.on_usage)
        self._poller = asyncio.get_running_loop().create_task(self._poll_forever())

    def stop_publishing(self) -> None:
        if self._poller:
            self._poller.cancel()
            record_listeners.remove(self.on_record)
            usage_listeners.remove(self.on_usage)
        self._poller = None
        self.hub.close()

    def on_record(self, flow: HTTPFlow, record: ExchangeRecord) -> None:
        client: Viewer = str(record["client"])
        for viewer in (None, client) if current_settings().client_key else (None,):
            recent = self._recent_exchanges[viewer]
            row = recent.add_record(flow.id, record, is_client_gone(flow))
            self.hub.publish_event("exchange", row, viewer)

    def on_usage(self, costs: CostByFlow, rows: list[UsageRow], client: Viewer) -> None:
        for flow_id, cost in costs.items():
            if cost and (row := self._recent_exchanges[client].add_cost(flow_id, cost)):
                self.hub.publish_event("exchange", row, client)
        for usage_row in rows:
            self.hub.publish_event("totals", flatten_row(usage_row), client)

    async def page_snapshot(self, relay_url: str, viewer: Viewer = None) -> Json:
        """All that the page shows to this viewer. `relay_url`: the relay as this browser reaches
        it, no path."""
        settings = current_settings()
        try:
            totals = await usage_table(viewer)
        except OSError as error:
            totals = {"error": str(error)}
        ca_file = str(Path(ctx.options.confdir) / "mitmproxy-ca-cert.pem")
        rows = self._recent_exchanges[viewer].newest_rows()
        model = self._example_model(rows) or await first_listed_model()
        has_client_key = bool(settings.client_key)
        return {
            "version": VERSION,
            "keyed": has_client_key,
            "mitmweb": mitmweb_address() if viewer is None else None,  # the admin has its password
            "exchanges": rows,
            "totals": totals,
            "setup": client_snippets(relay_url, model, ca_file, has_client_key),
            **self.polled_state(viewer),
        }

    def _example_model(self, rows: list[Json]) -> str:
        """A model for the snippets: from the settings, the first provider's table, or the latest
        success; "" if there is none."""
        names = [current_settings().model, *(row["model"] for row in self.provider_rows()[:1])]
        names += [row["model"] for row in rows if row["outcome"] == "completed"]
        return next(filter(None, names), "")

    def polled_state(self, viewer: Viewer = None) -> Json:
        """The part whose changes `_poll_forever` has to look for. Accounts are the admin's."""
        accounts = self.accounts if viewer is None else None
        return {
            "accounts": accounts.accounts_snapshot() if accounts else None,
            "providers": self.provider_rows(viewer),
            "now": int(time.time()),
        }

    def provider_rows(self, viewer: Viewer = None) -> list[Json]:
        """The providers, and how they served this viewer."""
        recent = self._recent_exchanges[viewer]
        return [
            {
                "name": target.provider.name,
                "title": target.provider.title,
                "host": urlsplit(target.url).netloc,
                "dialect": target.provider.dialect,
                "key": key_state(target),
                "model": target.provider.model,
                **recent.provider_health(target.provider.name),
            }
            for target in shown_targets(recent.provider_names())
        ]

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                for viewer in self.hub.viewers:
                    self._publish_changes(viewer)
            except Exception:
                logging.exception("mitmcodex failed to update the dashboard")

    def _publish_changes(self, viewer: Viewer) -> None:
        state = self.polled_state(viewer)
        for name in ("accounts", "providers"):
            if self._published.get((viewer, name)) != state[name]:
                self._published[viewer, name] = state[name]
                self.hub.publish_event(name, state[name], viewer)


def shown_targets(recent_names: Iterable[str]) -> list[Target]:
    """The providers of the settings, the default one first; then those of recent exchanges."""
    targets = [target for target in (default_target(), account_target()) if target]
    available = available_providers()
    recent_providers = (name for name in recent_names if name in available)
    for name in [*additional_providers(), *recent_providers]:
        with contextlib.suppress(BadRequest):  # it has no URL of its own
            targets.append(target_by_name(name))
    target_of_name: dict[str, Target] = {}
    for target in targets:
        target_of_name.setdefault(target.provider.name, target)
    return list(target_of_name.values())


def default_target() -> Target | None:
    """The provider of the settings. Without one: None if there are accounts, else the
    demonstration."""
    if not has_configured_provider(current_settings()) and account_target():
        return None
    try:
        return main_target()
    except RuntimeError:  # it is the demonstration, which is not running
        return None


async def first_listed_model() -> str:
    """A model that the first provider lists; "" if it does not answer in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MODEL_LIST_TIMEOUT):
            lists = [await list_target_models(target) or [] for target in shown_targets(())[:1]]
            entries = (entry for entry in sum(lists, []) if entry.chat and not entry.hidden)
            return next((entry.id for entry in entries), "")
    return ""


def key_state(target: Target) -> str:
    """`set`, `missing`, `login` for accounts, or `optional` for providers that may need no key."""
    if not is_target_ready(target):
        return "missing"
    return "login" if target.provider.accounts else "set" if target.key else "optional"


def mitmweb_address() -> Json | None:
    """The host and port of mitmweb, host None for the browser's own; None without mitmweb."""
    if not hasattr(ctx.master, "app"):
        return None
    all_interfaces = ctx.options.web_host in ("", "0.0.0.0", "::")  # noqa: S104 - compared only
    host = None if all_interfaces else ctx.options.web_host
    return {"host": host, "port": ctx.options.web_port}
