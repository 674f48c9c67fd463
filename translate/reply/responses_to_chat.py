"""The reply machine for a Chat client: Responses events in, Chat chunks out. Sans-I/O.

Upstreams differ in the events that they send, so another machine reads their reply first; its
events are well-formed, and each becomes two chunks at most. Chunks:
https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from translate.mappings import annotations, reasoning
from translate.mappings.outcome import FAILED, Outcome, SentRequest, finish_to_chat, usage_to_chat
from translate.mappings.stop_sequences import StopSequences, cut_items
from translate.providers.profile import Provider
from translate.reply.event_writer import Event, Item, ReplyMachine
from translate.reply.responses_to_responses import ResponsesToResponses
from translate.tools.tool_map import ToolMap
from translate.wire import codec
from translate.wire.errors import Failure

Chunk = dict[str, Any]
KEEP_ALIVE: Chunk = {}  # a comment on the wire
SEPARATOR = "\n\n"  # between two summaries, messages or reasoning texts, which are one in Chat


class ResponsesToChat:
    """`feed` each event, `close` when the upstream has ended; as ChatToResponses.

    `new_inner_machine` creates the machine that reads the upstream's reply. `usage`: the client
    asked for it. `legacy`: the client knows `functions`, but no tools. `stops`: sequences at which
    the upstream does not stop by itself.
    """

    def __init__(
        self,
        response: Item,
        *,
        tools: ToolMap,
        provider: Provider,
        model: str,
        request_body: SentRequest,
        new_inner_machine: Callable[..., ReplyMachine] = ResponsesToResponses,
        usage: bool = True,
        legacy: bool = False,
        stops: Sequence[str] = (),
    ) -> None:
        self._inner = new_inner_machine(
            response, tools=tools, provider=provider, model=model, request_body=request_body
        )
        self._wants_usage = usage
        self._call_field, self._call_value = LEGACY_CALL if legacy else TOOL_CALLS
        self._head = {
            "id": "chatcmpl-" + str(response["id"]).removeprefix("resp_"),
            "object": "chat.completion.chunk",
            "created": response["created_at"],
            "model": response["model"],
        }
        self._chunks: list[Chunk] = []
        self._role = {"role": "assistant"}  # for the first delta
        self._lengths = {"content": 0, "reasoning_content": 0}  # characters sent in each field
        self._part_starts = dict(self._lengths)  # where the open part begins in each field
        self._new_parts: set[str] = set()  # fields whose next text begins a part
        self._stops = StopSequences(stops)
        self._call_indexes: dict[object, int] = {}  # output_index of each call → its number
        self._reasoning_count = 0
        self._own_failure: Failure | None = None  # behind the end of the upstream's reply
        self.outcome: Outcome | None = None

    @property
    def failure(self) -> Failure | None:
        return self._own_failure or self._inner.failure

    @property
    def response(self) -> Item:
        """The reply so far, up to a stop sequence, as the client has it."""
        response = self._inner.response
        if self._own_failure:
            fields = {"status": FAILED.response_status, "error": self._own_failure.error_fields}
            return {**response, **fields}
        if self._stops.matched_stop is None:
            return response
        output = cut_items(response["output"], self._lengths["content"], len(SEPARATOR))
        return {**response, "output": output}

    @property
    def dropped(self) -> Sequence[str]:
        return self._inner.dropped

    def mark_dropped(self, path: str) -> None:
        self._inner.mark_dropped(path)

    def feed(self, chunk: dict[str, Any]) -> list[Chunk]:
        return self._to_chunks(self._inner.feed(chunk))

    def mark_done(self) -> list[Chunk]:
        return self._to_chunks(self._inner.mark_done())

    def lose_connection(self, failure: Failure) -> list[Chunk]:
        return self._to_chunks(self._inner.lose_connection(failure))

    def close(self) -> list[Chunk]:
        return self._to_chunks(self._inner.close())

    def fail(self, failure: Failure) -> list[Chunk]:
        if self.outcome or not self._inner.outcome:
            return self._to_chunks(self._inner.fail(failure))
        # the upstream's reply has ended, but its end could not be written
        self.outcome, self._own_failure = FAILED, failure
        chunks, self._chunks = self._chunks, []
        return [*chunks, codec.load_json(failure.body)]

    def heartbeat_events(self) -> list[Chunk]:
        return [] if self.outcome else [KEEP_ALIVE]

    def _to_chunks(self, events: list[Event]) -> list[Chunk]:
        if self._own_failure:
            return []
        for event in events:
            # after a stop sequence the client gets nothing but the end
            handlers = self.HANDLERS if self._stops.matched_stop is None else self.END_HANDLERS
            if handler := handlers.get(event["type"]):
                handler(self, event)
        if events and self.failure:
            self._chunks.append(codec.load_json(self.failure.body))
        self.outcome = self._inner.outcome  # only now: what fails before ends the reply as failed
        chunks, self._chunks = self._chunks, []
        return chunks

    def _emit_chunk(
        self, delta: Chunk, finish: str | None = None, token_logprobs: Sequence[Item] = ()
    ) -> None:
        choice = {
            "index": 0,
            "delta": self._role | delta,
            "logprobs": _logprobs_field(token_logprobs),
            "finish_reason": finish,
        }
        self._role = {}
        self._chunks.append({**self._head, "choices": [choice]})

    # text

    def _begin_part(self, event: Event) -> None:
        if field := TEXT_FIELDS.get(event["part"]["type"]):
            self._new_parts.add(field)

    def _add_text(self, event: Event) -> None:
        token_logprobs = annotations.normalize_logprobs(event["logprobs"])
        self._emit_content(*self._stops.feed(event["delta"], token_logprobs))

    def _end_text(self, event: Event) -> None:
        self._emit_content(*self._stops.close())

    def _emit_content(self, text: str, token_logprobs: list[Item]) -> None:
        if text:
            self._emit_text("content", text, token_logprobs)

    def _add_reasoning(self, event: Event) -> None:
        self._emit_text("reasoning_content", event["delta"])

    def _emit_text(self, field: str, text: str, token_logprobs: Sequence[Item] = ()) -> None:
        """Emit the text; a separator goes before the first text of a part."""
        if field in self._new_parts:
            self._new_parts.discard(field)
            separator = SEPARATOR if self._lengths[field] else ""
            self._part_starts[field] = self._lengths[field] + len(separator)
            text = separator + text
        self._lengths[field] += len(text)
        self._emit_chunk({field: text}, token_logprobs=token_logprobs)

    def _add_refusal(self, event: Event) -> None:
        self._emit_chunk({"refusal": event["delta"]})

    def _add_annotation(self, event: Event) -> None:
        if chat_annotation := annotations.annotation_to_chat(
            event["annotation"], self._part_starts["content"]
        ):
            self._emit_chunk({"annotations": [chat_annotation]})
        else:
            self.mark_dropped("annotations")

    # items

    def _begin_item(self, event: Event) -> None:
        item = event["item"]
        if item["type"] in CALL_FIELDS:
            call_type, field = CALL_FIELDS[item["type"]]
            self._call_indexes[event["output_index"]] = len(self._call_indexes)
            function = {"name": str(item.get("name") or ""), field: ""}
            self._emit_call(event, {"id": item["call_id"], "type": call_type, call_type: function})

    def _add_arguments(self, event: Event) -> None:
        self._emit_call(event, {"function": {"arguments": event["delta"]}})

    def _add_input(self, event: Event) -> None:
        self._emit_call(event, {"custom": {"input": event["delta"]}})

    def _emit_call(self, event: Event, call: Chunk) -> None:
        index = self._call_indexes[event["output_index"]]
        if value := self._call_value({"index": index, **call}):
            self._emit_chunk({self._call_field: value})
        else:
            self.mark_dropped("tool_calls (a function_call holds one)")

    def _end_item(self, event: Event) -> None:
        item = event["item"]
        if item["type"] == "reasoning":
            detail = reasoning.sealed_detail(item, self._reasoning_count)
            self._emit_chunk({reasoning.REASONING_DETAILS: [detail]})
            self._reasoning_count += 1
        elif item["type"] == "image_generation_call" and isinstance(item.get("result"), str):
            self._emit_chunk({"images": [_image_part(item)]})
        elif item["type"] not in (*CALL_FIELDS, "message"):
            self.mark_dropped(f"output ({item['type']})")

    # endings

    def _end_reply(self, event: Event) -> None:
        response = event["response"]
        finish = "stop"
        if self._stops.matched_stop is None:
            # the finish_reason of a reply with calls is the name of their field
            otherwise = self._call_field if self._call_indexes else "stop"
            finish = finish_to_chat(response["incomplete_details"], otherwise)
        self._emit_chunk({}, finish)
        if self._wants_usage:
            usage = usage_to_chat(response["usage"])
            self._chunks.append({**self._head, "choices": [], "usage": usage})

    END_HANDLERS: dict[str, "Handler"] = {
        "response.completed": _end_reply,
        "response.incomplete": _end_reply,
    }
    HANDLERS: dict[str, "Handler"] = {
        **END_HANDLERS,
        "response.content_part.added": _begin_part,
        "response.reasoning_summary_part.added": _begin_part,
        "response.output_text.delta": _add_text,
        "response.output_text.done": _end_text,
        "response.refusal.delta": _add_refusal,
        "response.reasoning_summary_text.delta": _add_reasoning,
        "response.reasoning_text.delta": _add_reasoning,
        "response.output_text.annotation.added": _add_annotation,
        "response.output_item.added": _begin_item,
        "response.function_call_arguments.delta": _add_arguments,
        "response.custom_tool_call_input.delta": _add_input,
        "response.output_item.done": _end_item,
    }


Handler = Callable[[ResponsesToChat, Event], None]
# Type of a call item → type of the Chat call, and the field of its text.
CALL_FIELDS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
# Type of a part → the field of a Chat delta.
TEXT_FIELDS = {
    "output_text": "content",
    "summary_text": "reasoning_content",
    "reasoning_text": "reasoning_content",
}


# The field of a delta for a call, and its value. Before tools there was one call, without an id.
CallValue = Callable[[Chunk], Any]
TOOL_CALLS: tuple[str, CallValue] = ("tool_calls", lambda call: [call])
LEGACY_CALL: tuple[str, CallValue] = (
    "function_call",
    lambda call: call.get("function") if call["index"] == 0 else None,
)


def _logprobs_field(token_logprobs: Sequence[Item]) -> Chunk | None:
    return {"content": list(token_logprobs), "refusal": None} if token_logprobs else None


def _image_part(item: Item) -> Chunk:
    """As OpenRouter sends it: https://openrouter.ai/docs/features/multimodal/image-generation."""
    image_format = item.get("output_format") or "png"
    url = f"data:image/{image_format};base64,{item['result']}"
    return {"type": "image_url", "image_url": {"url": url}}


