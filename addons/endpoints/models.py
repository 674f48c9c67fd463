"""The models on offer, as OpenAI's list, as one entry of it, and as Codex's catalog."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mitmproxy.http import HTTPFlow

from addons.config import additional_providers, available_providers, current_settings
from addons.ingress import answer_json, header_text, path_id, refuse_flow
from addons.routing import (
    UpstreamCheck,
    account_target,
    base_instructions,
    catalog_template,
    check_target,
    displayed_target,
    provider_at_port,
    target_by_name,
)
from translate import (
    BadRequest,
    CatalogModel,
    Provider,
    catalog_limit,
    fit_codex_models,
    models_on_offer,
    models_to_codex,
    models_to_openai,
    parse_variant,
    printable,
)

PASSED_STATUSES = frozenset({401, 403, 404, 429})  # of an upstream's list, also for our clients
DROPPED_HEADER = "x-relay-dropped"


@dataclass(frozen=True)
class OfferedModels:
    """The models on offer, and why some are missing."""

    entries: list[CatalogModel]
    provider: Provider  # of the request's port
    check: UpstreamCheck | None = None  # of that provider; None without a URL
    faults: tuple[str, ...] = ()  # of each provider whose list is missing: its title and the reason

    @property
    def status(self) -> int:
        """The status of a reply that names no model."""
        status = self.check.status if self.check else 0
        return status if status in PASSED_STATUSES else 502

    @property
    def message(self) -> str:
        """Why there is no model, and what the user can do."""
        reason = "; ".join(self.faults)
        if reason and (self.status != 404 or reason.endswith("?")):
            return reason  # a name would not help
        return f"{reason or f'{self.provider.title} lists no models'}; relay_model can name one"


async def answer_model_list(flow: HTTPFlow) -> None:
    """In Codex's form if the query has Codex's version, else in OpenAI's.

    Without any model, because the upstream gave no list, the reply is an error: SDKs raise its
    message, Codex goes on with its own catalog, and other clients with the models of their user.
    """
    offered = await offered_models(flow)
    notes = offered.faults
    if "client_version" in flow.request.query:
        notes = *offered.faults, await answer_codex_catalog(flow, offered)
    elif offered.faults and not offered.entries:
        refuse_without_list(flow, offered)
    else:
        answer_json(flow, models_to_openai(offered.entries))
    note_missing_models(flow, notes)


def refuse_without_list(flow: HTTPFlow, offered: OfferedModels) -> None:
    # An SDK would ask twice more, and its user wait for nothing.
    refuse_flow(flow, offered.status, offered.message, "no_model_list", x_should_retry="false")


def note_missing_models(flow: HTTPFlow, notes: Iterable[str]) -> None:
    """Say in a header and in the flow's comment what the list does not have."""
    if flow.response and (text := printable("; ".join(filter(None, notes)))):
        flow.response.headers[DROPPED_HEADER] = header_text(text)
        flow.comment = text


async def answer_codex_catalog(flow: HTTPFlow, offered: OfferedModels) -> str:
    """Answer with Codex's catalog, and return what is missing in it; "" for nothing."""
    template, models = await catalog_template(), offered.entries
    catalog = models_to_codex(models, template, owner=offered.provider.title)
    limit = catalog_limit(flow.request.query["client_version"])
    codex_models = fit_codex_models(
        catalog["models"], models, template, base_instructions(), limit=limit
    )
    if codex_models:
        answer_json(flow, {"models": codex_models})
    else:  # an empty catalog would replace Codex's own
        refuse_flow(flow, 404, offered.message)
    if left_out := len(catalog["models"]) - len(codex_models):
        return f"{left_out} of {len(catalog['models'])} models, as Codex reads no longer catalog"
    return ""


async def answer_model(flow: HTTPFlow) -> None:
    """https://platform.openai.com/docs/api-reference/models/retrieve"""
    offered = await offered_models(flow)
    name, provider = path_id(flow), offered.provider
    listing = models_to_openai(offered.entries)
    models = {model["id"]: model for model in listing["data"]}
    match = parse_variant(name.removeprefix(f"{provider.name}/"), models, provider.aliases)
    if match and match.model in models:
        answer_json(flow, {**models[match.model], "id": name})
    elif offered.faults and not models:
        refuse_without_list(flow, offered)
    else:
        message = f"The model {name!r} is not offered here; GET /v1/models lists those that are."
        refuse_flow(flow, 404, message, "model_not_found", "model")


async def offered_models(flow: HTTPFlow) -> OfferedModels:
    """The models of this port's provider, and those of the providers that its clients reach with a
    prefix (`name/model`)."""
    settings, target = current_settings(), displayed_target(flow)
    provider = target.provider
    prefixes: list[str] = []
    configured_model, renames = provider.model, []
    if not provider_at_port(flow):  # else this port is for one provider alone
        prefixes = [name for name in prefixed_providers() if name != provider.name]
        configured_model = settings.model or provider.model
        renames = [(name, to[0]) for name, to in settings.model_map]
    check, *other_checks = await asyncio.gather(
        check_target(target) if target.url else no_check(), *map(check_provider, prefixes)
    )
    entries = list(check.models or ()) if check else []
    for name, other in zip(prefixes, other_checks, strict=True):
        models = (other.models if other else None) or ()
        entries += [replace(entry, id=f"{name}/{entry.id}") for entry in models]
    titles = [provider.title, *(available_providers()[name].title for name in prefixes)]
    return OfferedModels(
        models_on_offer(entries, provider, configured_model=configured_model, renames=renames),
        provider,
        check,
        tuple(list_faults(titles, [check, *other_checks])),
    )


def list_faults(titles: Iterable[str], checks: Iterable[UpstreamCheck | None]) -> Iterator[str]:
    """For each provider that gave no list: its title, the reason, and what to do."""
    for title, check in zip(titles, checks, strict=True):
        if check and check.fault:
            yield f"{title}: {check.words}"


def prefixed_providers() -> list[str]:
    """The names of the providers that a prefix reaches: those of the settings and the accounts'."""
    account = account_target()
    names = [*additional_providers(), *([account.provider.name] if account else [])]
    return list(dict.fromkeys(names))


async def check_provider(name: str) -> UpstreamCheck | None:
    """What this provider lists; None if it has no URL."""
    try:
        return await check_target(target_by_name(name))
    except BadRequest:
        return None


async def no_check() -> None:
    return None
