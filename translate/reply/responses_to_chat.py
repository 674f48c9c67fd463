"""The reply machine for Chat clients: Responses events in, Chat chunks out. Sans-I/O.

Upstreams differ in the events that they send, so another machine hears them first; its events are
lawful, and each makes at most a chunk or two. Chunks:
https://platform.openai.com/docs/api-reference/chat-streaming.
"""

from collections.abc import Callable, Sequence
from typing import Any

from translate.mappings import annotations as citations
from translate.mappings import logprobs, reasoning
from translate.mappings.outcome import Outcome, finish_to_chat, usage_to_chat
from translate.mappings.stop_sequences import Stops, cut
from translate.providers.profile import Provider
from translate.reply.event_writer import Event, Item, Machine
from translate.reply.responses_to_responses import ResponsesToResponses
from translate.tools.tool_map import ToolMap
from translate.wire import codec
from translate.wire.errors import Failure

Chunk = dict[str, Any]
KEEP_ALIVE: Chunk = {}  # says nothing: a comment on the wire
BREAK = "\n\n"  # between two summaries, messages or thoughts, which are one text in Chat


class ResponsesToChat:
    """`feed` each event, `close` when the upstream has ended; as ChatToResponses.

    `usage`: whether the client asked for it; `legacy`: whether it knows `functions` only; `stops`:
    sequences at which the upstream does not stop by itself.
    """

    def __init__(
        self,
        response: Item,
        *,
        tools: ToolMap,
        provider: Provider,
        model: str,
        sent: bytes,
        hears: Callable[..., Machine] = ResponsesToResponses,
        usage: bool = True,
        legacy: bool = False,
        stops: Sequence[str] = (),
    ) -> None:
        self._heard = hears(response, tools=tools, provider=provider, model=model, sent=sent)
        self._dropped = tools.dropped
        self._usage = usage
        self._calling, self._form = LEGACY if legacy else TOOLS
        self._head = {
            "id": "chatcmpl-" + str(response["id"]).removeprefix("resp_"),
            "object": "chat.completion.chunk",
            "created": response["created_at"],
            "model": response["model"],
        }
        self._chunks: list[Chunk] = []
        self._role = {"role": "assistant"}  # of the first delta
        self._said = {"content": 0, "reasoning_content": 0}  # characters
        self._breaks: set[str] = set()  # fields that a new part begins in
        self._begins = dict(self._said)  # where in each the open part begins
        self._stops = Stops(stops)
        self._calls: list[object] = []  # output_index of each
        self._thoughts = 0

    @property
    def ended(self) -> Outcome | None:
        return self._heard.ended

    @property
    def failure(self) -> Failure | None:
        return self._heard.failure

    @property
    def response(self) -> Item:
        told = self._heard.response
        if self._stops.found is None:
            return told
        output = cut(told["output"], self._said["content"], len(BREAK))
        return {**told, "output": output}

    def feed(self, piece: dict[str, Any]) -> list[Chunk]:
        return self._told(self._heard.feed(piece))

    def done(self) -> list[Chunk]:
        return self._told(self._heard.done())

    def lost(self, why: Failure) -> list[Chunk]:
        return self._told(self._heard.lost(why))

    def close(self) -> list[Chunk]:
        return self._told(self._heard.close())

    def fail(self, why: Failure) -> list[Chunk]:
        return self._told(self._heard.fail(why))

    def heartbeat(self) -> list[Chunk]:
        return [] if self.ended else [KEEP_ALIVE]

    def _told(self, events: list[Event]) -> list[Chunk]:
        for event in events:
            if handler := self._handler(event["type"]):
                handler(self, event)
        if events and self.failure:
            self._chunks.append(codec.loads(self.failure.body))
        chunks, self._chunks = self._chunks, []
        return chunks

    def _handler(self, kind: str) -> "Handler | None":
        """Behind a stop sequence nothing but the end is told."""
        return (self.ENDINGS if self._stops.found else self.HANDLERS).get(kind)

    def _emit(self, delta: Chunk, finish: str | None = None, probable: Sequence[Item] = ()) -> None:
        told = {"content": list(probable), "refusal": None} if probable else None
        choice = {"index": 0, "delta": self._role | delta, "logprobs": told}
        self._role = {}
        self._chunks.append({**self._head, "choices": [{**choice, "finish_reason": finish}]})

    # text

    def _begin(self, event: Event) -> None:
        """A new part, apart from what was said before it."""
        if field := FIELDS.get(event["part"]["type"]):
            self._breaks.add(field)

    def _text(self, event: Event) -> None:
        self._text_told(self._stops.feed(event["delta"], logprobs.normal(event["logprobs"])))

    def _text_over(self, event: Event) -> None:
        self._text_told(self._stops.close())

    def _text_told(self, said: tuple[str, list[Item]]) -> None:
        if said[0]:
            self._say("content", *said)

    def _thinking(self, event: Event) -> None:
        self._say("reasoning_content", event["delta"])

    def _say(self, field: str, text: str, probable: Sequence[Item] = ()) -> None:
        if field in self._breaks:
            self._breaks.discard(field)
            apart = BREAK if self._said[field] else ""
            self._begins[field] = self._said[field] + len(apart)
            text = apart + text
        self._said[field] += len(text)
        self._emit({field: text}, probable=probable)

    def _refusal(self, event: Event) -> None:
        self._emit({"refusal": event["delta"]})

    def _source(self, event: Event) -> None:
        if made := citations.to_chat(event["annotation"], self._begins["content"]):
            self._emit({"annotations": [made]})
        else:
            self._drop("annotations")

    # items

    def _added(self, event: Event) -> None:
        item = event["item"]
        if item["type"] in CALLS:
            kind, field = CALLS[item["type"]]
            self._calls.append(event["output_index"])
            named = {"name": str(item.get("name") or ""), field: ""}
            self._call(event, {"id": item["call_id"], "type": kind, kind: named})

    def _arguments(self, event: Event) -> None:
        self._call(event, {"function": {"arguments": event["delta"]}})

    def _input(self, event: Event) -> None:
        self._call(event, {"custom": {"input": event["delta"]}})

    def _call(self, event: Event, call: Chunk) -> None:
        made = self._form({"index": self._calls.index(event["output_index"]), **call})
        if made:
            self._emit({self._calling: made})
        else:
            self._drop("tool_calls (a function_call holds one)")

    def _finished(self, event: Event) -> None:
        item = event["item"]
        if item["type"] == "reasoning":
            self._emit({reasoning.DETAILS: [reasoning.detail(item, self._thoughts)]})
            self._thoughts += 1
        elif item["type"] == "image_generation_call" and isinstance(item.get("result"), str):
            self._emit({"images": [_image(item)]})
        elif item["type"] not in (*CALLS, "message"):
            self._drop(f"output ({item['type']})")

    def _drop(self, what: str) -> None:
        self._dropped += [] if what in self._dropped else [what]

    # endings

    def _end(self, event: Event) -> None:
        said = event["response"]
        called = self._calling if self._calls else "stop"  # the reason has the field's name
        cut = self._stops.found is not None
        finish = "stop" if cut else finish_to_chat(said["incomplete_details"], called)
        self._emit({}, finish)
        if self._usage:
            usage = usage_to_chat(said["usage"])
            self._chunks.append({**self._head, "choices": [], "usage": usage})

    ENDINGS: dict[str, "Handler"] = {"response.completed": _end, "response.incomplete": _end}
    HANDLERS: dict[str, "Handler"] = {
        **ENDINGS,
        "response.content_part.added": _begin,
        "response.reasoning_summary_part.added": _begin,
        "response.output_text.delta": _text,
        "response.output_text.done": _text_over,
        "response.refusal.delta": _refusal,
        "response.reasoning_summary_text.delta": _thinking,
        "response.reasoning_text.delta": _thinking,
        "response.output_text.annotation.added": _source,
        "response.output_item.added": _added,
        "response.function_call_arguments.delta": _arguments,
        "response.custom_tool_call_input.delta": _input,
        "response.output_item.done": _finished,
    }


