"""One turn of a client: the ways that it may take, and what comes after a refusal."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mitmproxy.http import Response

from addons.ingress.routes import Route
from addons.routing.model_selection import Choice
from translate import Exchange, Provider, Way, compact, decode, exchange, learn, told

# A provider that says so does not serve this model or this person; another one may.
ELSEWHERE = frozenset({401, 402, 403, 404, 408, 429})
KEPT = 256  # lessons, and complaints
LOUD = re.compile(r"tools\[[^\]]*\]$|input(?= \()")  # of what is dropped: whole tools, cut input

type Json = dict[str, Any]

# What differs from one request to the next: the model's own window, the account that serves.
PASSING = {"context_window": 0, "host": "", "models": {}}

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
        way = replace(way, lost=leg.lost, history=leg.history, variant=choice.variant)
        if way.provider.reasoning_back == "never":  # what is thought there, nobody wants again
            way = replace(way, heard=None)
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

    def release(self) -> None:
        """The turn is over: places that it had at accounts are free."""
        for leg in self.legs:
            if seat := leg.choice.target.seat:
                seat.end()


def profile(choice: Choice) -> Provider:
    """The provider as it is for this model, with what its refusals have taught."""
    provider = choice.target.provider.of(choice.model)
    before, after = _learned.get((choice.target.url, choice.model), (None, provider))
    if before != plain(provider):
        return provider
    return after.model_copy(update={name: getattr(provider, name) for name in PASSING})


def plain(provider: Provider) -> Provider:
    """Without what differs from one request to the next."""
    return provider.model_copy(update=PASSING)


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
