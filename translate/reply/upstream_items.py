"""The items of a Responses upstream's reply while they grow, each with the events that it makes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from translate.mappings import reasoning
from translate.mappings.outcome import COMPLETED, Outcome
from translate.providers.profile import Provider
from translate.reply.call_items import Calls
from translate.reply.event_writer import Event, Events, Item
from translate.reply.text_items import NEW, PREFIX, REFUSAL, SUMMARY, TEXT, Part
from translate.tools.kinds import BY_CALL, CUSTOM, FUNCTION
from translate.tools.tool_map import ToolMap
from translate.wire import codec

THOUGHT = Part(
    "reasoning", "reasoning_text", "text", "content", "content_index",
    "response.content_part", "response.reasoning_text",
)  # fmt: skip
PARTS = {part.type: part for part in (TEXT, REFUSAL, SUMMARY, THOUGHT)}
ANNOTATION = f"{TEXT.text_event}.annotation.added"
STREAMS = {part.text_event: part for part in PARTS.values()}
# The type of the item that a delta belongs to.
OPENING = {name: part.item for name, part in STREAMS.items()} | {
    f"response.{kind.event}": kind.call_type for kind in (FUNCTION, CUSTOM)
}


class Upstream(NamedTuple):
    """What every item of a reply needs to know."""

    events: Events
    tools: ToolMap
    provider: Provider
    model: str
    seen: set[str]  # ids of items that pass with their own

    def unique(self, given: object) -> str:
        """A call id of its own: Codex matches outputs by it."""
        taken = self.tools.ids
        unique = str(given or "") or self.events.id("call")
        while unique in taken:
            unique = f"{self.events.id(str(given or 'call'))}_{len(taken)}"
        taken.add(unique)
        return unique


class Growing(Protocol):
    """An open item: `grow` by the text of a delta, `close` with the whole item if it is known."""

    type: str  # the upstream's, and its id
    given: object

    def place(self, event: Event) -> dict[str, Any]:
        """Where an event that nobody here knows belongs in the reply; {} for nowhere."""

    def grow(self, name: str, text: str, event: Event) -> None: ...

    def close(self, item: Item | None, end: Outcome) -> None: ...


def growing(upstream: Upstream, item: Item) -> Growing:
    """A new item, opened."""
    kind = str(item.get("type"))
    if kind == FUNCTION.call_type and not _native(upstream.provider, item):
        return Called(upstream, item)
    return FORMS.get(kind, Whole)(upstream, item)


def _native(provider: Provider, item: Item) -> bool:
    scope = "namespace" if item.get("namespace") else "function"
    return provider.native(scope)


@dataclass
class Text:
    """A growing part of a message or of reasoning."""

    part: Part
    number: int
    pieces: list[str] = field(default_factory=list)
    whole: Item | None = None  # as the upstream has it in the end

    @property
    def sum(self) -> str:
        return "".join(self.pieces)


class Speech:
    """A message or a reasoning item. Its parts end with it."""

    def __init__(self, upstream: Upstream, item: Item) -> None:
        self.type, self.given = item["type"], item.get("id")
        self._upstream = upstream
        self._events = upstream.events
        phase = {"phase": item["phase"]} if item.get("phase") else {}
        opening = {"type": self.type, **NEW[self.type], **phase}
        self._index, self._item = self._events.open(PREFIX[self.type], opening)
        self._texts: dict[tuple[str, object], Text] = {}

    @property
    def at(self) -> dict[str, Any]:
        return {"item_id": self._item["id"], "output_index": self._index}

    def place(self, event: Event) -> dict[str, Any]:
        return {}  # of annotations the whole item tells

    def grow(self, name: str, text: str, event: Event) -> None:
        part = STREAMS[name]
        key = (part.type, event.get(part.index))
        if key not in self._texts:
            self._texts[key] = self._begun(part)
        logprobs = {"logprobs": event.get("logprobs") or []} if part is TEXT else {}
        self._say(self._texts[key], text, logprobs)

    def close(self, item: Item | None, end: Outcome) -> None:
        for name in ("summary", "content"):
            parts = (item or {}).get(name)
            parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
            for part in parts if isinstance(parts, list) else []:
                self._told(part)
        made = {**self._item}
        for text in self._texts.values():
            made[text.part.parts] = [*made.get(text.part.parts, []), self._done(text)]
        if self.type == "reasoning":
            state = {k: v for k, v in (item or made).items() if v is not None}
            sealed = reasoning.sealed_item(state, self._upstream.provider, self._upstream.model)
            made["encrypted_content"] = sealed
        else:
            made["status"] = end.status
        self._events.finish(self._index, made)

    def _begun(self, part: Part) -> Text:
        number = sum(text.part.parts == part.parts for text in self._texts.values())
        text = Text(part, number)
        self._part(text, "added", _empty(part))
        return text

    def _told(self, whole: Any) -> None:
        """A part of the whole item: the text that has grown to it, or one never heard of."""
        if isinstance(whole, dict) and whole.get("type") == "text":  # Chat's name for it
            whole = {"annotations": [], **whole, "type": TEXT.type}
        part = PARTS.get(str(whole.get("type"))) if isinstance(whole, dict) else None
        said = str(whole.get(part.text) or "") if part else ""
        if part is None or not said:
            return
        grown = [t for t in self._texts.values() if t.part is part and t.whole is None]
        fitting = [text for text in grown if said.startswith(text.sum)]
        if not grown:
            self._texts[part.type, object()] = self._begun(part)
            grown = [*self._texts.values()][-1:]
        text = (fitting or grown)[0]
        text.whole = whole
        if rest := said[len(text.sum) :] if said.startswith(text.sum) else "":
            self._say(text, rest, _unmeasured(part))

    def _say(self, text: Text, piece: str, logprobs: dict[str, Any]) -> None:
        text.pieces.append(piece)
        where = {**self.at, text.part.index: text.number}
        self._events.emit(f"{text.part.text_event}.delta", **where, delta=piece, **logprobs)

    def _done(self, text: Text) -> Item:
        part, said = text.part, text.sum
        where = {**self.at, part.index: text.number}
        self._events.emit(
            f"{part.text_event}.done", **where, **{part.text: said}, **_unmeasured(part)
        )
        # what the client saw stays, also where the upstream says it otherwise in the end
        made = {**_empty(part), **(text.whole or {}), "type": part.type, part.text: said}
        sources = made.get("annotations")
        for number, one in enumerate(sources if isinstance(sources, list) else []):
            self._events.emit(ANNOTATION, **where, annotation_index=number, annotation=one)
        self._part(text, "done", made)
        return made

    def _part(self, text: Text, step: str, made: Item) -> None:
        where = {**self.at, text.part.index: text.number}
        self._events.emit(f"{text.part.part_event}.{step}", **where, part=made)


def _empty(part: Part) -> Item:
    return {"type": part.type, part.text: "", **part.beside}


def _unmeasured(part: Part) -> dict[str, Any]:
    """Log probabilities where the upstream tells none."""
    return {"logprobs": []} if part is TEXT else {}


class Called:
    """A function call, perhaps of a tool that is none with the client: as in a Chat reply."""

    def __init__(self, upstream: Upstream, item: Item) -> None:
        self.type, self.given = FUNCTION.call_type, item.get("id")
        self._calls = Calls(upstream.tools, upstream.events)
        self._sent: list[str] = []
        self._named = False
        self._name(item)

    def place(self, event: Event) -> dict[str, Any]:
        return {}

    def _name(self, item: Item) -> None:
        if not self._named and isinstance(name := item.get("name"), str) and name:
            scope = item.get("namespace")
            whole = f"{scope}__{name}" if scope else name
            self._feed({"id": item.get("call_id"), "function": {"name": whole}})
            self._named = True

    def _feed(self, delta: Item) -> None:
        self._calls.feed({"index": 0, **delta})

    def grow(self, name: str, text: str, event: Event) -> None:
        self._sent.append(text)
        self._feed({"function": {"arguments": text}})

    def close(self, item: Item | None, end: Outcome) -> None:
        whole = (item or {}).get("arguments")
        text = whole if isinstance(whole, str) else codec.text(whole) if whole else ""
        sent = "".join(self._sent)
        self._name(item or {})
        self._feed({"function": {"arguments": text[len(sent) :] if text.startswith(sent) else ""}})
        self._calls.close(end)


class Whole:
    """Any other item: as it is, under a call id of its own."""

    def __init__(self, upstream: Upstream, item: Item) -> None:
        self.type, self.given = str(item.get("type")), item.get("id")
        self._events = upstream.events
        self._kind = BY_CALL.get(self.type)
        self._live = self._kind.live if self._kind else None
        self._sent = ""
        self._ours: Item = {}
        self._item: Item = {}
        if self._kind:
            self._ours["call_id"] = upstream.unique(item.get("call_id"))
        elif not isinstance(self.given, str) or self.given in upstream.seen:
            self._ours["id"] = self._events.id("item")
        upstream.seen.add(str(self.given))
        if self.type not in NAMELESS or item.get("name"):
            self._begin(item)

    def _begin(self, item: Item) -> None:
        """Show it; nothing of a call is shown before its name is known."""
        empty = {self._live: ""} if self._live else {}
        if self._kind:  # not before, as ids are those of the items that are shown
            self._ours["id"] = self._events.id(self._kind.id_prefix)
        self._index, self._item = self._events.open("item", {**item, **self._ours, **empty})

    @property
    def at(self) -> dict[str, Any]:
        return {"item_id": self._item["id"], "output_index": self._index}

    def place(self, event: Event) -> dict[str, Any]:
        return {} if self._kind else self.at

    def grow(self, name: str, text: str, event: Event) -> None:
        if self._item:
            self._sent += text
            self._events.emit(f"{name}.delta", **self.at, delta=text)

    def close(self, item: Item | None, end: Outcome) -> None:
        if item is None and self._kind and end is not COMPLETED:
            return  # half a call must never be executed
        if not self._item:
            self._begin(item or {"type": self.type})
        # what the client saw stays, also where the upstream says it otherwise in the end
        said = {name: self._item[name] for name in IDENTITY if name in self._item}
        more = {name: value for name, value in (item or {}).items() if name not in IDENTITY}
        made = {**self._item, **more, **said}
        if self._kind and (live := self._live):
            name, whole = f"response.{self._kind.event}", str(made.get(live) or "")
            if not whole.startswith(self._sent):
                whole = self._sent
            if rest := whole[len(self._sent) :]:
                self.grow(name, rest, {})
            made[live] = whole
            self._events.emit(f"{name}.done", **self.at, **{live: whole})
        self._events.finish(self._index, made)


IDENTITY = ("id", "type", "call_id", "name", "namespace", "role")
NAMELESS = frozenset({FUNCTION.call_type, CUSTOM.call_type})  # are nothing without a name
FORMS: dict[str, Callable[[Upstream, Item], Growing]] = {"message": Speech, "reasoning": Speech}
