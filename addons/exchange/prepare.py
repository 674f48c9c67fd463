"""How a turn begins: what is asked, where that may go, and what is known beside it."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.exchange import request_images as images
from addons.exchange.fallback import Leg, Turn, profile
from addons.flow_data import client
from addons.ingress import routes
from addons.ingress.routes import Route
from addons.routing import model_selection as selection
from addons.routing import roles
from addons.routing import target as upstream
from addons.routing.account_targets import seated
from addons.routing.model_selection import Choice
from addons.storage import reasoning_memory as continuity
from addons.storage import response_store as store
from translate import BadRequest, Dialect, Way, decode, session_of, triggered

type Json = dict[str, Any]


async def begin(flow: HTTPFlow) -> Turn:
    """Raises BadRequest, NoSeat, Unavailable."""
    try:
        body = decode(flow.request.get_content() or b"")
    except ValueError as error:  # of the content encoding, or of the JSON in it
        raise BadRequest(str(error)) from None
    route, owner = routes.route_of(flow), client(flow)
    previous = None if route is Route.CHAT else body.get("previous_response_id")
    before = await store.before(previous, owner)
    found = await ways(flow, route, body, before or ())
    way = Way(
        provider=found[0].target.provider,
        model=found[0].model,
        id=f"resp_{uuid.uuid4().hex}",
        now=int(time.time()),
        keep=store.keep(owner),
        instructions=config.settings().instructions,
        clock=lambda: int(time.time()),
    )
    if route is Route.CHAT:
        way = replace(way, heard=partial(continuity.keep, body, owner))
        whole = await continuity.restore(body, owner)
        flow.metadata[continuity.RESTORED] = continuity.put_back(body, whole)
        body = whole
    return Turn(route, way, tuple([await leg(choice, body, before) for choice in found]))


async def ways(flow: HTTPFlow, route: Route, body: Json, before: Sequence[Json]) -> list[Choice]:
    """Where it may go, the first one first. Raises BadRequest, NoSeat."""
    role = "compaction" if route is Route.COMPACT else roles.role_of(flow.request, body)
    found = await selection.choices(flow, str(body.get("model")), role)
    if route is Route.COMPACT or triggered(body.get("input")):
        found = await asyncio.gather(*map(fitted, found))
    client: Dialect = "chat" if route is Route.CHAT else "responses"
    asked = {"input": [], **body}  # which a summary is not asked for with
    return await seated(found, lambda: session_of(asked, client, before))


async def leg(choice: Choice, body: Json, before: Sequence[Json] | None) -> Leg:
    provider = profile(choice)
    body, lost = await images.fitted(body, provider)
    history = before and (await images.fitted({"input": before}, provider))[0]["input"]
    return Leg(choice, body, lost, history)


async def fitted(choice: Choice) -> Choice:
    provider = await upstream.fitted(choice.target, choice.model)
    return replace(choice, target=replace(choice.target, provider=provider))
