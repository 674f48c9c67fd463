"""Which provider and model serve a request."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from mitmproxy.http import HTTPFlow, Request

from addons.config import additional_providers, available_providers, current_settings
from addons.demo_provider import MODEL as DEMO_MODEL
from addons.ingress import Route, route_of
from addons.routing.target import (
    Target,
    account_target,
    is_target_ready,
    list_target_models,
    provider_at_port,
    request_target,
    target_by_name,
)
from translate import BadRequest, CatalogModel, ModelVariant, asks_for_compaction, parse_variant

# Codex 0.163 and 0.169: one header names the agent that sends the request; another has metadata of
# the request, as a JSON object.
SUBAGENT_HEADER = "x-openai-subagent"
METADATA_HEADER = "x-codex-turn-metadata"
DEMO_PROVIDER = "demo"
AGENT_ROLES = {"review": "review", "compact": "compaction"}  # other agents are sub-agents


@dataclass(frozen=True)
class ModelTarget:
    target: Target
    model: str  # the provider's name for it
    variant: ModelVariant | None = None  # effort and tier in the requested name
    note: str = ""  # why it is not the requested model, for the flow's comment
    recorded_advice: str | None = None  # of a recorded exchange: `reply_advice` at its time


def request_role(request: Request, body: dict[str, Any]) -> str | None:
    """The request's role, a key of `relay_role_map`; None for an ordinary turn."""
    metadata = turn_metadata(request)
    if asks_for_compaction(body.get("input")) or metadata.get("request_kind") == "compaction":
        return "compaction"
    if metadata.get("thread_source") == "thread_title":
        return "title"
    agent = request.headers.get(SUBAGENT_HEADER, "")
    return AGENT_ROLES.get(agent, "subagent") if agent else None


