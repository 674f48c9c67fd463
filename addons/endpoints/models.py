"""The models on offer, as OpenAI's list, as one entry of it, and as Codex's catalog."""

import asyncio
from dataclasses import replace

from mitmproxy.http import HTTPFlow

from addons.config import additional_providers, current_settings
from addons.ingress import answer_json, path_id, refuse_flow
from addons.routing import (
    account_target,
    catalog_template,
    displayed_target,
    list_target_models,
    provider_at_port,
    target_by_name,
)
from translate import (
    BadRequest,
    CatalogModel,
    models_on_offer,
    models_to_codex,
    models_to_openai,
    parse_variant,
)


async def answer_model_list(flow: HTTPFlow) -> None:
    """In Codex's form if the query has Codex's version, else in OpenAI's."""
    if "client_version" in flow.request.query:
        await answer_codex_catalog(flow)
    else:
        answer_json(flow, models_to_openai(await offered_models(flow)))


async def answer_codex_catalog(flow: HTTPFlow) -> None:
    entries, template = await asyncio.gather(offered_models(flow), catalog_template())
    title = displayed_target(flow).provider.title
    codex_catalog = models_to_codex(entries, template, owner=title)
    if codex_catalog["models"]:
        answer_json(flow, codex_catalog)
    else:  # an empty catalog would replace Codex's own
        refuse_flow(flow, 404, f"{title} lists no models; relay_model can name one.")


async def answer_model(flow: HTTPFlow) -> None:
    """https://platform.openai.com/docs/api-reference/models/retrieve"""
    name, provider = path_id(flow), displayed_target(flow).provider
    listing = models_to_openai(await offered_models(flow))
    models = {model["id"]: model for model in listing["data"]}
    match = parse_variant(name.removeprefix(f"{provider.name}/"), models, provider.aliases)
    if match and match.model in models:
        answer_json(flow, {**models[match.model], "id": name})
    else:
        message = f"The model {name!r} is not offered here; GET /v1/models lists those that are."
        refuse_flow(flow, 404, message, "model_not_found", "model")


async def offered_models(flow: HTTPFlow) -> list[CatalogModel]:
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
    lists = await asyncio.gather(
        list_target_models(target) if target.url else no_models(),
        *(prefixed_models(name) for name in prefixes),
    )
    entries = [entry for entries in lists for entry in entries or []]
    return models_on_offer(entries, provider, configured_model=configured_model, renames=renames)


def prefixed_providers() -> list[str]:
    """The names of the providers that a prefix reaches: those of the settings and the accounts'."""
    account = account_target()
    names = [*additional_providers(), *([account.provider.name] if account else [])]
    return list(dict.fromkeys(names))


async def prefixed_models(name: str) -> list[CatalogModel]:
    """The models of this provider, with its prefix; none if it has no URL or gives no list."""
    try:
        entries = await list_target_models(target_by_name(name))
    except BadRequest:
        return []
    return [replace(entry, id=f"{name}/{entry.id}") for entry in entries or []]


async def no_models() -> None:
    return None
