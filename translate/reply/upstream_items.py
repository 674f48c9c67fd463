"""Open items of a Responses upstream's reply; each writes its events for the client."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from translate.mappings import annotations, reasoning
from translate.mappings.outcome import COMPLETED, Outcome
from translate.providers.profile import Provider
from translate.reply.call_items import CallItems
from translate.reply.event_writer import Event, EventWriter, Item
from translate.reply.text_items import ID_PREFIXES, NEW_ITEMS, REFUSAL, SUMMARY, TEXT, PartType
from translate.tools.kinds import CUSTOM, FUNCTION, KIND_BY_CALL_TYPE
from translate.tools.tool_map import ToolMap
from translate.wire import codec
from translate.wire.errors import BadReply

PARTS_LIMIT = 1_000  # parts of one item
PHASES = ("commentary", "final_answer")  # of a message; the SDK's types have no other
NEAREST_PARTS = 16  # open parts that a final part may complete
REASONING_TEXT = PartType(
    "reasoning", "reasoning_text", "text", "content", "content_index",
    "response.content_part", "response.reasoning_text",
)  # fmt: skip
PART_TYPES = {part.type: part for part in (TEXT, REFUSAL, SUMMARY, REASONING_TEXT)}
ANNOTATION_EVENT = f"{TEXT.text_event}.annotation.added"
# The relay writes these for parts, whatever the upstream sends: the names before the step.
OWN_EVENTS = {part.part_event for part in PART_TYPES.values()} | {f"{TEXT.text_event}.annotation"}
PART_TYPES_BY_EVENT = {part.text_event: part for part in PART_TYPES.values()}
# The event of a delta → the type of the item that it belongs to.
ITEM_TYPES_BY_EVENT = {name: part.item_type for name, part in PART_TYPES_BY_EVENT.items()} | {
    f"response.{kind.stream_event}": kind.call_type for kind in (FUNCTION, CUSTOM)
}


class ReplyContext(NamedTuple):
    """What all items of a reply share."""

    writer: EventWriter
    tools: ToolMap
    provider: Provider
    model: str
    used_ids: set[str]  # the upstream's ids of items that passed unchanged


class UpstreamItem(Protocol):
    """An open item: `add_delta` for its text, `close` with the whole item if it has come."""

    type: str  # the upstream's
    upstream_id: object

    def unknown_event_location(self) -> dict[str, Any]:
        """Where events of an unknown type belong in the client's reply; {} if nowhere."""

    def add_delta(self, event_name: str, text: str, event: Event) -> None: ...

    def close(self, item: Item | None, outcome: Outcome) -> None: ...


def open_upstream_item(context: ReplyContext, item: Item) -> UpstreamItem:
    item_type = str(item.get("type"))
    if item_type == FUNCTION.call_type and not _is_native_call(context.provider, item):
        return FunctionCallItem(context, item)
    return ITEM_CLASSES.get(item_type, OtherItem)(context, item)


def _is_native_call(provider: Provider, item: Item) -> bool:
    return provider.passes_through("namespace" if item.get("namespace") else "function")


@dataclass
class OpenPart:
    """An open part of a message or of reasoning."""

    part_type: PartType
    part_index: int
    pieces: list[str] = field(default_factory=list)
    final: Item | None = None  # the part as the upstream's whole item has it

    @property
    def joined_text(self) -> str:
        return "".join(self.pieces)


