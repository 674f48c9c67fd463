"""A request body, Responses → Chat."""

from collections.abc import Callable
from typing import Any, ClassVar

from translate.mappings import parameters, reasoning
from translate.mappings.content import output_to_chat, parts_to_chat, plain, words
from translate.mappings.omit import omit
from translate.providers import quirks
from translate.providers.profile import Provider
from translate.request.conversation import Conversation, Item, paired
from translate.state import compaction
from translate.tools.kinds import BY_CALL, OUTPUTS
from translate.tools.tool_map import ToolMap
from translate.wire.errors import BadRequest
from translate.wire.requests import ResponsesRequest

SYSTEM = ("system", "developer")
NOTHING = "input: holds nothing to answer"


def to_chat(
    request: ResponsesRequest, provider: Provider, model: str, tools: ToolMap, known: int = 0
) -> dict[str, Any]:
    """The Chat body. Fills `tools` and its list of what was dropped. Raises BadRequest.

    The first `known` items were not sent by the client, which counts its own from 0.
    """
    declare(request, tools, known)
    walk = Messages(request, provider, tools, known)
    messages = [*walk.head, *walk.made]
    if not messages:
        raise BadRequest(NOTHING, param="input")
    body: dict[str, Any] = {"model": model, "messages": messages}
    body |= parameters.to_chat(request, provider, tools)
    body |= tools.to_chat_tools()
    body["stream"] = True
    if provider.stream_options:
        body["stream_options"] = {"include_usage": True}
    quirks.mend(body, provider)
    omit(body, provider, tools.dropped)
    return body


def declare(request: ResponsesRequest, tools: ToolMap, known: int = 0) -> None:
    """Tools come in three places; all are declared before a name is used."""
    tools.declare(request.tools or [])
    for position, item in enumerate(request.items):
        if item.get("type") in ("additional_tools", "tool_search_output"):
            tools.declare(item.get("tools") or [], f"{_place(position, known)}.tools")


def _place(position: int, known: int) -> str:
    """How an item is called in errors and in what is reported."""
    return f"input[{position - known}]" if position >= known else f"history[{position}]"


class Messages:
    """Walks the input once; HANDLERS says what each item type does."""

    form: type[Conversation] = Conversation

    def __init__(
        self, request: ResponsesRequest, provider: Provider, tools: ToolMap, known: int
    ) -> None:
        self.items = request.items
        self.known = known
        self.provider = provider
        self.tools = tools
        self.leading: list[str] = []
        self._compacted: set[str] = set()
        self._answers = answers = paired(self.items)
        unthought = reasoning.blank(provider)
        self.talk = self.form(self._output, answers, tools.dropped, unthought)
        self._answered = frozenset(answers.values())
        if request.instructions:
            self._instructions(request.instructions)
        for position, item in enumerate(self.items):
            self._item(position, item)
        self.made = self.talk.close()
        self.leading += tools.manuals
        if words_ := parameters.format_in_words(request, provider):
            self.leading.append(words_)

    @property
    def head(self) -> list[Item]:
        """The message that joins all leading instructions."""
        joined = "\n\n".join(self.leading)
        return [{"role": self.provider.system_role, "content": joined}] if self.leading else []

    def _at(self, position: int) -> str:
        return _place(position, self.known)

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
            place = f"{self._at(position)}.type"
            raise BadRequest(f"{place}: is missing", param=place)
        else:
            self.tools.dropped.append(f"{self._at(position)} ({kind})")

    def _message(self, position: int, item: Item) -> None:
        role, place = item.get("role"), f"{self._at(position)}.content"
        if role not in ("user", "assistant", *SYSTEM):
            where = f"{self._at(position)}.role"
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
        text = self._text(item.get("content"), f"{self._at(position)}.content")
        head = f"[from {item.get('author')} to {item.get('recipient')}]"
        self.talk.add({"role": "user", "content": f"{head}\n{text}"})

    def _reasoning(self, position: int, item: Item) -> None:
        fields = reasoning.to_chat(item, self.provider)
        if fields:
            self.talk.think(fields)
        elif item.get("encrypted_content") or reasoning.summary(item):
            self.tools.dropped.append(f"{self._at(position)} (reasoning)")

    def _compaction(self, position: int, item: Item) -> None:
        """Its summary, once: after a resume Codex sends the same item twice (0.169)."""
        sealed = str(item.get("encrypted_content"))
        if sealed in self._compacted:
            return
        self._compacted.add(sealed)
        text = compaction.to_text(item)
        if text is None:
            self.tools.dropped.append(f"{self._at(position)} ({item['type']})")
        self.talk.add({"role": "user", "content": text or compaction.UNREADABLE})

    def _trigger(self, position: int, item: Item) -> None:
        """Asks for compaction, which is the exchange's affair; behind it nothing may come."""
        if position + 1 < len(self.items):
            place = self._at(position)
            raise BadRequest(f"{place}: a compaction_trigger must be the last item", param=place)

    def _nothing(self, position: int, item: Item) -> None:
        """`additional_tools`: declared already."""

    HANDLERS: ClassVar[dict[str, Callable[..., None]]] = {
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
        item, place = self.items[position], f"{self._at(position)}.output"
        if item["type"] == "tool_search_output":
            return [{"type": "text", "text": self._found(item)}]
        parts = output_to_chat(item.get("output"), place, self.tools.dropped)
        return self._seen(parts, place, self.provider.output_images)

    def _found(self, item: Item) -> str:
        """A search's result in words; the tools themselves are declared by now."""
        names = self.tools.names(item.get("tools") or [])
        return f"Tools found, ready to be called: {', '.join(names)}" if names else "None found."

    def _seen(self, parts: list[Item], place: str, shown: bool = True) -> list[Item]:
        blind = () if shown and self.provider.images else ("image_url",)
        return words(parts, place, self.tools.dropped, blind)

    def _words(self, parts: list[Item], place: str) -> list[Item]:
        """For roles that hold text only."""
        return words(parts, place, self.tools.dropped)

    def _text(self, content: Any, place: str) -> str:
        parts = self._words(parts_to_chat(content, place, self.tools.dropped), place)
        return "".join(part["text"] for part in parts)
