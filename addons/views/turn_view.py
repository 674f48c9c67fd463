"""The view `Turn`: a request or a reply as the conversation that it is."""

from collections.abc import Iterator
from typing import Any

from addons.views import dialects as items
from addons.views import messages, words
from addons.views import stream_parsing as replies
from addons.views.base import Seen, View
from addons.views.entry import Entry, answered
from addons.views.events import is_stream
from addons.views.text import line, weight, wrapped
from addons.views.tools import listed, offered
from addons.views.usage_line import lost, record, tokens
from translate.wire import codec

Json = dict[str, Any]
SPOKEN = frozenset({"input", "messages", "instructions", "tools", "functions", "model", "stream"})
BOOKS = frozenset({"client_metadata", "prompt_cache_key", "stream_options"})  # nobody's interest


class Turn(View):
    name = "Turn"

    def fits(self, body: bytes, seen: Seen) -> float:
        if is_stream(body):
            return 50
        return 100 if body.lstrip()[:1] in (b"{", b"[") else -1

    def blocks(self, body: bytes, seen: Seen) -> Iterator[str]:
        yield from (asked if seen.is_request else replied)(body, seen.facts)


def asked(body: bytes, facts: Json) -> Iterator[str]:
    """A request of either dialect. Raises ValueError for what is none."""
    request = codec.loads(body)
    if not isinstance(request, dict):
        raise ValueError("it is not a JSON object")
    said = entries_of(request)
    yield wrapped(settings(request))
    if found := list(offered(request)):
        yield wrapped(listed(found))
    yield from lost(facts)
    if said:
        count = f"{len(said)} entr{'y' if len(said) == 1 else 'ies'}"
        last = f"{count}; the last: {said[-1].who}: {line(said[-1].text, 200)}"
        yield wrapped(last)
    yield ""
    for entry in answered(said):
        yield entry.block()


def entries_of(request: Json) -> list[Entry]:
    if "messages" in request:
        return list(messages.entries(request["messages"]))
    said = list(items.entries(request.get("input")))
    if request.get("instructions"):
        said.insert(0, Entry(-1, "system", "instructions", words.said(request["instructions"])))
    return said


def settings(request: Json) -> str:
    """`gpt-5.5 · streams · reasoning.effort high · parallel_tool_calls true`"""
    told = [f"{name} {value}" for name, value in parameters(request)]
    way = "streams" if request.get("stream") else "in one piece"
    return " · ".join([str(request.get("model")), way, *told])


def parameters(request: Json) -> Iterator[tuple[str, str]]:
    """What is asked for beside the conversation, objects by dotted names."""
    for name, value in request.items():
        if name in SPOKEN or name in BOOKS or value in (None, [], {}):
            continue
        if isinstance(value, dict) and name in ("reasoning", "text"):
            yield from ((f"{name}.{key}", brief(inner)) for key, inner in value.items())
        else:
            yield name, brief(value)


def brief(value: Any) -> str:
    text = value if isinstance(value, str) else words.raw(value)
    return line(text, 200) if len(text) <= 2000 else weight(text)


def replied(body: bytes, facts: Json) -> Iterator[str]:
    """A reply of either dialect. Raises ValueError for what is none."""
    reply = replies.whole(body)
    parts = [reply.get("model"), replies.ended(reply), tokens(reply.get("usage"))]
    yield " · ".join(str(part) for part in parts if part)
    yield from record(facts)
    yield ""
    for entry in answered(replies.entries(reply)):
        yield entry.block()