class TextItem:
    """A message or a reasoning item. Its parts close when it closes."""

    def __init__(self, context: ReplyContext, item: Item) -> None:
        self.type, self.upstream_id = item["type"], item.get("id")
        self._context = context
        self._writer = context.writer
        new_item = {"type": self.type, **NEW_ITEMS[self.type]}
        if (phase := item.get("phase")) in PHASES:
            new_item["phase"] = phase
        elif phase is not None:
            self._writer.mark_dropped(f"output ({self.type}).phase")
        self._index, self._item = self._writer.open_item(ID_PREFIXES[self.type], new_item)
        self._parts: dict[tuple[str, object], OpenPart] = {}  # by type and the upstream's index
        self._part_counts: Counter[str] = Counter()  # by the item's field

    def unknown_event_location(self) -> dict[str, Any]:
        return {}  # an unknown event may be an annotation, which comes with the whole item

    def add_delta(self, event_name: str, text: str, event: Event) -> None:
        part_type = PART_TYPES_BY_EVENT[event_name]
        index = event.get(part_type.index_field)
        key = (part_type.type, index if isinstance(index, int) else None)
        if key not in self._parts:
            self._parts[key] = self._open_part(part_type)
        logprobs = _logprobs_field(part_type, event.get("logprobs"))
        self._emit_delta(self._parts[key], text, logprobs)

    def close(self, item: Item | None, outcome: Outcome) -> None:
        for name in ("summary", "content"):
            parts = (item or {}).get(name)
            parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
            for part in parts if isinstance(parts, list) else []:
                self._add_final_part(part)
        final_item = {**self._item, **{name: [] for name in self._part_counts}}
        for open_part in self._parts.values():
            final_item[open_part.part_type.list_field].append(self._close_part(open_part))
        if self.type == "reasoning":
            state = {k: v for k, v in (item or final_item).items() if v is not None}
            sealed_state = reasoning.seal_item(state, self._context.provider, self._context.model)
            final_item["encrypted_content"] = sealed_state
        else:
            final_item["status"] = outcome.response_status
        self._writer.finish_item(self._index, final_item)

    def _open_part(self, part_type: PartType) -> OpenPart:
        if len(self._parts) >= PARTS_LIMIT:
            raise BadReply(f"more than {PARTS_LIMIT:,} parts in an item")
        part = OpenPart(part_type, self._part_counts[part_type.list_field])
        self._part_counts[part_type.list_field] += 1
        self._emit_part(part, "added", _empty_part(part_type))
        return part

    def _add_final_part(self, final: Any) -> None:
        """A part of the whole item completes the open part that begins like it, or is new."""
        if isinstance(final, dict) and final.get("type") == "text":  # Chat's name for it
            final = {"annotations": [], **final, "type": TEXT.type}
        part_type = PART_TYPES.get(str(final.get("type"))) if isinstance(final, dict) else None
        text = str(final.get(part_type.text_field) or "") if part_type else ""
        if part_type is None or not text:
            return
        candidates = [
            part for part in self._parts.values() if part.part_type is part_type and not part.final
        ]
        if not candidates:
            candidates = [self._open_part(part_type)]
            self._parts[part_type.type, object()] = candidates[0]
        nearest = islice(candidates, NEAREST_PARTS)  # each is compared with the whole text
        part = next((p for p in nearest if text.startswith(p.joined_text)), candidates[0])
        part.final = final
        sent = part.joined_text
        if rest := text[len(sent) :] if text.startswith(sent) else "":
            self._emit_delta(part, rest, _logprobs_field(part_type))

    def _emit_delta(self, part: OpenPart, text: str, logprobs: dict[str, Any]) -> None:
        part.pieces.append(text)
        event = f"{part.part_type.text_event}.delta"
        self._writer.emit(event, **self._part_location(part), delta=text, **logprobs)

    def _close_part(self, part: OpenPart) -> Item:
        part_type, location = part.part_type, self._part_location(part)
        text = {part_type.text_field: part.joined_text}
        event = f"{part_type.text_event}.done"
        self._writer.emit(event, **location, **text, **_logprobs_field(part_type))
        # what the client has seen stays, even if the whole item has another text
        final_part = {**_empty_part(part_type), **(part.final or {}), "type": part_type.type} | text
        if part_type is TEXT:
            final_part["annotations"] = self._complete_annotations(final_part["annotations"])
            if "logprobs" in final_part:
                final_part |= _logprobs_field(part_type, final_part["logprobs"])
            for number, annotation in enumerate(final_part["annotations"]):
                fields = {"annotation_index": number, "annotation": annotation}
                self._writer.emit(ANNOTATION_EVENT, **location, **fields)
        self._emit_part(part, "done", final_part)
        return final_part

    def _complete_annotations(self, values: Any) -> list[Item]:
        """The annotations that are well-formed; the others are dropped."""
        values = values if isinstance(values, list) else [values] if values else []
        completed = [annotations.complete_annotation(value) for value in values]
        if None in completed:
            self._writer.mark_dropped("annotations")
        return [annotation for annotation in completed if annotation]

    def _emit_part(self, part: OpenPart, step: str, fields: Item) -> None:
        event = f"{part.part_type.part_event}.{step}"
        self._writer.emit(event, **self._part_location(part), part=fields)

    def _part_location(self, part: OpenPart) -> dict[str, Any]:
        return {
            "item_id": self._item["id"],
            "output_index": self._index,
            part.part_type.index_field: part.part_index,
        }


def _empty_part(part_type: PartType) -> Item:
    return {"type": part_type.type, part_type.text_field: "", **part_type.initial_fields}


def _logprobs_field(part_type: PartType, token_logprobs: Any = None) -> dict[str, Any]:
    """The field that an event of text must have, even if the upstream sent no log probabilities."""
    if part_type is not TEXT:
        return {}
    return {"logprobs": annotations.normalize_logprobs(token_logprobs)}


class FunctionCallItem:
    """A function call; as in a Chat reply, the client may know the tool by another type."""

    def __init__(self, context: ReplyContext, item: Item) -> None:
        self.type, self.upstream_id = FUNCTION.call_type, item.get("id")
        self._calls = CallItems(context.tools, context.writer)
        self._sent_pieces: list[str] = []
        self._has_name = False
        self._feed_call_name(item)

    def unknown_event_location(self) -> dict[str, Any]:
        return {}

    def _feed_call_name(self, item: Item) -> None:
        if not self._has_name and isinstance(name := item.get("name"), str) and name:
            namespace = item.get("namespace")
            chat_name = f"{namespace}__{name}" if namespace else name
            self._feed_call({"id": item.get("call_id"), "function": {"name": chat_name}})
            self._has_name = True

    def _feed_call(self, delta: Item) -> None:
        self._calls.feed({"index": 0, **delta})

    def add_delta(self, event_name: str, text: str, event: Event) -> None:
        self._sent_pieces.append(text)
        self._feed_call({"function": {"arguments": text}})

    def close(self, item: Item | None, outcome: Outcome) -> None:
        text = _as_text((item or {}).get("arguments"))
        sent = "".join(self._sent_pieces)
        self._feed_call_name(item or {})
        self._feed_call(
            {"function": {"arguments": text[len(sent) :] if text.startswith(sent) else ""}}
        )
        self._calls.close(outcome)


