"""A request body, Responses → Chat."""

from typing import Any

from translate import compaction, reasoning
from translate.content import output_to_chat, parts_to_chat, plain, words
from translate.errors import BadRequest
from translate.kinds import BY_CALL, OUTPUTS
from translate.provider import Provider
from translate.responses import ResponsesRequest
from translate.tools import ToolMap
from translate.turns import Conversation, Item, paired

# Addressed to us or to Codex's own bookkeeping: nothing that a model should have seen.
OURS = frozenset({"client_metadata", "type", "generate", "stream_options"})
REASONING = "reasoning.encrypted_content"  # always included, in our own envelope
SYSTEM = ("system", "developer")


def to_chat(
    request: ResponsesRequest, provider: Provider, model: str, tools: ToolMap
) -> dict[str, Any]:
    """The Chat body. Fills `tools` and its list of what was dropped. Raises BadRequest."""
    items = request.items
    _declare(request, items, tools)
    body: dict[str, Any] = {"model": model, "messages": _Messages(request, provider, tools).made}
    body |= _parameters(request, provider, tools)
    if tools.declared:
        body["tools"] = tools.declared
    return body | {"stream": True, "stream_options": {"include_usage": True}}


def _declare(request: ResponsesRequest, items: list[Item], tools: ToolMap) -> None:
    """Tools come in three places; all are declared before a name is used."""
    tools.declare(request.tools or [])
    for position, item in enumerate(items):
        if item.get("type") in ("additional_tools", "tool_search_output"):
            tools.declare(item.get("tools") or [], f"input[{position}].tools")


class _Messages:
    """Walks the input once; HANDLERS says what each item type does."""

    def __init__(self, request: ResponsesRequest, provider: Provider, tools: ToolMap) -> None:
        self.items = request.items
        self.provider = provider
        self.tools = tools
        self.leading: list[str] = []
        self._compacted: set[str] = set()
        answers = paired(self.items)
        unthought = reasoning.blank(provider)
        self.talk = Conversation(self._output, answers, tools.dropped, unthought)
        self._answered = frozenset(answers.values())
        if request.instructions:
            self._instructions(request.instructions)
        for position, item in enumerate(self.items):
            self._item(position, item)
        self.made = self.talk.close()
        if self.leading:
            first = {"role": provider.system_role, "content": "\n\n".join(self.leading)}
            self.made.insert(0, first)
        if not self.made:
            raise BadRequest("input: holds nothing to answer", param="input")

    def _instructions(self, instructions: str | list[Item]) -> None:
        if isinstance(instructions, str):
            self.leading.append(instructions)
            return
        for position, item in enumerate(instructions):
            place = f"instructions[{position}].content"
            self.leading.append(self._text(item.get("content"), place))

    def _item(self, position: int, item: Item) -> None:
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind in BY_CALL:
            self.talk.call(position, self.tools.to_chat(item))
        elif kind in OUTPUTS:
            self._heard(position, item)
        elif handler := self.HANDLERS.get(str(kind)):
            handler(self, position, item)
        elif kind is None:
            place = f"input[{position}].type"
            raise BadRequest(f"{place}: is missing", param=place)
        else:
            self.tools.dropped.append(f"input[{position}] ({kind})")

    def _message(self, position: int, item: Item) -> None:
        role, place = item.get("role"), f"input[{position}].content"
        if role not in ("user", "assistant", *SYSTEM):
            where = f"input[{position}].role"
            raise BadRequest(f"{where}: {role!r} is not a role", param=where)
        parts = parts_to_chat(item.get("content"), place, self.tools.dropped)
        parts = self._seen(parts, place) if role == "user" else self._words(parts, place)
        if not parts:
            return
        if role == "assistant":
            self.talk.say(parts)
        elif role == "user":
            self.talk.add({"role": "user", "content": plain(parts)})
        elif self.talk.begun:
            late, text = self.provider.late_system_role, str(plain(parts))
            content = f"<system>\n{text}\n</system>" if late == "user" else text
            self.talk.add({"role": late, "content": content})
        else:
            self.leading += [part["text"] for part in parts]

    def _agent_message(self, position: int, item: Item) -> None:
        """Word from another agent: the model reads it as a user's, with its sender named."""
        text = self._text(item.get("content"), f"input[{position}].content")
        head = f"[from {item.get('author')} to {item.get('recipient')}]"
        self.talk.add({"role": "user", "content": f"{head}\n{text}"})

    def _reasoning(self, position: int, item: Item) -> None:
        fields = reasoning.to_chat(item, self.provider)
        if fields:
            self.talk.think(fields)
        elif item.get("encrypted_content") or reasoning.summary(item):
            self.tools.dropped.append(f"input[{position}] (reasoning)")

    def _compaction(self, position: int, item: Item) -> None:
        """Its summary, once: after a resume Codex sends the same item twice (0.169)."""
        sealed = str(item.get("encrypted_content"))
        if sealed in self._compacted:
            return
        self._compacted.add(sealed)
        text = compaction.to_text(item)
        if text is None:
            self.tools.dropped.append(f"input[{position}] ({item['type']})")
        self.talk.add({"role": "user", "content": text or compaction.UNREADABLE})

    def _trigger(self, position: int, item: Item) -> None:
        """Asks for compaction, which is the exchange's affair; behind it nothing may come."""
        if position + 1 < len(self.items):
            place = f"input[{position}]"
            raise BadRequest(f"{place}: a compaction_trigger must be the last item", param=place)

    def _nothing(self, position: int, item: Item) -> None:
        """`additional_tools`: declared already."""

    HANDLERS = {
        "message": _message,
        "agent_message": _agent_message,
        "reasoning": _reasoning,
        "additional_tools": _nothing,
        compaction.TRIGGER: _trigger,
        **dict.fromkeys(compaction.COMPACTED, _compaction),
    }

    def _heard(self, position: int, item: Item) -> None:
        if position in self._answered:
            self.talk.hear()
            return
        head = f"[output of a call that is not in this conversation: {item.get('call_id')}]"
        parts = [{"type": "text", "text": head}, *self._output(position)]
        self.talk.add({"role": "user", "content": plain(parts)})

    def _output(self, position: int) -> list[Item]:
        item, place = self.items[position], f"input[{position}].output"
        if item["type"] == "tool_search_output":
            return [{"type": "text", "text": self._found(item)}]
        return self._seen(output_to_chat(item.get("output"), place, self.tools.dropped), place)

    def _found(self, item: Item) -> str:
        """A search's result in words; the tools themselves are declared by now."""
        names = self.tools.names(item.get("tools") or [])
        return f"Tools found, ready to be called: {', '.join(names)}" if names else "None found."

    def _seen(self, parts: list[Item], place: str) -> list[Item]:
        blind = () if self.provider.images else ("image_url",)
        return words(parts, place, self.tools.dropped, blind)

    def _words(self, parts: list[Item], place: str) -> list[Item]:
        """For roles that hold text only."""
        return words(parts, place, self.tools.dropped)

    def _text(self, content: Any, place: str) -> str:
        parts = self._words(parts_to_chat(content, place, self.tools.dropped), place)
        return "".join(part["text"] for part in parts)


