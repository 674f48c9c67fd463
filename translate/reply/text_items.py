"""Text and thinking as the items of a reply, and the Responses events that they make.

One item is open at a time; calls, which calls.py sees to, stay open beside each other.
"""

from dataclasses import dataclass, field
from typing import Any

from translate.mappings import annotations as citations
from translate.mappings import reasoning
from translate.mappings.outcome import COMPLETED, Outcome
from translate.providers.profile import Provider
from translate.reply.event_writer import Events, Item


@dataclass(frozen=True)
class Part:
    """A kind of streamed text: its place in an item, and the names of its events."""

    item: str
    type: str
    text: str  # the field
    parts: str
    index: str
    part_event: str
    text_event: str
    beside: dict[str, Any] = field(default_factory=dict)  # what a new part has beside its text


TEXT = Part(
    "message", "output_text", "text", "content", "content_index",
    "response.content_part", "response.output_text", {"annotations": []},
)  # fmt: skip
REFUSAL = Part(
    "message", "refusal", "refusal", "content", "content_index",
    "response.content_part", "response.refusal",
)  # fmt: skip
SUMMARY = Part(
    "reasoning", "summary_text", "text", "summary", "summary_index",
    "response.reasoning_summary_part", "response.reasoning_summary_text",
)  # fmt: skip

PREFIX = {"message": "msg", "reasoning": "rs"}
NEW: dict[str, Item] = {
    "message": {"status": "in_progress", "role": "assistant", "content": []},
    "reasoning": {"summary": []},
}


@dataclass
class Open:
    """An open message or reasoning item, and its open part."""

    index: int
    item: Item
    part: Part | None = None
    pieces: list[str] = field(default_factory=list)
    logprobs: list[Item] = field(default_factory=list)
    thought: dict[str, Any] = field(default_factory=dict)

    @property
    def at(self) -> dict[str, Any]:
        """Where in the response the open part stands."""
        part = self.part or TEXT
        number = len(self.item[part.parts])
        return {"item_id": self.item["id"], "output_index": self.index, part.index: number}


class Speech:
    """`say` and `think`; `close` when something else comes, or the reply has ended."""

    def __init__(self, events: Events, provider: Provider, model: str) -> None:
        self._events = events
        self._provider = provider
        self._model = model
        self._open: Open | None = None
        self._said = 0  # characters of text in parts that are closed
        self.logprobs: list[Item] = []  # of text that is still to be said
        self.sources: list[Item] = []  # of the open text, or of one that is still to come
        self._cited: list[Item] = []

    def say(self, part: Part, text: str) -> None:
        if not text:
            return
        speech = self._speaking(part.item)
        if speech.part is not part:
            self._close_part(speech)
            speech.part = part
            self._part(speech, part, "added", {part.text: "", **part.beside})
        speech.pieces.append(text)
        more = {"logprobs": self._logprobs(speech)} if part is TEXT else {}
        self._events.emit(f"{part.text_event}.delta", **speech.at, delta=text, **more)

    def think(self, fields: dict[str, Any]) -> None:
        if fields:
            reasoning.merge(self._speaking("reasoning").thought, fields)
            self.say(SUMMARY, reasoning.shown(fields))

    def cite(self, sources: list[Item]) -> None:
        """Sources of what is said; some providers name all of them with every chunk."""
        new = [one for one in sources if one not in self._cited]
        self._cited += new
        self.sources += new

    def close(self, end: Outcome = COMPLETED) -> None:
        if speech := self._open:
            self._close_part(speech)
            ending = {"status": end.status}
            if speech.item["type"] == "reasoning":
                sealed = reasoning.sealed(speech.thought, self._provider, self._model)
                ending = {"encrypted_content": sealed}
            self._events.finish(speech.index, {**speech.item, **ending})
            self._open = None

    def _logprobs(self, speech: Open) -> list[Item]:
        now, self.logprobs = self.logprobs, []
        speech.logprobs += now
        return now

    def _speaking(self, type: str) -> Open:
        if self._open is None or self._open.item["type"] != type:
            self.close()
            self._open = Open(*self._events.open(PREFIX[type], {"type": type, **NEW[type]}))
        return self._open

    def _part(self, speech: Open, part: Part, step: str, fields: Item) -> Item:
        made = {"type": part.type, **fields}
        self._events.emit(f"{part.part_event}.{step}", **speech.at, part=made)
        return made

    def _close_part(self, speech: Open) -> None:
        if part := speech.part:
            text: Item = {part.text: "".join(speech.pieces)}
            done: Item = dict(text)
            beside: Item = {}
            if part is TEXT:
                beside = {"annotations": self._annotations(speech, text["text"])}
                done["logprobs"] = speech.logprobs
                if speech.logprobs:
                    beside["logprobs"] = speech.logprobs
            self._events.emit(f"{part.text_event}.done", **speech.at, **done)
            made = self._part(speech, part, "done", {**text, **beside})
            speech.item = {**speech.item, part.parts: [*speech.item[part.parts], made]}
            speech.part, speech.pieces, speech.logprobs = None, [], []

    def _annotations(self, speech: Open, text: str) -> list[Item]:
        sources, self.sources = self.sources, []
        made = [citations.to_responses(one, self._said, len(text)) for one in sources]
        for number, one in enumerate(made):
            event = "response.output_text.annotation.added"
            self._events.emit(event, **speech.at, annotation_index=number, annotation=one)
        self._said += len(text)
        return made