def _as_text(value: Any) -> str:
    """The text of a call; some servers send it parsed."""
    if isinstance(value, str):
        return value
    return codec.json_text(value) if value else ""


class OtherItem:
    """Any other item, which passes unchanged; only a call gets a unique call id."""

    def __init__(self, context: ReplyContext, item: Item) -> None:
        self.type, self.upstream_id = str(item.get("type")), item.get("id")
        self._writer = context.writer
        self._kind = KIND_BY_CALL_TYPE.get(self.type)
        self._text_field = self._kind.streamed_field if self._kind else None
        self._sent_pieces: list[str] = []
        self._new_ids: Item = {}
        self._item: Item = {}
        item = self._repair_item(item, "in_progress")
        if self._kind:
            id = str(item.get("call_id") or "")
            self._new_ids["call_id"] = self._writer.unique_call_id(id, context.tools.call_ids)
        elif not item.get("id") or item["id"] in context.used_ids:
            self._new_ids["id"] = self._writer.new_id("item")
        context.used_ids.add(str(self.upstream_id))
        if self.type not in NAMED_TYPES or item.get("name"):
            self._open_item(item)

    def _repair_item(self, item: Item, status: str) -> Item:
        """The item without fields of the wrong type, which are dropped.

        `status` replaces one that such an item cannot have.
        """
        wrong = [
            name for name in STRING_FIELDS & item.keys() if not isinstance(item[name], str | None)
        ]
        for name in sorted(wrong):
            self._writer.mark_dropped(f"output ({self.type}).{name}")
        item = {name: value for name, value in item.items() if name not in wrong}
        has_valid_status = (
            item.get("status") in CALL_STATUSES
            if self._kind
            else isinstance(item.get("status"), str | None)
        )
        return item if has_valid_status else {**item, "status": status}

    def _open_item(self, item: Item) -> None:
        """Show the item. The client sees nothing of a call until its name has come."""
        empty = {self._text_field: ""} if self._text_field else {}
        if self._kind:  # not earlier: an id counts the items that the client has seen
            self._new_ids["id"] = self._writer.new_id(self._kind.id_prefix)
        name = {"name": item.get("name") or ""} if self.type in NAMED_TYPES else {}
        fields = {**item, **name, **self._new_ids, **empty}
        self._index, self._item = self._writer.open_item("item", fields)

    @property
    def _item_location(self) -> dict[str, Any]:
        return {"item_id": self._item["id"], "output_index": self._index}

    def unknown_event_location(self) -> dict[str, Any]:
        return {} if self._kind else self._item_location

    def add_delta(self, event_name: str, text: str, event: Event) -> None:
        if self._item:
            self._sent_pieces.append(text)
            self._writer.emit(f"{event_name}.delta", **self._item_location, delta=text)

    def close(self, item: Item | None, outcome: Outcome) -> None:
        if item is None and self._kind and outcome is not COMPLETED:
            return  # the client must never execute half a call
        item = self._repair_item(item or {"type": self.type}, outcome.response_status)
        if not self._item:
            self._open_item(item)
        # what the client has seen stays, even if the whole item differs
        fields = {k: v for k, v in item.items() if k not in IDENTITY_FIELDS}
        final_item = {**self._item, **fields}
        if self._kind and (text_field := self._text_field):
            final_item[text_field] = self._finish_text(_as_text(final_item.get(text_field)))
        self._writer.finish_item(self._index, final_item)

    def _finish_text(self, text: str) -> str:
        """The last events of a call's text; returns the text as the client has it."""
        event_name = f"response.{self._kind.stream_event}" if self._kind else ""
        sent = "".join(self._sent_pieces)
        text = text if text.startswith(sent) else sent
        if rest := text[len(sent) :]:
            self.add_delta(event_name, rest, {})
        self._writer.emit(
            f"{event_name}.done", **self._item_location, **{str(self._text_field): text}
        )
        return text


IDENTITY_FIELDS = frozenset({"id", "type", "call_id", "name", "namespace", "role"})
NAMED_TYPES = frozenset({FUNCTION.call_type, CUSTOM.call_type})
STRING_FIELDS = frozenset({"id", "call_id", "name", "namespace", "role"})
CALL_STATUSES = (None, "in_progress", "completed", "incomplete")
ITEM_CLASSES: dict[str, Callable[[ReplyContext, Item], UpstreamItem]] = {
    "message": TextItem,
    "reasoning": TextItem,
}