Handler = Callable[[ResponsesToChat, Event], None]
CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
FIELDS = {
    "output_text": "content",
    "summary_text": "reasoning_content",
    "reasoning_text": "reasoning_content",
}


# How calls are told: the field, and what stands in it. Before tools there was one call, and no id.
Form = Callable[[Chunk], Any]
TOOLS: tuple[str, Form] = ("tool_calls", lambda call: [call])
LEGACY: tuple[str, Form] = (
    "function_call",
    lambda call: call.get("function") if call["index"] == 0 else None,
)


def _image(item: Item) -> Chunk:
    """As OpenRouter tells of it: https://openrouter.ai/docs/features/multimodal/image-generation."""
    kind = item.get("output_format") or "png"
    url = f"data:image/{kind};base64,{item['result']}"
    return {"type": "image_url", "image_url": {"url": url}}


def fold(chunks: list[Chunk]) -> dict[str, Any]:
    """The whole answer, for a client that asked for no stream."""
    message: dict[str, Any] = {"role": None, "content": None, "refusal": None}
    finish, usage = None, None
    probable: list[Item] = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            _merge(message, choice["delta"])
            finish = choice["finish_reason"] or finish
            probable += (choice["logprobs"] or {"content": []})["content"]
        usage = chunk.get("usage") or usage
    told = {"content": probable, "refusal": None} if probable else None
    choice = {"index": 0, "message": message, "logprobs": told, "finish_reason": finish}
    head = {name: chunks[0][name] for name in ("id", "created", "model")}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


def _merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a delta to what has come: texts grow, calls grow by their index, lists become longer."""
    for name, value in delta.items():
        if name == "tool_calls":
            calls = into.setdefault(name, [])
            for call in value:
                calls += [{}] * (call["index"] == len(calls))
                _merge(calls[call["index"]], {k: v for k, v in call.items() if k != "index"})
        elif isinstance(value, dict):
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = value if into.get(name) is None else into[name] + value
