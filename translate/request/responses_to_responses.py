"""A request body for an upstream of the client's own dialect that knows only a part of it.

The same walk as for Chat, in Responses' own form. What real servers refuse: tools that are no
functions (ggml-org/llama.cpp#20156, lmstudio-ai/lmstudio-bug-tracker#1810, ollama/ollama#17618),
items that they do not know, pictures in outputs, and what another provider has sealed.
"""

from typing import Any

from translate.mappings import parameters, reasoning
from translate.mappings.content import Part, part_to_responses
from translate.mappings.omit import omit
from translate.providers.profile import Provider
from translate.request.chat_to_responses import shortened
from translate.request.conversation import NO_OUTPUT, Conversation, Item, Message
from translate.request.responses_to_chat import NOTHING, SYSTEM, Messages, declare
from translate.state import compaction
from translate.tools.kinds import BY_CALL, KINDS, NAMED, OUTPUTS, Kind
from translate.tools.tool_map import ToolMap, call_id
from translate.wire.errors import BadRequest
from translate.wire.requests import ResponsesRequest

# Codex's own bookkeeping on items, which no model should see.
PRIVATE = "internal_chat_message_metadata_passthrough"
BY_OUTPUT = {kind.output_type: kind for kind in KINDS}


def to_responses(
    request: ResponsesRequest, provider: Provider, model: str, tools: ToolMap, known: int = 0
) -> dict[str, Any]:
    """The Responses body. Fills `tools` and its list of what was dropped. Raises BadRequest."""
    if provider.native("*"):
        tools.declare(request.tools or [])
    else:
        declare(request, tools, known)
    walk = Items(request, provider, tools, known)
    body: dict[str, Any] = {"model": model}
    head = walk.head
    if request.instructions and walk.made and not _read_as_input(request, walk.head):
        [joined] = walk.head
        body["instructions"], head = joined["content"], []
    elif provider.instructions:  # the field must be there; none of ours beside the client's own
        own = any(item.get("role") in SYSTEM for item in request.items) or bool(head)
        body["instructions"] = "" if own else provider.instructions
    body["input"] = [*map(to_item, head), *walk.made]
    if not body["input"]:
        raise BadRequest(NOTHING, param="input")
    body |= parameters.to_responses(request, provider, tools)
    if declared := [*(_function(tool, provider) for tool in tools.declared), *tools.native]:
        tools.limited(declared)
        body["tools"] = declared
    body |= {"store": False, "stream": True}
    omit(body, provider, tools.dropped)
    return body


def _read_as_input(request: ResponsesRequest, head: list[Message]) -> bool:
    """JSON mode wants the word in the input, and looks for it nowhere else: "Response input
    messages must contain the word 'json'" (pydantic/pydantic-ai, models/openai.py)."""
    form = request.text and request.text.format
    wanted = form and form.get("type") == "json_object"
    return bool(wanted) and "json" in str(head).lower()


def _function(tool: Item, provider: Provider) -> Item:
    # said in either case, as its absence means true here (llama.cpp too)
    flat = parameters.flat(tool)
    return flat if provider.strict is False else {"strict": False} | flat


def to_item(message: Message) -> Item:
    """A Chat message that is not the assistant's."""
    content = message["content"]
    parts = content if isinstance(content, str) else [part_to_responses(part) for part in content]
    return {"type": "message", "role": message["role"], "content": parts}


