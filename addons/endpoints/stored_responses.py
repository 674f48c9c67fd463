"""Stored responses by their id: retrieve, delete, cancel, list their input, as in OpenAI's API."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.config import current_settings
from addons.endpoints.codex_calls import answer_isolated
from addons.flow_data import client_name, is_own_port
from addons.ingress import (
    Route,
    answer_json,
    is_admin,
    leave_to_openai,
    path_id,
    refuse_flow,
    route_of,
)
from addons.storage import ResponseWriter, response_writer
from translate import BadRequest, StoredResponse, list_input_items


@dataclass(frozen=True)
class LocatedResponse:
    """A stored response, with the writer that can remove it, and its owner."""

    response_writer: ResponseWriter
    stored: StoredResponse
    owner: str  # the name of a client key


def with_stored_response(
    handler: Callable[[HTTPFlow, LocatedResponse], Awaitable[None]],
) -> Callable[[HTTPFlow], Awaitable[None]]:
    """The handler, called with the response that the path names; an unknown id gets a 404, or
    goes to OpenAI."""

    async def answer_stored(flow: HTTPFlow) -> None:
        response_id, writer = path_id(flow), response_writer()
        located = await locate_response(writer, response_id, visible_owners(flow))
        if located:
            await handler(flow, located)
        elif is_own_port(flow) or current_settings().client_key:  # a key that OpenAI must not get
            reason = "" if writer else " relay_store is off."
            refuse_flow(flow, 404, f"Response with id {response_id!r} not found.{reason}")
        else:  # OpenAI may have stored it
            leave_to_openai(flow)
            if route_of(flow) is Route.ISOLATED:
                await answer_isolated(flow)

    return answer_stored


def visible_owners(flow: HTTPFlow) -> list[str]:
    """The owners whose responses this client sees: itself, and for the admin everybody."""
    name = client_name(flow)
    if not is_admin(flow):
        return [name]
    return list(dict.fromkeys([name, "", *(key.name for key in current_settings().client_key)]))


async def locate_response(
    writer: ResponseWriter | None, response_id: str, owners: list[str]
) -> LocatedResponse | None:
    """The response of the first of these owners that has one with this id."""
    if writer is None:
        return None
    for owner in owners:
        if stored := await writer.find_response(response_id, owner):
            return LocatedResponse(writer, stored, owner)
    return None


@with_stored_response
async def answer_retrieve(flow: HTTPFlow, located: LocatedResponse) -> None:
    if flow.request.query.get("stream", "").lower() == "true":
        message = "stream: a stored response has ended, and is not streamed again"
        raise BadRequest(message, param="stream")
    answer_json(flow, located.stored.response)


@with_stored_response
async def answer_delete(flow: HTTPFlow, located: LocatedResponse) -> None:
    await located.response_writer.remove_response(located.stored.id, located.owner)
    answer_json(flow, {"id": located.stored.id, "object": "response", "deleted": True})


@with_stored_response
async def answer_input_items(flow: HTTPFlow, located: LocatedResponse) -> None:
    answer_json(flow, page_of_items(list_input_items(located.stored), flow.request.query))


@with_stored_response
async def answer_cancel(flow: HTTPFlow, located: LocatedResponse) -> None:
    raise BadRequest("Only a response with background=true can be cancelled; the relay has none.")


def page_of_items(items: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of the items, by the query's `order`, `limit` and `after`. Raises BadRequest."""
    order, limit, after = query.get("order", "desc"), query.get("limit", "20"), query.get("after")
    if order not in ("asc", "desc"):
        raise BadRequest("order: must be asc or desc", param="order")
    if not re.fullmatch("[0-9]{1,3}", limit) or not 1 <= int(limit) <= 100:
        raise BadRequest("limit: must be a number from 1 to 100", param="limit")
    items = items if order == "asc" else items[::-1]
    if after:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise BadRequest(f"after: no item {after!r} in this list", param="after")
        items = items[ids.index(after) + 1 :]
    data = items[: int(limit)]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(items) > len(data),
    }