def turn_metadata(request: Request) -> dict[str, Any]:
    try:
        metadata = json.loads(request.headers.get(METADATA_HEADER, ""))
    except (ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


async def select_model_targets(
    flow: HTTPFlow, requested: str, role: str | None
) -> list[ModelTarget]:
    """The targets of a request for this model, in the order of attempts.

    The role's models decide, else `relay_model_map`, else the requested model. A request to the
    port of one provider stays with that provider. Raises BadRequest if no target can be reached.
    """
    targets = await matching_targets(flow, requested, role)
    if requested == DEMO_MODEL:
        targets = [await replace_demo_model(target) for target in targets]
    return [await resolve_variant(target) for target in targets]


async def replace_demo_model(model_target: ModelTarget) -> ModelTarget:
    """The target with a model of its own in place of the demonstration's.

    Codex takes its default from the list of models that it has cached, and a session keeps its
    model: after the demonstration, both ask the user's own provider for it.
    """
    provider = model_target.target.provider
    models = await list_target_models(model_target.target) or []
    if provider.name == DEMO_PROVIDER or DEMO_MODEL in [model.id for model in models]:
        return model_target
    model = model_target.model if model_target.model != DEMO_MODEL else first_usable_model(models)
    if not model:
        return model_target
    note = f"{model} in place of {DEMO_MODEL}, which is the demonstration's"
    return replace(model_target, model=model, note=note)


def first_usable_model(models: Iterable[CatalogModel]) -> str:
    """The first model that Codex can use; "" if there is none."""
    shown = [model for model in models if model.chat and not model.hidden]
    ordered = sorted(shown, key=lambda model: model.has_tools is False)
    return ordered[0].id if ordered else ""


async def resolve_variant(model_target: ModelTarget) -> ModelTarget:
    """The target with the account's model in place of a variant or an alias of it."""
    provider = model_target.target.provider
    if not provider.accounts:
        return model_target
    listed_models = await listed_model_names(model_target.target) or ()
    match = parse_variant(model_target.model, listed_models, provider.aliases)
    return replace(model_target, model=match.model, variant=match) if match else model_target


async def matching_targets(flow: HTTPFlow, requested: str, role: str | None) -> list[ModelTarget]:
    home, has_own_port = request_target(flow), bool(provider_at_port(flow))
    for names in (role_models(role), mapped_models(requested)):
        if has_own_port:
            names = await provider_model_names(home, names)
        if targets := await reachable_targets(home, names):
            ready = [target for target in targets if is_target_ready(target.target)]
            return ready or targets[:1]
    if has_own_port:
        return [await home_target(home, requested, home.provider.model)]
    is_chat = route_of(flow) is Route.CHAT
    return [await requested_target(home, requested, is_chat=is_chat)]


async def provider_model_names(home: Target, names: tuple[str, ...]) -> tuple[str, ...]:
    """The configured names that are models of this provider: it lists them, or they have its
    prefix. Other names are meant for the main port."""
    listed_models, prefix = await listed_model_names(home) or (), f"{home.provider.name}/"
    return tuple(name for name in names if name in listed_models or name.startswith(prefix))


async def reachable_targets(home: Target, names: tuple[str, ...]) -> list[ModelTarget]:
    """The configured models whose provider has a URL. Raises BadRequest if none has."""
    targets, errors = [], []
    for name in names:
        try:
            targets.append(await configured_target(home, name))
        except BadRequest as error:
            errors.append(error)
    if errors and not targets:
        raise errors[0]
    return targets


def role_models(role: str | None) -> tuple[str, ...]:
    models_by_role = dict[str, tuple[str, ...]](current_settings().role_map)
    return models_by_role.get(role, ()) if role else ()


def mapped_models(requested: str) -> tuple[str, ...]:
    rules = current_settings().model_map
    return next((names for pattern, names in rules if fnmatchcase(requested, pattern)), ())


async def configured_target(home: Target, name: str) -> ModelTarget:
    """The model that the user configured as `model` or `provider/model`. Raises BadRequest."""
    prefix, _, model = name.partition("/")
    has_provider = bool(model) and prefix in available_providers()
    if not has_provider or name in (await listed_model_names(home) or ()):
        return ModelTarget(home, name)
    return ModelTarget(home if prefix == home.provider.name else target_by_name(prefix), model)


async def home_target(home: Target, requested: str, default: str) -> ModelTarget:
    """The requested model if the home provider lists it, else the default model."""
    if not default or requested in (await listed_model_names(home) or ()):
        return ModelTarget(home, requested)
    return await configured_target(home, default)


async def requested_target(home: Target, requested: str, *, is_chat: bool) -> ModelTarget:
    """The target of a model that the client names and the settings do not map."""
    default = current_settings().model or home.provider.model
    others = other_provider_targets(home)
    account = None if home.provider.accounts else account_target()
    prefix, _, rest = requested.partition("/")
    has_prefix = bool(rest) and prefix in available_providers()
    if not (others or has_prefix or account):
        return await home_target(home, requested, default)
    home_models = await listed_model_names(home)
    if requested in (home_models or ()):
        return ModelTarget(home, requested)
    if has_prefix and (
        prefix in [target.provider.name for target in (home, *others)]
        or is_account_provider(prefix)
        # Without a model list of the home provider, a name with a slash may be one of its own.
        or (home_models and is_provider_ready(prefix))
    ):
        return await configured_target(home, requested)
    target = await other_target(others, account, requested, is_chat=is_chat)
    return target or await home_target(home, requested, default)


def other_provider_targets(home: Target) -> list[Target]:
    """The additional providers that have a URL."""
    providers = available_providers()
    names = [name for name in additional_providers() if providers[name].base_urls]
    return [target_by_name(name) for name in names if name != home.provider.name]


async def other_target(
    others: list[Target], account: Target | None, requested: str, *, is_chat: bool
) -> ModelTarget | None:
    """The first other provider that lists the model, else the account if the name is one of its
    aliases or a Chat client sends it, else None. Other names from Codex do not go to the account:
    Codex asks for OpenAI's models by default, even if the user wants another provider."""
    for other in others:
        if requested in (await listed_model_names(other) or ()):
            return ModelTarget(other, requested)
    if account is None:
        return None
    is_account_model = parse_variant(requested, (), account.provider.aliases) is not None
    return ModelTarget(account, requested) if is_chat or is_account_model else None


def is_account_provider(name: str) -> bool:
    """Whether accounts serve this provider. A model with its prefix is always meant for it, even
    without an account: the client then gets an error that says how to log in."""
    return available_providers()[name].accounts


def is_provider_ready(name: str) -> bool:
    provider = available_providers()[name]
    return bool(provider.base_urls) and target_by_name(name).key is not None


async def listed_model_names(target: Target) -> list[str] | None:
    """The names of the models that the upstream lists; None if it gives no list."""
    models = await list_target_models(target)
    return None if models is None else [model.id for model in models]
