"""One turn of a client: its request, where that may go, and what comes after a refusal."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mitmproxy.http import HTTPFlow, Response

from addons import images, roles, routes, selection, store, upstream
from addons.routes import Route
from addons.selection import Choice
from translate import (
    BadRequest,
    Exchange,
    Provider,
    Way,
    compact,
    decode,
    exchange,
    learn,
    told,
    triggered,
)

# A provider that says so does not serve this model or this person; another one may.
ELSEWHERE = frozenset({401, 402, 403, 404, 408, 429})
KEPT = 256  # lessons, and complaints
LOUD = re.compile(r"tools\[[^\]]*\]$|input(?= \()")  # of what is dropped: whole tools, cut input

type Json = dict[str, Any]

# How a request is carried over: by its route, which tells the client's dialect.
EXCHANGES: dict[Route, Callable[..., Exchange]] = {
    Route.RELAY: partial(exchange, client="responses"),
    Route.COMPACT: partial(compact, client="responses"),
    Route.CHAT: partial(exchange, client="chat"),
}

# By URL and model: the profile that it was learned from, and the better one.
_learned: dict[tuple[str, str], tuple[Provider, Provider]] = {}
_told: set[tuple[str, str, str]] = set()  # provider, model, what it did not get


@dataclass(frozen=True)
class Leg:
    """One way that a turn may take."""

    choice: Choice
    body: Json  # with its pictures as this provider takes them
    lost: list[str]
    history: Sequence[Json] | None


@dataclass(frozen=True)
class Turn:
    route: Route
    way: Way
    legs: tuple[Leg, ...]  # the first one now, the others if it fails
    mended: bool = False  # once, and no more: a later lesson is for the next turn
    notes: tuple[str, ...] = ()  # what the flow's comment says of earlier requests

    @property
    def choice(self) -> Choice:
        return self.legs[0].choice

    def exchange(self) -> Exchange:
        """Raises BadRequest."""
        choice, leg = self.choice, self.legs[0]
        way = replace(self.way, provider=profile(choice), model=choice.model)
        way = replace(way, lost=leg.lost, history=leg.history)
        return EXCHANGES[self.route](leg.body, way=way)

    def learned(self, made: Exchange) -> str:
        """What refusals have taught of the provider, in words."""
        return told(self.choice.target.provider.of(self.choice.model), made.provider)

    def after(self, made: Exchange, reply: Response | None) -> "Turn | None":
        """What to send after this reply, or after none came; None: it must be told as it is."""
        title = self.choice.target.provider.title
        if reply and (lesson := lesson_of(made, reply, self.choice)):
            notes = (*self.notes, f"learned: {lesson}")
            return None if self.mended else replace(self, mended=True, notes=notes)
        if not self.legs[1:] or (reply and not fails_here(reply.status_code)):
            return None
        why = reply.status_code if reply else "no answer"
        notes = (*self.notes, f"after {title} ({why})")
        return replace(self, legs=self.legs[1:], notes=notes, mended=False)


async def begin(flow: HTTPFlow) -> Turn:
    """Raises BadRequest."""
    try:
        body = decode(flow.request.get_content() or b"")
    except ValueError as error:  # of the content encoding, or of the JSON in it
        raise BadRequest(str(error)) from None
    route = routes.route_of(flow)
    role = "compaction" if route is Route.COMPACT else roles.role_of(flow.request, body)
    found = await selection.choices(flow, str(body.get("model")), role)
    if route is Route.COMPACT or triggered(body.get("input")):
        found = await asyncio.gather(*map(fitted, found))
    before = await store.before(body.get("previous_response_id"))
    way = Way(
        provider=found[0].target.provider,
        model=found[0].model,
        id=f"resp_{uuid.uuid4().hex}",
        now=int(time.time()),
        keep=store.keep(),
        clock=lambda: int(time.time()),
    )
    return Turn(route, way, tuple([await leg(choice, body, before) for choice in found]))


async def leg(choice: Choice, body: Json, before: Sequence[Json] | None) -> Leg:
    provider = profile(choice)
    body, lost = await images.fitted(body, provider)
    history = before and (await images.fitted({"input": before}, provider))[0]["input"]
    return Leg(choice, body, lost, history)


async def fitted(choice: Choice) -> Choice:
    provider = await upstream.fitted(choice.target, choice.model)
    return replace(choice, target=replace(choice.target, provider=provider))


def profile(choice: Choice) -> Provider:
    """The provider as it is for this model, with what its refusals have taught."""
    provider = choice.target.provider.of(choice.model)
    before, after = _learned.get((choice.target.url, choice.model), (None, provider))
    if before != plain(provider):
        return provider
    return after.model_copy(update={"context_window": provider.context_window})


def plain(provider: Provider) -> Provider:
    """Without what differs from one request to the next."""
    return provider.model_copy(update={"context_window": 0})


def lesson_of(made: Exchange, reply: Response, choice: Choice) -> str:
    """What this reply teaches of the provider, which is remembered; "" for nothing."""
    content = reply.get_content(strict=False) or b""
    after = learn(made.provider, reply.status_code, content, decode(made.body))
    if after is None:
        return ""
    before = plain(choice.target.provider.of(choice.model))
    _learned[choice.target.url, choice.model] = before, after
    while len(_learned) > KEPT:
        del _learned[next(iter(_learned))]
    lesson = told(made.provider, after)
    logging.warning(f"{made.provider.title} refused a request for {choice.model}: now {lesson}")
    return lesson


def fails_here(status: int) -> bool:
    return status in ELSEWHERE or status >= 500


def complain(made: Exchange) -> None:
    """Say in the log what a model has to do without and a user would miss; each thing once."""
    for lost in made.dropped:
        if found := LOUD.match(lost):
            complaint = (made.provider.identity, made.model, found[0])
            if complaint not in _told:
                logging.warning(f"{made.provider.title} ({made.model}) did not get {lost}")
            if len(_told) >= KEPT:
                _told.clear()
            _told.add(complaint)