def fold_chunks(chunks: list[Chunk]) -> dict[str, Any]:
    """The whole reply, for a client that does not stream."""
    folded = FoldedDelta()
    finish, usage = None, None
    token_logprobs: list[Item] = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            folded.fold_delta(choice["delta"])
            finish = choice["finish_reason"] or finish
            token_logprobs += (choice["logprobs"] or {"content": []})["content"]
        usage = chunk.get("usage") or usage
    message = {"role": None, "content": None, "refusal": None} | folded.folded_fields()
    logprobs = _logprobs_field(token_logprobs)
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
    head = {name: chunks[0][name] for name in ("id", "created", "model")}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


class FoldedDelta:
    """The deltas of one message or call: texts and lists grow, and each call grows at its index."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[Any]] = {}  # joined at the end: each joining copies the text
        self._objects: dict[str, FoldedDelta] = {}
        self._calls: dict[int, FoldedDelta] = {}

    def fold_delta(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if name == "tool_calls":
                for call in value:
                    fields = {key: field for key, field in call.items() if key != "index"}
                    self._calls.setdefault(call["index"], FoldedDelta()).fold_delta(fields)
            elif isinstance(value, dict):
                self._objects.setdefault(name, FoldedDelta()).fold_delta(value)
            else:
                self._pieces.setdefault(name, []).append(value)

    def folded_fields(self) -> dict[str, Any]:
        fields = {name: _join_values(pieces) for name, pieces in self._pieces.items()}
        fields |= {name: folded.folded_fields() for name, folded in self._objects.items()}
        calls = [folded.folded_fields() for folded in self._calls.values()]
        return fields | ({"tool_calls": calls} if calls else {})


def _join_values(pieces: list[Any]) -> Any:
    """The pieces of a text or a list as one."""
    if isinstance(pieces[0], list):
        return [*chain.from_iterable(pieces)]
    return "".join(pieces)
