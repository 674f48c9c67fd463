"""Text and reasoning as the items of a reply, and the Responses events that they make.

One text item is open at a time. Calls may be open beside it, and beside each other (call_items.py).
"""

from dataclasses import dataclass, field
from typing import Any

from translate.mappings import annotations, reasoning
from translate.mappings.outcome import COMPLETED, Outcome
from translate.providers.profile import Provider
from translate.reply.event_writer import EventWriter, Item
from translate.wire import codec


@dataclass(frozen=True)
class PartType:
    """A type of streamed text: where it belongs in an item, and the names of its events."""

    item_type: str
    type: str
    text_field: str  # of the part
    list_field: str  # of the item: where its parts are
    index_field: str  # of the events
    part_event: str
    text_event: str
    initial_fields: dict[str, Any] = field(default_factory=dict)  # beside the text


TEXT = PartType(
    "message", "output_text", "text", "content", "content_index",
    "response.content_part", "response.output_text", {"annotations": []},
)  # fmt: skip
REFUSAL = PartType(
    "message", "refusal", "refusal", "content", "content_index",
    "response.content_part", "response.refusal",
)  # fmt: skip
SUMMARY = PartType(
    "reasoning", "summary_text", "text", "summary", "summary_index",
    "response.reasoning_summary_part", "response.reasoning_summary_text",
)  # fmt: skip

ID_PREFIXES = {"message": "msg", "reasoning": "rs"}
NEW_ITEMS: dict[str, Item] = {
    "message": {"status": "in_progress", "role": "assistant", "content": []},
    "reasoning": {"summary": []},
}


PART_LISTS = {"message": TEXT.list_field, "reasoning": SUMMARY.list_field}


@dataclass
class OpenTextItem:
    """An open message or reasoning item, and its open part."""

    output_index: int
    item: Item
    parts: list[Item] = field(default_factory=list)  # those that are closed
    part_type: PartType | None = None  # of the open part
    pieces: list[str] = field(default_factory=list)
    logprobs: list[Item] = field(default_factory=list)
    reasoning_fields: dict[str, Any] = field(default_factory=dict)  # the provider's fields

    @property
    def part_location(self) -> dict[str, Any]:
        """The fields of an event that say where the open part belongs."""
        part_type = self.part_type or TEXT
        return {
            "item_id": self.item["id"],
            "output_index": self.output_index,
            part_type.index_field: len(self.parts),
        }


class TextItems:
    """`add_text` and `add_reasoning`; `close` when a call begins or the reply has ended."""

    def __init__(self, writer: EventWriter, provider: Provider, model: str) -> None:
        self._writer = writer
        self._provider = provider
        self._model = model
        self._current: OpenTextItem | None = None
        self._text_length = 0  # characters in closed text parts
        self._source_keys: set[str] = set()  # of all sources so far
        self.next_logprobs: list[Item] = []  # of the text that comes next
        self.sources: list[Item] = []  # of the open text, or of the text that comes next

    def add_text(self, part_type: PartType, text: str) -> None:
        if not text:
            return
        item = self._open_item(part_type.item_type)
        if item.part_type is not part_type:
            self._close_part(item)
            item.part_type = part_type
            fields = {part_type.text_field: "", **part_type.initial_fields}
            self._emit_part(item, part_type, "added", fields)
        item.pieces.append(text)
        logprobs = {"logprobs": self._take_logprobs(item)} if part_type is TEXT else {}
        self._writer.emit(
            f"{part_type.text_event}.delta", **item.part_location, delta=text, **logprobs
        )

    def add_reasoning(self, fields: dict[str, Any]) -> None:
        """`fields`: as the provider names them."""
        if fields:
            reasoning.merge_fields(self._open_item("reasoning").reasoning_fields, fields)
            self.add_text(SUMMARY, reasoning.readable_text(fields))

    def add_sources(self, sources: list[Item]) -> None:
        """Citations; some providers repeat all of them in every chunk."""
        for source in sources:
            if (key := codec.json_text(source)) not in self._source_keys:
                self._source_keys.add(key)
                self.sources.append(source)

    def close(self, outcome: Outcome = COMPLETED) -> None:
        if item := self._current:
            self._close_part(item)
            fields: Item = {"status": outcome.response_status}
            if item.item["type"] == "reasoning":
                fields = reasoning.join_fields(item.reasoning_fields)
                sealed_state = reasoning.seal_fields(fields, self._provider, self._model)
                fields = {"encrypted_content": sealed_state}
            parts = {PART_LISTS[item.item["type"]]: item.parts}
            self._writer.finish_item(item.output_index, {**item.item, **parts, **fields})
            self._current = None

    def _take_logprobs(self, item: OpenTextItem) -> list[Item]:
        logprobs, self.next_logprobs = self.next_logprobs, []
        item.logprobs += logprobs
        return logprobs

    def _open_item(self, type: str) -> OpenTextItem:
        """The open item if it has this type, else a new one."""
        if self._current is None or self._current.item["type"] != type:
            self.close()
            item = {"type": type, **NEW_ITEMS[type]}
            self._current = OpenTextItem(*self._writer.open_item(ID_PREFIXES[type], item))
        return self._current

    def _emit_part(self, item: OpenTextItem, part_type: PartType, step: str, fields: Item) -> Item:
        """`step`: "added" or "done". Returns the part."""
        part = {"type": part_type.type, **fields}
        self._writer.emit(f"{part_type.part_event}.{step}", **item.part_location, part=part)
        return part

    def _close_part(self, item: OpenTextItem) -> None:
        if part_type := item.part_type:
            text: Item = {part_type.text_field: "".join(item.pieces)}
            event_fields: Item = dict(text)
            part_fields: Item = {}
            if part_type is TEXT:
                part_fields = {"annotations": self._emit_annotations(item, text["text"])}
                event_fields["logprobs"] = item.logprobs
                if item.logprobs:
                    part_fields["logprobs"] = item.logprobs
            self._writer.emit(f"{part_type.text_event}.done", **item.part_location, **event_fields)
            part = self._emit_part(item, part_type, "done", {**text, **part_fields})
            item.parts.append(part)
            item.part_type, item.pieces, item.logprobs = None, [], []

    def _emit_annotations(self, item: OpenTextItem, text: str) -> list[Item]:
        """Emit the sources as annotations of a text that is complete; returns them."""
        sources, self.sources = self.sources, []
        text_annotations = [
            annotations.annotation_to_responses(source, self._text_length, len(text))
            for source in sources
        ]
        for number, annotation in enumerate(text_annotations):
            event = "response.output_text.annotation.added"
            fields = {"annotation_index": number, "annotation": annotation}
            self._writer.emit(event, **item.part_location, **fields)
        self._text_length += len(text)
        return text_annotations
