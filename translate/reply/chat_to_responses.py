"""The reply machine for a Chat upstream: chunks in, Responses events out. Sans-I/O.

Events: https://developers.openai.com/api/reference/resources/responses/streaming-events.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from translate.mappings import annotations, reasoning
from translate.mappings.outcome import (
    COMPLETED,
    FAILED,
    Outcome,
    SentRequest,
    detect_truncation,
    estimate_usage,
    find_chat_usage,
    finish_to_outcome,
    usage_to_responses,
    wrong_chat_counts,
)
from translate.providers.profile import Provider
from translate.providers.quirks import LeakedCallReader
from translate.reply.call_items import CallItems
from translate.reply.event_writer import Event, EventWriter, Item
from translate.reply.text_items import REFUSAL, TEXT, TextItems
from translate.tools.tool_map import ToolMap
from translate.wire import codec
from translate.wire.errors import Failure, read_failure


class ChatToResponses:
    """`feed` each chunk, `close` when the upstream has ended.

    `response` is the reply so far; `outcome` says how it ended, `failure` why it failed.
    """

    def __init__(
        self,
        response: Item,
        *,
        tools: ToolMap,
        provider: Provider,
        model: str,
        request_body: SentRequest,
    ) -> None:
        self.outcome: Outcome | None = None
        self.failure: Failure | None = None
        self._provider = provider
        self._request_body = request_body
        self._writer = EventWriter(response)
        self._calls = CallItems(tools, self._writer)
        self._text = TextItems(self._writer, provider, model)
        has_tags = "think_tags" not in provider.quirks_off
        self._tags = reasoning.ThinkTags() if has_tags else reasoning.NoThinkTags()
        self._leaks = LeakedCallReader(provider, tools.is_declared_name)
        self._finish_reason: str | None = None

    @property
    def response(self) -> Item:
        return self._writer.response

    @property
    def dropped(self) -> Sequence[str]:
        return self._writer.dropped

    def mark_dropped(self, path: str) -> None:
        self._writer.mark_dropped(path)

    def feed(self, chunk: dict[str, Any]) -> list[Event]:
        if self.outcome:
            return []
        self._writer.emit_opening()
        if usage := find_chat_usage(chunk):
            self._writer.response = {**self.response, "usage": usage_to_responses(usage)}
        for path in wrong_chat_counts(chunk):
            self.mark_dropped(path)
        if error := chunk_error(chunk):
            return self.fail(read_failure(self._provider.title, 200, codec.dump_json(error)))
        self._text.add_sources(annotations.chunk_citations(chunk))
        for choice in _first_choices(chunk):
            # behind deltas, a whole message repeats the reply (MiniMax)
            message = None if self._writer.items else choice.get("message")
            delta = choice.get("delta") or message
            self._add_delta(
                delta if isinstance(delta, dict) else {}, annotations.logprobs_to_responses(choice)
            )
            if isinstance(reason := choice.get("finish_reason"), str) and reason:
                self._finish_reason = reason
        self._drop_other_choices(chunk)
        return self._writer.drain()

    def mark_done(self) -> list[Event]:
        """`[DONE]`: the provider says that the reply is complete, even without a finish_reason."""
        if self._writer.items:  # a reply without any item is not complete
            self._finish_reason = self._finish_reason or "stop"
        return self.close()

    def lose_connection(self, failure: Failure) -> list[Event]:
        """The connection broke. A reply that had its finish_reason is complete all the same."""
        return self.fail(failure) if self._finish_reason is None else self.close()

    def close(self) -> list[Event]:
        """The upstream has ended; without a finish_reason it ended too early."""
        if self.outcome:
            return []
        title = self._provider.title
        if self._finish_reason is None:
            return self.fail(Failure(502, "server_error", f"{title} stopped in mid-reply"))
        outcome = finish_to_outcome(self._finish_reason)
        if outcome is FAILED:
            reason = f"it ended with {self._finish_reason}"
            return self.fail(read_failure(title, 200, reason.encode()))
        self._writer.emit_opening()
        self._close_items(outcome)
        if outcome is COMPLETED and not self._has_answer():
            return self.fail(Failure(502, "server_error", f"{title} sent an empty reply"))
        details = {"reason": outcome.incomplete_reason} if outcome.incomplete_reason else None
        usage = self.response["usage"] or estimate_usage(
            self._request_body, self._writer.finished_items
        )
        if counts := detect_truncation(self._request_body, usage):
            self.mark_dropped("input (it read {} of about {} tokens)".format(*counts))
        self.outcome = outcome  # only now: what fails before ends the reply as failed
        self._writer.end_response(outcome.response_status, incomplete_details=details, usage=usage)
        return self._writer.drain()

    def fail(self, failure: Failure) -> list[Event]:
        """End as failed. Open items stay open: the client must never execute half a call."""
        if self.outcome:
            return []
        self._writer.emit_opening()
        self.outcome, self.failure = FAILED, failure
        self._writer.end_response(FAILED.response_status, error=failure.error_fields)
        return self._writer.drain()

    def heartbeat_events(self) -> list[Event]:
        if not self.outcome and not self._writer.emit_opening():
            self._writer.emit_progress()
        return self._writer.drain()

    def _add_delta(self, delta: dict[str, Any], token_logprobs: list[Item]) -> None:
        self._text.add_reasoning(reasoning.reasoning_fields(delta))
        for thinking, text in _content_texts(delta.get("content")):
            self._text.add_reasoning({"reasoning_content": thinking} if thinking else {})
            self._add_text(*self._tags.feed(text), token_logprobs if text else [])
        if isinstance(refusal := delta.get("refusal"), str):
            self._text.add_text(REFUSAL, refusal)
        self._text.add_sources(annotations.delta_citations(delta))
        for call in _delta_calls(delta):
            self._close_text()
            self._calls.feed(call)

    def _drop_other_choices(self, chunk: dict[str, Any]) -> None:
        """Responses has room for one answer, so the client gets the first."""
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and choice.get("index"):
                self.mark_dropped(f"choices[{choice['index']!s:.20}]")

    def _add_text(self, thinking: str, text: str, token_logprobs: list[Item]) -> None:
        """`text` is without think tags; `thinking` stood between them."""
        self._text.add_reasoning({reasoning.THINK_TEXT: thinking} if thinking else {})
        self._text.next_logprobs += [] if thinking else token_logprobs
        self._text.add_text(TEXT, self._leaks.feed(text))

    def _close_text(self, outcome: Outcome = COMPLETED) -> None:
        """The text has ended; calls that the model wrote into it become calls."""
        self._add_text(*self._tags.close(), [])
        text, calls = self._leaks.close()
        self._text.add_text(TEXT, text)
        self._text.close(outcome)
        for name, arguments in calls:
            self._calls.feed({"function": {"name": name, "arguments": arguments}})

    def _close_items(self, outcome: Outcome) -> None:
        self._close_text(outcome)
        signatures = self._calls.close(outcome)
        if signatures and "thought_signatures" not in self._provider.quirks_off:
            self._text.add_reasoning({reasoning.CALL_SIGNATURES: signatures})
        self._text.close(outcome)
        if outcome is COMPLETED and not self._has_answer():
            self._show_reasoning()
        if self._text.sources:
            self.mark_dropped("annotations")

    def _show_reasoning(self) -> None:
        """Show reasoning as the answer where neither text nor a call came.

        Servers whose reasoning parser misses the end of the thinking file the whole answer under
        it (vllm#48645, hermes-agent#109205). If the relay failed such a reply, Codex would ask
        six times for the same; as an empty success, Codex ends the turn in silence (codex#32267).
        """
        self._text.add_text(TEXT, reasoning.all_reasoning_text(self._writer.finished_items))
        self._text.close()

    def _has_answer(self) -> bool:
        """Whether the reply has anything but reasoning."""
        return any(item["type"] != "reasoning" for item in self._writer.finished_items)


def chunk_error(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """An error in place of a chunk, wherever the provider puts it."""
    if chunk.get("object") == "error":  # vLLM, Mistral
        return chunk
    for holder in (chunk, *_first_choices(chunk), chunk.get("x_groq")):
        if isinstance(holder, dict) and holder.get("error"):
            return {"error": holder["error"]}
    minimax = chunk.get("base_resp")  # lobehub#10255
    if isinstance(minimax, dict) and minimax.get("status_code"):
        return {"message": str(minimax.get("status_msg"))}
    return None


def _first_choices(chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The first choice; `choices` may be null, empty, or hold more than the client asked for."""
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and not choice.get("index"):
            yield choice


def _delta_calls(delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Tool calls, or the one `function_call` of OpenAI's API before it had tools."""
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            yield call
    if not calls and isinstance(legacy := delta.get("function_call"), dict) and legacy:
        yield {"function": legacy}


def _content_texts(content: object) -> Iterator[tuple[str, str]]:
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
