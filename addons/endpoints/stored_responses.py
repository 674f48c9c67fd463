"""Kept responses by their id, as OpenAI shows, lists and deletes them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.flow_data import client
from addons.ingress import routes
from addons.ingress.local_reply import answer_json, refuse
from addons.ingress.routes import Route
from addons.storage import response_store as store
from addons.transport import relay_stream as transport
from translate import BadRequest, Kept, listed


class Stored:
    async def request(self, flow: HTTPFlow) -> None:
        reply = ANSWERS.get(routes.route_of(flow))
        if flow.response or reply is None or not flow.live:
            return
        id, keeper = routes.id_of(flow), store.keeper()
        try:
            if keeper and (kept := await keeper.find(id, client(flow))):
                await reply(flow, keeper, kept)
            elif transport.own(flow) or config.settings().client_key:  # which is no key of OpenAI's
                off = "" if keeper else " relay_store is off."
                refuse(flow, 404, f"Response with id {id!r} not found.{off}")
            else:  # one of OpenAI's own, perhaps
                routes.give_back(flow)
        except BadRequest as error:
            refuse(flow, 400, error.message, error.code, error.param)
        except store.Unavailable as error:
            refuse(flow, 503, str(error), "store_unavailable")


async def retrieve(flow: HTTPFlow, keeper: store.Keeper, kept: Kept) -> None:
    if flow.request.query.get("stream", "").lower() == "true":
        why = "stream: a kept response has ended, and is not streamed again"
        raise BadRequest(why, param="stream")
    answer_json(flow, kept.response)


async def delete(flow: HTTPFlow, keeper: store.Keeper, kept: Kept) -> None:
    await keeper.remove(kept.id, client(flow))
    answer_json(flow, {"id": kept.id, "object": "response", "deleted": True})


async def items(flow: HTTPFlow, keeper: store.Keeper, kept: Kept) -> None:
    answer_json(flow, page(listed(kept), flow.request.query))


async def cancel(flow: HTTPFlow, keeper: store.Keeper, kept: Kept) -> None:
    raise BadRequest("Only a response with background=true can be cancelled, and none is run here.")


ANSWERS: dict[Route, Callable[[HTTPFlow, store.Keeper, Kept], Awaitable[None]]] = {
    Route.RETRIEVE: retrieve,
    Route.DELETE: delete,
    Route.ITEMS: items,
    Route.CANCEL: cancel,
}


def page(items: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of a list. Raises BadRequest."""
    order, limit, after = query.get("order", "desc"), query.get("limit", "20"), query.get("after")
    if order not in ("asc", "desc"):
        raise BadRequest("order: must be asc or desc", param="order")
    if not limit.isdecimal() or not 1 <= int(limit) <= 100:
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