def _said(text: str, number: int) -> Item:
    """A message of the assistant's, with every field that some server misses otherwise."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed",
        "content": [part],
    }  # fmt: skip


class Flat(Conversation):
    """Builds items; what the assistant says up to the next output stays in its order."""

    def _open(self) -> None:
        super()._open()
        self._kept: dict[int, Item] = {}  # position of a call that passed as it is → its output

    def unique(self, call: str) -> str:
        return super().unique(shortened(call))

    def say(self, parts: list[Part]) -> None:
        """Text comes before the calls of its turn, so that nothing parts these and outputs."""
        self._turn()
        calls = (n for n, item in enumerate(self._said) if item["type"] in BY_CALL)
        text = "\n".join(part["text"] for part in parts)
        item = _said(text, len(self.messages) + len(self._said))
        self._said.insert(next(calls, len(self._said)), item)

    def keep(self, item: Item) -> None:
        """An item as it is."""
        self._turn()
        self._said.append(item)

    def call(self, position: int, call: Message) -> None:
        super().call(position, call)
        self._said.append({"type": "function_call", "call_id": call["id"], **call["function"]})

    def keep_call(self, position: int, item: Item, output: Item | None) -> None:
        """A call that passes as it is, and so does its output."""
        call = {"id": call_id(item)}
        super().call(position, call)
        self._said.append({**item, "call_id": call["id"]})
        kind = BY_CALL[item["type"]]
        self._kept[position] = output or {"type": kind.output_type, "output": NO_OUTPUT}

    def _tell(self) -> None:
        if all(item.get("type") == "reasoning" for item in self._said):
            self._dropped += ["reasoning without a reply"] * bool(self._said)
        else:
            self.messages += self._said

    def _answer(self, position: int, call: str, content: str) -> Item:
        made = {"type": "function_call_output", "output": content}
        return {**self._kept.get(position, made), "call_id": call}

    def _message(self, message: Message) -> Item:
        return to_item(message)


IDS = {"message": "msg", **{kind.call_type: kind.id_prefix for kind in KINDS}}


def _fitting(item: Item, provider: Provider) -> Item:
    prefix = IDS.get(str(item.get("type") or "message"))
    if prefix and not str(item.get("id")).startswith(f"{prefix}_"):
        item = {name: value for name, value in item.items() if name != "id"}
    if item.get("call_id"):
        item = {**item, "call_id": shortened(item["call_id"])}
    return {**item, "role": provider.late_system_role} if item.get("role") == "system" else item


class Items(Messages):
    """The walk of request.py, with what the upstream takes as it is left so."""

    form = Flat
    talk: Flat

    def __init__(self, *request: Any) -> None:
        self._own: dict[int, str] = {}  # position of an output → the id that its call passed under
        super().__init__(*request)

    def _item(self, position: int, item: Item) -> None:
        item = {name: value for name, value in item.items() if name != PRIVATE}
        if item.get("type") in MENDED or not self._native(item):
            super()._item(position, item)
        elif self.provider.native("*"):
            self._pass(position, self._offered(item))
        elif item["type"] in BY_CALL:
            answer = self._answers.get(position)
            self.tools.ids.add(call_id(item))
            output = None if answer is None else {**self.items[answer]}
            if output:
                output.pop(PRIVATE, None)
            self.talk.keep_call(position, item, output)
        elif item["type"] in OUTPUTS:
            self._heard(position, item)
        else:
            self._keep(item)

    def _pass(self, position: int, item: Item) -> None:
        """An item as it is, but for what OpenAI refuses: an output without its call, a call without
        its output, ids of another's, and instructions that are called the system's."""
        kind = BY_CALL.get(str(item.get("type")))
        if item.get("type") in OUTPUTS and position not in self._answered:
            super()._heard(position, item)
            return
        item = _fitting(item, self.provider)
        if kind and kind.tool_type in NAMED:
            self._named(position, item, kind)
        elif own := self._own.get(position):
            self._keep({**item, "call_id": own})
        else:
            self._keep(item)

    def _named(self, position: int, item: Item, kind: Kind) -> None:
        """A call under an id of its own: some clients count anew in each turn, or give none."""
        own = self.talk.unique(call_id(item))
        self._keep({**item, "call_id": own})
        if position in self._answers:
            self._own[self._answers[position]] = own
        else:
            self.talk.keep({"type": kind.output_type, "call_id": own, "output": NO_OUTPUT})

    def _offered(self, item: Item) -> Item:
        """An item without the tools in it that are switched off."""
        tools = item.get("tools")
        if not isinstance(tools, list) or not self.provider.tools_off:
            return item
        scoped = [self.tools.offered(tool) for tool in tools]
        return {**item, "tools": [one for one in scoped if not self.tools.is_off(one)]}

    def _native(self, item: Item) -> bool:
        kind = str(item.get("type"))
        known = BY_CALL.get(kind) or BY_OUTPUT.get(kind)
        if item.get("namespace") and self.provider.native("namespace"):
            return True
        return self.provider.native(known.tool_type if known else kind.removesuffix("_call"))

    def _keep(self, item: Item) -> None:
        self.tools.ids.add(call_id(item))
        self.talk.keep(item)

    def _output(self, position: int) -> list[Item]:
        alone = position not in self._answered
        native = self._native(self.items[position])
        return super()._output(position) if alone or not native else []

    def _reasoning(self, position: int, item: Item) -> None:
        if made := reasoning.to_responses(item, self.provider):
            self.talk.keep(made)
        elif item.get("encrypted_content") or reasoning.summary(item):
            self.tools.dropped.append(f"{self._at(position)} (reasoning)")

    def _compaction(self, position: int, item: Item) -> None:
        if self.provider.reads_foreign_seals() and compaction.to_text(item) is None:
            self.talk.keep(item)  # OpenAI sealed it and may well be here
        else:
            super()._compaction(position, item)

    HANDLERS = {
        **Messages.HANDLERS,
        "reasoning": _reasoning,
        **dict.fromkeys(compaction.COMPACTED, _compaction),
    }


MENDED = frozenset({"reasoning", compaction.TRIGGER, *compaction.COMPACTED})
