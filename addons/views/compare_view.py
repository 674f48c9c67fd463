"""The view `Both sides`: what the client said and what the provider got, and the way back."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mitmproxy.http import HTTPFlow, Request

from addons.ingress.routes import from_codex
from addons.observe import flow_pair as rows
from addons.views import parameters
from addons.views.base import Seen, View, body_of
from addons.views.entries import groups
from addons.views.entry import FOLDED, Entry
from addons.views.events import Clock, is_stream, pieces
from addons.views.stream_view import Step, steps
from addons.views.text import RULE, WIDTH, begin, beside, wrapped
from addons.views.turn_view import entries_of, replied
from addons.views.usage_line import lost, record
from translate.wire import codec

Json = dict[str, Any]
GONE = "The other row of this exchange is gone."
LINES = 12  # of an entry


class Both(View):
    name = "Both sides"

    def fits(self, body: bytes, seen: Seen) -> float:
        return 10 if rows.LEG in seen.told else -1

    def blocks(self, body: bytes, seen: Seen) -> Iterator[str]:
        client, upstream = seen.sides()
        if client is None or upstream is None:
            yield GONE if rows.LEG in seen.told else "This flow was not relayed."
            return
        names = named(client.request, seen.facts)
        if seen.is_request:
            before, after = (codec.loads(body_of(flow.request)) for flow in (client, upstream))
            yield from requests(before, after, names, seen.facts)
        else:
            yield from replies(side(upstream), side(client), names, seen.facts)


@dataclass(frozen=True)
class Names:
    client: str
    provider: str

    @property
    def labels(self) -> tuple[str, str]:
        width = max(len(self.client), len(self.provider))
        return self.client.ljust(width), self.provider.ljust(width)


def named(request: Request, facts: Json) -> Names:
    return Names(
        "Codex" if from_codex(request.headers) else "client", str(facts.get("provider", "provider"))
    )


# Requests


def requests(before: Json, after: Json, names: Names, facts: Json) -> Iterator[str]:
    """The client's request, and what became of it."""
    yield (
        f"{names.client} asked for {before.get('model')} → {names.provider} got "
        f"{after.get('model')}"
    )
    yield from lost(facts)
    yield ""
    dropped = list(map(str, facts.get("dropped") or ()))
    yield from parameters.table(before, after, dropped)
    yield from parameters.tools(parameters.offered(before), parameters.offered(after))
    for old, new in groups(entries_of(before), entries_of(after)):
        yield group(old, new, names, dropped)


def group(old: list[Entry], new: list[Entry], names: Names, dropped: list[str]) -> str:
    """`━━ Codex 3 · user → deepseek 2 · user, the same words`"""
    ours, theirs = names.labels
    before = ", ".join(entry.head() for entry in old)
    if not new:
        return f"{RULE} {names.client} {before} → nothing{why(old[0], dropped)}\n{shown(ours, old)}"
    after = f"{names.provider} {new[0].head()}"
    if not old:
        return f"{RULE} {after}, added here\n{shown(theirs, new)}"
    head = f"{RULE} {names.client} {before} → {after}"
    if len(old) == 1 and old[0].words == new[0].words:
        return f"{head}, the same words\n{shown('both'.ljust(len(ours)), new)}"
    if all(entry.words in new[0].words for entry in old):
        joined = "joined" if len(old) > 1 else "with more around it"
        return f"{head}, {joined}\n{shown(ours, old)}"
    return f"{head}\n{shown(ours, old)}{shown(theirs, new)}"


def shown(label: str, entries: list[Entry]) -> str:
    texts = (begin(entry.text, FOLDED.get(entry.kind, LINES), 2000) for entry in entries)
    return "".join(f"{beside(label, wrapped(text, WIDTH - len(label)))}\n" for text in texts)


def why(entry: Entry, dropped: list[str]) -> str:
    """The part of the record that speaks of this item."""
    if entry.kind == "tools":
        return ": its tools are declared with the others"
    place = f"input[{entry.at}]", f"messages[{entry.at}]"  # as this client's dialect calls it
    said = [what for what in dropped if what.startswith(place)]
    if said:
        return f": dropped as {', '.join(said)}"
    return "" if entry.words else ": it says nothing"


# Replies


@dataclass(frozen=True)
class Side:
    """A reply as it was or is."""

    body: bytes
    clock: Clock
    status: str


def side(flow: HTTPFlow) -> Side:
    status = f"HTTP {flow.response.status_code}" if flow.response else "no reply"
    ended = f", {flow.error.msg}" if flow.error else ""
    clock = Clock(flow.metadata.get(rows.TIMES))
    return Side(body_of(flow.response), clock, f"{status}{ended}")


def replies(theirs: Side, ours: Side, names: Names, facts: Json) -> Iterator[str]:
    """The provider's reply and what the client got of it, by time where both are streams."""
    yield f"{names.provider}: {theirs.status} → {names.client}: {ours.status}"
    yield from record(facts)
    yield ""
    client, provider = names.labels
    if is_stream(theirs.body) and is_stream(ours.body):
        yield from merged((provider, theirs), (client, ours))
        return
    for name, one in ((names.provider, theirs), (names.client, ours)):
        yield f"{RULE}{RULE} {name}: {one.status}\n"
        yield from alone(one)


def merged(*sides: tuple[str, Side]) -> Iterator[str]:
    """The events of both by time; what is the provider's comes before what we made of it."""
    told = [
        [(step.first or 0, order, number, label, step) for number, step in enumerate(found)]
        for order, (label, found) in enumerate(map(stepped, sides))
    ]
    for _, _, _, label, step in heapq.merge(*told):
        yield f"{label} │ {step.line()}"


def stepped(named: tuple[str, Side]) -> tuple[str, list[Step]]:
    label, one = named
    return label, list(steps(pieces(one.body), one.clock))


def alone(one: Side) -> Iterator[str]:
    try:
        yield from replied(one.body, {})
    except ValueError:  # a gateway's page
        yield one.body.decode("utf-8", "replace") + "\n"
