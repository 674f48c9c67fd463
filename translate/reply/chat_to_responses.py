"""The reply machine: Chat chunks in, Responses events out. Sans-I/O.

Events: https://developers.openai.com/api/reference/resources/responses/streaming-events.
"""

from collections.abc import Iterator
from typing import Any

from translate.mappings import annotations as citations
from translate.mappings import logprobs, reasoning
from translate.mappings.outcome import (
    COMPLETED,
    FAILED,
    Outcome,
    estimate,
    outcome,
    shortened,
    usage_in,
    usage_to_responses,
)
from translate.providers.profile import Provider
from translate.providers.quirks import Leaks
from translate.reply.call_items import Calls
from translate.reply.event_writer import Event, Events, Item
from translate.reply.text_items import REFUSAL, TEXT, Speech
from translate.tools.tool_map import ToolMap
from translate.wire import codec
from translate.wire.errors import Failure, failure


class ChatToResponses:
    """`feed` each chunk, `close` when the upstream has ended.

    `response` is the reply so far; `ended` tells how it ended, `failure` why if it failed.
    """

    def __init__(
        self, response: Item, *, tools: ToolMap, provider: Provider, model: str, sent: bytes
    ) -> None:
        self.ended: Outcome | None = None
        self.failure: Failure | None = None
        self._provider = provider
        self._sent = sent
        self._dropped = tools.dropped
        self._events = Events(response)
        self._calls = Calls(tools, self._events)
        self._speech = Speech(self._events, provider, model)
        tagged = "think_tags" not in provider.quirks_off
        self._tags = reasoning.ThinkTags() if tagged else reasoning.NoTags()
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
        if error := error_in(chunk):
            return self.fail(failure(self._provider.title, 200, codec.dumps(error)))
        self._speech.cite(citations.found_in(chunk))
        for choice in _choices(chunk):
            # a whole message; at the end of a stream MiniMax says everything again in one
            message = None if self._events.items else choice.get("message")
            self._delta(choice.get("delta") or message or {}, logprobs.to_responses(choice))
            if isinstance(reason := choice.get("finish_reason"), str) and reason:
                self._finish = reason
        self._others(chunk)
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
            return self.fail(failure(title, 200, f"it ended with {self._finish}".encode()))
        self._events.begin()
        self._close_items(end)
        if end is COMPLETED and not self._answered():
            return self.fail(Failure(502, "server_error", f"{title} sent an empty reply"))
        self.ended = end
        details = {"reason": end.reason} if end.reason else None
        usage = self.response["usage"] or estimate(self._sent, self._items())
        if far := shortened(self._sent, usage):
            self._dropped.append("input (it read {} of about {} tokens)".format(*far))
        self._events.end(end.status, incomplete_details=details, usage=usage)
        return self._events.drain()

    def fail(self, why: Failure) -> list[Event]:
        """End as failed. What is open stays open: half a call must never be executed."""
        if self.ended:
            return []
        self._events.begin()
        self.ended, self.failure = FAILED, why
        self._events.end(FAILED.status, error=why.error)
        return self._events.drain()

    def heartbeat(self) -> list[Event]:
        """An event that says nothing new, for clients that count silence."""
        if not self.ended and not self._events.begin():
            self._events.progress()
        return self._events.drain()

    def _delta(self, delta: dict[str, Any], probable: list[Item]) -> None:
        self._speech.think(reasoning.fields_of(delta))
        for thinking, text in _texts(delta.get("content")):
            self._speech.think({"reasoning_content": thinking} if thinking else {})
            self._tagged(self._tags.feed(text), probable if text else [])
        if isinstance(refusal := delta.get("refusal"), str):
            self._speech.say(REFUSAL, refusal)
        self._speech.cite(citations.annotated(delta))
        for call in _calls(delta):
            self._close_text()
            self._calls.feed(call)

    def _others(self, chunk: dict[str, Any]) -> None:
        """Nobody can ask for a second answer in Responses; one that comes is not shown."""
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and choice.get("index"):
                name = f"choices[{choice['index']}]"
                self._dropped += [] if name in self._dropped else [name]

    def _tagged(self, split: tuple[str, str], probable: list[Item]) -> None:
        thinking, text = split
        self._speech.think({reasoning.THINK: thinking} if thinking else {})
        self._speech.logprobs += [] if thinking else probable
        self._speech.say(TEXT, self._leaks.feed(text))

    def _close_text(self, end: Outcome = COMPLETED) -> None:
        """The text has ended, whatever follows; calls that were written in it are calls."""
        self._tagged(self._tags.close(), [])
        text, calls = self._leaks.close()
        self._speech.say(TEXT, text)
        self._speech.close(end)
        for name, arguments in calls:
            self._calls.feed({"function": {"name": name, "arguments": arguments}})

    def _close_items(self, end: Outcome) -> None:
        self._close_text(end)
        extra = self._calls.close(end)
        signed = "thought_signatures" not in self._provider.quirks_off
        self._speech.think({reasoning.CALLS: extra} if extra and signed else {})
        self._speech.close(end)
        if end is COMPLETED and not self._answered():
            self._promote()
        if self._speech.sources:
            self._dropped.append("annotations")

    def _promote(self) -> None:
        """Thinking that ended in neither text nor call is shown as the answer.

        Servers whose reasoning parser misses the end of the thinking file the whole answer under it
        (vllm#48645, hermes-agent#109205), each time anew, so that to fail would only have Codex
        ask six times for the same; as success, Codex ends the turn without a word (codex#32267).
        """
        self._speech.say(TEXT, reasoning.thoughts(self._items()))
        self._speech.close()

    def _items(self) -> list[Item]:
        return [item for item in self._events.items if item]

    def _answered(self) -> bool:
        return any(item["type"] != "reasoning" for item in self._items())


def error_in(chunk: dict[str, Any]) -> dict[str, Any] | None:
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


def _calls(delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Tool calls, or the one `function_call` of the time before tools (openai's legacy form)."""
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            yield call
    if not calls and isinstance(legacy := delta.get("function_call"), dict) and legacy:
        yield {"function": legacy}


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
