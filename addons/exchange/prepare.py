"""Prepares a request for relaying: decoded, with its history, for each candidate."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.config import current_settings
from addons.exchange.fallback import Candidate, FallbackPlan, current_profile
from addons.exchange.images import fit_request_images
from addons.flow_data import client_name
from addons.ingress import Route, is_codex_request, route_of
from addons.routing import (
    ModelTarget,
    provider_for_model,
    request_role,
    select_model_targets,
    with_accounts,
)
from addons.storage import (
    RESTORED_COUNT,
    count_restored,
    load_history,
    remember_reasoning,
    response_saver,
    restore_reasoning,
)
from translate import (
    BadRequest,
    Dialect,
    ExchangeContext,
    asks_for_compaction,
    decode_request,
    read_session_key,
)

type Json = dict[str, Any]


async def prepare_fallback_plan(flow: HTTPFlow) -> FallbackPlan:
    """All candidates for the flow's request. Raises BadRequest, AccountUnavailable and
    StorageUnavailable."""
    body = decode_body(flow)
    route, owner = route_of(flow), client_name(flow)
    previous_id = None if route is Route.CHAT else body.get("previous_response_id")
    history = await load_history(previous_id, owner)
    targets = await find_targets(flow, route, body, history or ())
    context = ExchangeContext(
        provider=targets[0].target.provider,
        model=targets[0].model,
        response_id=f"resp_{uuid.uuid4().hex}",
        created_at=int(time.time()),
        store_response=response_saver(owner),
        default_instructions=current_settings().instructions,
        clock=lambda: int(time.time()),
        from_codex=is_codex(flow),
    )
    if route is Route.CHAT:
        context = replace(context, on_response_end=partial(remember_reasoning, body, owner))
        restored_body = await restore_reasoning(body, owner)
        count = count_restored(body, restored_body)
        flow.metadata[RESTORED_COUNT] = count
        body = restored_body
    candidates = [await build_candidate(target, body, history) for target in targets]
    return FallbackPlan(route, context, tuple(candidates))


def decode_body(flow: HTTPFlow) -> Json:
    """Raises BadRequest for a broken content-encoding and for anything but a JSON object."""
    try:
        return decode_request(flow.request.get_content() or b"")
    except ValueError as error:
        raise BadRequest(str(error)) from None


def is_codex(flow: HTTPFlow) -> bool:
    """Whether the client is Codex, which speaks Responses only."""
    return route_of(flow) is not Route.CHAT and is_codex_request(flow.request.headers)


async def find_targets(
    flow: HTTPFlow, route: Route, body: Json, history: Sequence[Json]
) -> list[ModelTarget]:
    """The targets of the request, in the order in which they are tried. Raises BadRequest and
    AccountUnavailable."""
    role = "compaction" if route is Route.COMPACT else request_role(flow.request, body)
    targets = await select_model_targets(flow, str(body.get("model")), role)
    if route is Route.COMPACT or asks_for_compaction(body.get("input")):
        targets = await asyncio.gather(*map(with_context_window, targets))
    client: Dialect = "chat" if route is Route.CHAT else "responses"
    session_body = {"input": [], **body}  # a request for a summary may have no input
    return await with_accounts(targets, lambda: read_session_key(session_body, client, history))


async def build_candidate(
    target: ModelTarget, body: Json, history: Sequence[Json] | None
) -> Candidate:
    """The request for this target, with images that fit its provider."""
    provider = current_profile(target)
    body, image_changes = await fit_request_images(body, provider)
    if history:
        history = (await fit_request_images({"input": history}, provider))[0]["input"]
    return Candidate(target, body, image_changes, history)


async def with_context_window(target: ModelTarget) -> ModelTarget:
    """The target with the model's own context window, if the provider's list states it."""
    provider = await provider_for_model(target.target, target.model)
    return replace(target, target=replace(target.target, provider=provider))