def _parameters(request: ResponsesRequest, provider: Provider, tools: ToolMap) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in _given(request):
        convert = PARAMETERS.get(name, _same)
        made = convert(name, value, provider, tools) if name in provider.parameters else None
        if made is None:
            if not _implied(name, value, tools):
                tools.dropped.append(name)
        else:
            body |= made
    return body


def _given(request: ResponsesRequest) -> list[tuple[str, Any]]:
    """Every parameter that the client set, in a fixed order, nested ones by dotted name."""
    reasoning_, text = request.reasoning, request.text
    given: dict[str, Any] = {
        "tool_choice": request.tool_choice,
        "parallel_tool_calls": request.parallel_tool_calls,
        "reasoning.effort": reasoning_ and reasoning_.effort,
        "text.format": text and text.format,
        "text.verbosity": text and text.verbosity,
        "max_output_tokens": request.max_output_tokens,
        "include": [name for name in request.include or [] if name != REASONING],
        "store": request.store,
        "background": request.background,
    }
    given |= {name: value for name, value in sorted((request.model_extra or {}).items())}
    return [(k, v) for k, v in given.items() if v is not None and k not in OURS]


def _implied(name: str, value: object, tools: ToolMap) -> bool:
    """Values that say what holds anyway, so that leaving them out loses nothing."""
    if name in ("tool_choice", "parallel_tool_calls"):
        return not tools.declared or value in ("auto", True)
    return (name, value) in HOLDS or value in ({}, [], "")


HOLDS = (
    ("store", False),
    ("background", False),
    ("text.format", {"type": "text"}),
    ("truncation", "disabled"),
    ("service_tier", "auto"),
    ("service_tier", "default"),
    ("top_logprobs", 0),
)


def _same(name: str, value: Any, provider: Provider, tools: ToolMap) -> dict[str, Any] | None:
    return {name: value}


def _max_tokens(name: str, value: Any, provider: Provider, tools: ToolMap) -> dict[str, Any]:
    return {provider.max_tokens: value}


def _effort(name: str, value: Any, provider: Provider, tools: ToolMap) -> dict[str, Any]:
    return {"reasoning_effort": provider.efforts.get(value, value)}


def _verbosity(name: str, value: Any, provider: Provider, tools: ToolMap) -> dict[str, Any]:
    return {"verbosity": value}


def _choice(name: str, value: Any, provider: Provider, tools: ToolMap) -> dict[str, Any] | None:
    choice = tools.choice(value)
    return {} if choice == "auto" else {name: choice}


def _parallel(name: str, value: Any, provider: Provider, tools: ToolMap) -> dict[str, Any] | None:
    # true is every provider's default; said only where it changes something
    return {name: False} if value is False and tools.declared else None


def _format(name: str, value: Any, provider: Provider, tools: ToolMap) -> dict[str, Any] | None:
    if value.get("type") == "json_schema":
        keys = ("name", "description", "schema", "strict")
        schema = {key: value[key] for key in keys if value.get(key) is not None}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {"response_format": value} if value.get("type") == "json_object" else None


PARAMETERS = {
    "max_output_tokens": _max_tokens,
    "reasoning.effort": _effort,
    "text.format": _format,
    "text.verbosity": _verbosity,
    "tool_choice": _choice,
    "parallel_tool_calls": _parallel,
}
