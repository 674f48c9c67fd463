"""The models on offer: of a running relay, or of the provider that a relay would use."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from addons.config import available_providers
from addons.observe import million_token_prices
from addons.routing import Target, check_target
from translate import CatalogModel, Provider, models_on_offer

from ..errors import CommandFailed
from ..relay_client import request_json
from ..running_relay import RunningRelay
from ..tables import Column
from ..user_target import DEMO, provider_target, user_target

CATALOG_PATH = "/v1/models?client_version=0.169.0"  # with windows, which OpenAI's form lacks
COLUMNS = (
    *(Column("model"), Column("provider"), Column("window", is_number=True)),
    *(Column("$/M input", is_number=True), Column("$/M output", is_number=True)),
)


@dataclass(frozen=True)
class OfferedModel:
    model: str  # the name that a client asks for
    provider: str
    context_window: int | None  # tokens
    input_price: float | None  # US dollars for a million tokens
    output_price: float | None

    def cells(self) -> list[str]:
        window = f"{self.context_window:,}" if self.context_window else ""
        prices = [
            "" if price is None else f"{price:g}" for price in (self.input_price, self.output_price)
        ]
        return [self.model, self.provider, window, *prices]


def relay_models(relay: RunningRelay) -> list[OfferedModel]:
    """What the relay offers its clients. Raises CommandFailed with the relay's reason."""
    user_target()  # it puts the user's settings in force, with their providers
    providers = available_providers()
    health = request_json(relay, "GET", "/health")  # with the user's key it says more
    main_name, main_url = (str(health.get(key, "")) for key in ("provider", "upstream"))
    entries = request_json(relay, "GET", CATALOG_PATH)["models"]
    return [relay_model(entry, providers, main_name, main_url) for entry in entries]


def relay_model(
    entry: Mapping[str, Any], providers: Mapping[str, Provider], main_name: str, main_url: str
) -> OfferedModel:
    prefix, slash, rest = str(entry["slug"]).partition("/")
    is_prefixed = bool(slash) and prefix in providers and prefix != main_name
    name, model = (prefix, rest) if is_prefixed else (main_name, str(entry["slug"]))
    provider = providers.get(name)
    own_urls = provider.base_urls if provider else ()
    url = main_url if name == main_name else next(iter(own_urls), "")
    return offered_model(entry["slug"], name, entry.get("context_window"), model, provider, url)


def offered_model(
    shown_name: str,
    provider_name: str,
    window: int | None,
    model: str,
    provider: Provider | None,
    url: str,
) -> OfferedModel:
    is_account = bool(provider and provider.accounts)
    prices = million_token_prices(model, "" if is_account else url) if url or is_account else None
    return OfferedModel(shown_name, provider_name, window, *(prices or (None, None)))


def provider_models(name: str = "") -> list[OfferedModel]:
    """What the provider of this name lists, by default the one of the settings. Raises
    CommandFailed with the reason for which there is no list."""
    target = named_target(name) if name else user_target()
    if target.provider.name == DEMO:
        return [OfferedModel(DEMO, DEMO, None, None, None)]
    check = asyncio.run(check_target(target))
    if check.models is None:
        raise CommandFailed(check.fault, check.next_step)
    return [list_entry(entry, target) for entry in on_offer(check.models, target.provider)]


def on_offer(models: list[CatalogModel], provider: Provider) -> list[CatalogModel]:
    entries = models_on_offer(models, provider, configured_model="", renames=())
    return [entry for entry in entries if entry.chat and not entry.hidden]


def list_entry(entry: CatalogModel, target: Target) -> OfferedModel:
    provider = target.provider
    window = entry.context_window
    return offered_model(entry.id, provider.name, window, entry.id, provider, target.url)


def named_target(name: str) -> Target:
    user_target()  # it puts the user's settings in force
    target = provider_target(name)
    if target.provider.accounts:
        raise CommandFailed(
            "the models of ChatGPT accounts are listed by a running relay",
            "start it with `mitmcodex up --detach`",
        )
    return target
