"""The reply machine: Chat chunks in, Responses events out. Sans-I/O.

Events: https://developers.openai.com/api/reference/resources/responses/streaming-events.
Text and reasoning are open one at a time; calls, which see to themselves, beside each other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from translate import codec, reasoning
from translate.calls import Calls
from translate.errors import Failure, failure
from translate.events import Event, Events, Item
from translate.outcome import COMPLETED, FAILED, Outcome, outcome, usage_in, usage_to_responses
from translate.provider import Provider
from translate.quirks import Leaks
from translate.tools import ToolMap


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
    logprobs: dict[str, list[Any]] = field(default_factory=dict)


TEXT = Part(
    "message", "output_text", "text", "content", "content_index",
    "response.content_part", "response.output_text", {"logprobs": []},
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
class Speech:
    """An open message or reasoning item."""

    index: int
    item: Item
    part: Part | None = None
    pieces: list[str] = field(default_factory=list)
    thought: dict[str, Any] = field(default_factory=dict)


class ChatToResponses:
    """`feed` each chunk, `close` when the upstream has ended.

    `response` is the reply so far; `ended` tells how it ended, `failure` why if it failed.
    """

    def __init__(self, response: Item, *, tools: ToolMap, provider: Provider, model: str) -> None:
        self.ended: Outcome | None = None
        self.failure: Failure | None = None
        self._provider = provider
        self._model = model
        self._events = Events(response)
        self._calls = Calls(tools, self._events)
        self._speech: Speech | None = None
        self._tags = reasoning.ThinkTags()
        self._leaks = Leaks(provider, tools.knows)
        self._finish: str | None = None

    @property
    def response(self) -> Item:
        return self._events.response

    def feed(self, chunk: dict[str, Any]) -> list[Event]:
        if self.ended:
            return []
        self._events.begin()
        if usage := usage_in(chunk):
            self._events.response = {**self.response, "usage": usage_to_responses(usage)}
        if error := _error(chunk):
            return self.fail(failure(self._provider.title, 200, codec.dumps(error)))
        for choice in _choices(chunk):
            # a whole message; at the end of a stream MiniMax says everything again in one
            message = None if self._events.items else choice.get("message")
            self._delta(choice.get("delta") or message or {})
            if isinstance(reason := choice.get("finish_reason"), str) and reason:
                self._finish = reason
                self._close_items(outcome(reason))
        return self._events.drain()

    def done(self) -> list[Event]:
        """`[DONE]`: the provider says that the reply is whole, even without a finish_reason."""
        if self._events.items:  # even so, no word at all is no reply
            self._finish = self._finish or "stop"
        return self.close()

    def lost(self, why: Failure) -> list[Event]:
        """The upstream broke off, which harms no reply that had its finish_reason."""
        return self.fail(why) if self._finish is None else self.close()

    def close(self) -> list[Event]:
        """The upstream has ended; without a finish_reason it ended too early."""
        if self.ended:
            return []
        title = self._provider.title
        if self._finish is None:
            return self.fail(Failure(502, "server_error", f"{title} stopped in mid-reply"))
        end = outcome(self._finish)
        if end is FAILED:
            return self.fail(Failure(502, "server_error", f"{title} ended with {self._finish}"))
        self._events.begin()
        self._close_items(end)
        self.ended = end
        details = {"reason": end.reason} if end.reason else None
        self._events.end(end.status, incomplete_details=details)
        return self._events.drain()

    def fail(self, why: Failure) -> list[Event]:
        """End as failed. What is open stays open: half a call must never be executed."""
        if self.ended:
            return []
        self._events.begin()
        self.ended, self.failure = FAILED, why
        self._events.end(FAILED.status, error={"code": why.code, "message": why.message})
        return self._events.drain()

    def heartbeat(self) -> list[Event]:
        """An event that says nothing new, for clients that count silence."""
        if not self.ended and not self._events.begin():
            self._events.progress()
        return self._events.drain()

    def _delta(self, delta: dict[str, Any]) -> None:
        self._think(reasoning.fields_of(delta))
        for thinking, text in _texts(delta.get("content")):
            self._think({"reasoning_content": thinking} if thinking else {})
            self._tagged(self._tags.feed(text))
        if isinstance(refusal := delta.get("refusal"), str):
            self._say(REFUSAL, refusal)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict):
                self._close_text()
                self._calls.feed(call)

    def _tagged(self, split: tuple[str, str]) -> None:
        thinking, text = split
        self._think({reasoning.THINK: thinking} if thinking else {})
        self._say(TEXT, self._leaks.feed(text))

    def _close_text(self, end: Outcome = COMPLETED) -> None:
        """The text has ended, whatever follows; calls that were written in it are calls."""
        self._tagged(self._tags.close())
        text, calls = self._leaks.close()
        self._say(TEXT, text)
        self._close_speech(end)
        for name, arguments in calls:
            self._calls.feed({"function": {"name": name, "arguments": arguments}})

    def _think(self, fields: dict[str, Any]) -> None:
        if fields:
            reasoning.merge(self._speaking("reasoning").thought, fields)
            self._say(SUMMARY, reasoning.shown(fields))

    def _say(self, part: Part, text: str) -> None:
        if not text:
            return
        speech = self._speaking(part.item)
        if speech.part is not part:
            self._close_part(speech)
            speech.part = part
            self._part(speech, part, "added", "")
        speech.pieces.append(text)
        at = _at(speech, part)
        self._events.emit(f"{part.text_event}.delta", **at, delta=text, **part.logprobs)

    def _speaking(self, type: str) -> Speech:
        if self._speech is None or self._speech.item["type"] != type:
            self._close_speech(COMPLETED)
            self._speech = Speech(*self._events.open(PREFIX[type], {"type": type, **NEW[type]}))
        return self._speech

    def _part(self, speech: Speech, part: Part, step: str, text: str) -> dict[str, Any]:
        made: dict[str, Any] = {"type": part.type, part.text: text}
        if part is TEXT:
            made["annotations"] = []
        self._events.emit(f"{part.part_event}.{step}", **_at(speech, part), part=made)
        return made

    def _close_part(self, speech: Speech) -> None:
        if part := speech.part:
            text = "".join(speech.pieces)
            done = {part.text: text, **part.logprobs}
            self._events.emit(f"{part.text_event}.done", **_at(speech, part), **done)
            made = self._part(speech, part, "done", text)
            speech.item = {**speech.item, part.parts: [*speech.item[part.parts], made]}
            speech.part, speech.pieces = None, []

    def _close_speech(self, end: Outcome) -> None:
        if speech := self._speech:
            self._close_part(speech)
            ending = {"status": end.status}
            if speech.item["type"] == "reasoning":
                sealed = reasoning.sealed(speech.thought, self._provider, self._model)
                ending = {"encrypted_content": sealed}
            self._events.finish(speech.index, {**speech.item, **ending})
            self._speech = None

    def _close_items(self, end: Outcome) -> None:
        if end is not FAILED:
            self._close_text(end)
            extra = self._calls.close(end)
            self._think({reasoning.CALLS: extra} if extra else {})
            self._close_speech(end)


def _at(speech: Speech, part: Part) -> dict[str, Any]:
    """Where in the response a part stands."""
    number = len(speech.item[part.parts])
    return {"item_id": speech.item["id"], "output_index": speech.index, part.index: number}


def _error(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """An error in place of a chunk, wherever the provider puts it."""
    if chunk.get("object") == "error":  # vLLM, Mistral
        return chunk
    for place in (chunk, *_choices(chunk), chunk.get("x_groq")):
        if isinstance(place, dict) and place.get("error"):
            return {"error": place["error"]}
    base = chunk.get("base_resp")  # MiniMax (lobehub#10255)
    if isinstance(base, dict) and base.get("status_code"):
        return {"message": str(base.get("status_msg"))}
    return None


def _choices(chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The first choice; `choices` may be null, empty, or hold more than was asked for."""
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and not choice.get("index"):
            yield choice


def _texts(content: object) -> Iterator[tuple[str, str]]:
    """(thinking, text) of `content`: a string, null, or a list of parts (Mistral)."""
    if isinstance(content, str):
        yield "", content
    for part in content if isinstance(content, list) else []:
        match part:
            case {"type": "text", "text": str(text)}:
                yield "", text
            case {"type": "thinking", "thinking": [*pieces]}:
                yield "".join(str(p.get("text") or "") for p in pieces if isinstance(p, dict)), ""
            case {"type": "thinking", "thinking": str(text)}:
                yield text, ""
