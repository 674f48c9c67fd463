"""An exchange once more, with today's code and settings: what would go up, what would come down."""

import json
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.exchange.active import whole
from addons.exchange.fallback import Turn
from addons.exchange.prepare import leg
from addons.exchange.resend import DECLINED
from addons.flow_data import client as owner
from addons.ingress.routes import Route
from addons.observe.exchange_record import FACTS
from addons.replay.told import Told, read
from addons.routing import target as upstream
from addons.routing.model_selection import Choice
from addons.routing.target import PATH, Target
from addons.storage import reasoning_memory as continuity
from addons.storage import response_store as store
from translate import BadRequest, Exchange, Kept, Provider, Variant, Way, decode

MOST = 200  # lines of one difference
NEAR = 20  # events after the first that is different


class Cannot(Exception):
    """It cannot be done again as it was; the text says why."""


@dataclass(frozen=True)
class Pair:
    """The two rows of an exchange."""

    client: HTTPFlow
    upstream: HTTPFlow


async def differences(pair: Pair) -> list[str]:
    """What is different today, as unified differences; nothing where nothing is. Raises Cannot."""
    told = Told.of(pair.client.response)
    try:
        made = await again(pair, told)
    except BadRequest as error:
        return [f"today it is refused: {error.message}"]
    return [*sent(pair, made), *replied(pair, told, made)]


async def again(pair: Pair, told: Told) -> Exchange:
    """The exchange as it began. Raises BadRequest, Cannot."""
    facts = pair.client.metadata.get(FACTS)
    if not facts or "learned" not in facts:
        raise Cannot("its flow has no record of it that says enough")
    if any(DECLINED in row.metadata for row in (pair.client, pair.upstream)):
        raise Cannot("its reply is gone, as mitmproxy's replay was tried on it: revert it")
    choice = chosen(pair, facts)
    try:
        body = decode(pair.client.request.get_content() or b"")
    except ValueError as error:
        raise Cannot(f"its request is not whole: {error}") from None
    way = Way(
        provider=choice.target.provider,
        model=choice.model,
        id=told.born.id,
        now=told.born.created_at,
        keep=forget if told.born.stored else None,
        instructions=config.settings().instructions,
        clock=lambda: told.born.completed_at,
    )
    route = Route(pair.client.metadata["relay.route"])
    body = await restored(pair.client, body)
    turn = Turn(route, way, (await leg(choice, body, await history(pair.client, body)),))
    made = turn.exchange()
    if facts["learned"] and facts["learned"] != turn.learned(made):
        raise Cannot(f"{made.provider.title}'s refusals had taught the relay: {facts['learned']}")
    return made


def chosen(pair: Pair, facts: dict[str, Any]) -> Choice:
    """The provider and the model that it was, as the settings have them today. Raises Cannot."""
    name, model = facts["provider"], facts["model"]
    if name not in config.providers():
        raise Cannot(f"there is no provider {name!r} today")
    provider: Provider = upstream.fitting(config.providers()[name]).of(model)
    provider = provider.at(facts["host"]) if facts["host"] else provider
    # The window may have come from the provider's own list.
    provider = provider.model_copy(update={"context_window": facts["context_window"]})
    url = pair.upstream.request.url
    for path in PATH.values():
        url = url.removesuffix(path)
    wanted = facts.get("variant")
    return Choice(Target(provider, url, None), model, Variant(**wanted) if wanted else None)


async def restored(client: HTTPFlow, body: dict[str, Any]) -> dict[str, Any]:
    """The body with the reasoning that its client had left out. Raises Cannot."""
    then = client.metadata.get(continuity.RESTORED)
    if not then:
        return body
    whole = await continuity.restore(body, owner(client))
    if continuity.put_back(body, whole) != then:
        raise Cannot("it had reasoning put back that is not remembered as it was")
    return whole


async def history(client: HTTPFlow, body: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The items before a request that continues a kept response. Raises Cannot."""
    if not (previous := body.get("previous_response_id")):
        return None
    try:
        found = await store.before(previous, owner(client))
    except (BadRequest, store.Unavailable) as error:
        raise Cannot(f"it continues a kept response: {error}") from None
    if found is None:
        raise Cannot("it continues a kept response, and none are kept today")
    return found


def forget(kept: Kept) -> None:
    """It has been kept when it came."""


def sent(pair: Pair, made: Exchange) -> list[str]:
    """What would go up today, against what did."""
    then, now = pair.upstream.request.get_content(strict=False) or b"", made.body
    return unified("sent", [decode(then)], [decode(now)]) if then != now else []


def replied(pair: Pair, told: Told, made: Exchange) -> list[str]:
    """What would come down today for the provider's reply, against what did. Raises Cannot."""
    if pair.client.response is None or pair.client.live:
        return []
    now = read(down(pair, told, made))
    if pair.client.error and not told.ended:  # the client had left
        now = now[: len(told.values)]
    return unified("replied", told.values, now)


def down(pair: Pair, told: Told, made: Exchange) -> bytes:
    """The bytes for the client. Raises Cannot."""
    reply, error = pair.upstream.response, pair.client.error
    if reply is None or (error and not (made.streaming and reply.status_code == 200)):
        lost = made.unreachable(error.msg if error else "it ended")
        return lost.event if told.streamed else lost.body
    try:
        content = reply.get_content() or b""
    except ValueError as wrong:
        raise Cannot(f"the provider's reply was packed, and is not whole: {wrong}") from None
    if made.streaming and reply.status_code == 200:
        return made.feed(content) + (made.cut(error.msg) if error else made.feed(b""))
    answer = whole(made, reply)
    return answer.event if told.streamed else answer.body


def unified(what: str, then: list[Any], now: list[Any]) -> list[str]:
    """A unified difference of JSON values, printed; nothing where they are the same."""
    pairs = zip(map(pretty, then), map(pretty, now), strict=False)
    same = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    if same is None and len(then) == len(now):
        return []
    start = min(len(then), len(now)) if same is None else same
    before, after = (lines(values[start : start + NEAR]) for values in (then, now))
    place = f" from event {start}" if start else ""
    names = f"{what} then{place}", f"{what} today{place}"
    found = list(unified_diff(before, after, *names, lineterm=""))
    more = len(found) - MOST
    return [*found[:MOST], *([f"… {more} more lines"] if more > 0 else [])]


def lines(values: list[Any]) -> list[str]:
    return [line for value in values for line in pretty(value).splitlines()]


def pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
