"""Prepares a request for relaying: decoded, with its history, for each candidate."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.config import current_settings, translation_limits
from addons.exchange.fallback import Candidate, FallbackPlan, current_profile
from addons.exchange.images import fit_request_images
from addons.flow_data import client_name
from addons.ingress import Route, is_codex, request_content, route_of
from addons.large_work import run_sized
from addons.routing import (
    ModelTarget,
    check_own_url,
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
    resolve_references,
    response_saver,
    restore_reasoning,
)
from translate import (
    BadRequest,
    Dialect,
    ExchangeContext,
    asks_for_compaction,
    decode_request,
    read_conversation_keys,
    read_session_key,
    rough_size,
)

type Json = dict[str, Any]


async def prepare_fallback_plan(flow: HTTPFlow) -> FallbackPlan:
    """All candidates for the flow's request. Raises BadRequest, AccountUnavailable,
    StorageUnavailable and LargeWorkUnavailable."""
    route, owner = route_of(flow), client_name(flow)
    limits = translation_limits(current_settings())
    content = await request_content(flow)
    body = await run_sized(len(content), partial(decode_request, content, limits))
    body = await resolve_references(body, owner)
    previous_id = None if route is Route.CHAT else body.get("previous_response_id")
    history = await load_history(previous_id, owner)
    size = len(content) + rough_size(history or ())
    targets = await find_targets(flow, route, body, history or (), size)
    saver = response_saver(owner)
    context = ExchangeContext(
        provider=targets[0].target.provider,
        model=targets[0].model,
        response_id=f"resp_{uuid.uuid4().hex}",
        created_at=int(time.time()),
        store_response=saver,
        default_instructions=current_settings().instructions,
        clock=lambda: int(time.time()),
        from_codex=is_codex(flow),
        limits=limits,
        request_size=size,
    )
    if route is Route.CHAT:
        keys = await run_sized(size, partial(read_conversation_keys, body, owner))
        context = replace(context, on_response_end=partial(remember_reasoning, keys))
        restored_body = await restore_reasoning(body, keys)
        count = count_restored(body, restored_body)
        flow.metadata[RESTORED_COUNT] = count
        body = restored_body
    candidates = [await build_candidate(target, body, history, size) for target in targets]
    notes = tuple(filter(None, [targets[0].note]))
    return FallbackPlan(route, context, tuple(candidates), response_saver=saver, notes=notes)


async def find_targets(
    flow: HTTPFlow, route: Route, body: Json, history: Sequence[Json], size: int
) -> list[ModelTarget]:
    """The targets of the request, in the order in which they are tried. `size`: bytes of its JSON.
    Raises BadRequest and AccountUnavailable."""
    role = "compaction" if route is Route.COMPACT else request_role(flow.request, body)
    targets = without_relay_itself(await select_model_targets(flow, str(body.get("model")), role))
    if route is Route.COMPACT or asks_for_compaction(body.get("input")):
        targets = await asyncio.gather(*map(with_context_window, targets))
    client: Dialect = "chat" if route is Route.CHAT else "responses"
    session_body = {"input": [], **body}  # a request for a summary may have no input
    read_key = partial(read_session_key, session_body, client, history)
    return await with_accounts(targets, lambda: run_sized(size, read_key))


def without_relay_itself(targets: list[ModelTarget]) -> list[ModelTarget]:
    """The targets whose upstream is not this relay. Raises BadRequest if there is none."""
    checks = [check_own_url(target.target.url) for target in targets]
    others = [target for target, check in zip(targets, checks, strict=True) if not check]
    if not others and (own_check := next(filter(None, checks), None)):
        raise BadRequest(own_check.words)
    return others


async def build_candidate(
    target: ModelTarget, body: Json, history: Sequence[Json] | None, size: int = 0
) -> Candidate:
    """The request for this target, with images that fit its provider. `size`: bytes of its JSON."""
    provider = current_profile(target)
    body, image_changes = await fit_request_images(body, provider, size)
    if history:
        history = (await fit_request_images({"input": history}, provider, size))[0]["input"]
    return Candidate(target, body, image_changes, history)


async def with_context_window(target: ModelTarget) -> ModelTarget:
    """The target with the model's own context window, if the provider's list states it."""
    provider = await provider_for_model(target.target, target.model)
    return replace(target, target=replace(target.target, provider=provider))
