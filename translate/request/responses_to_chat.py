"""A request body, Responses → Chat.

ChatHistoryBuilder is also used for Responses upstreams, with another ConversationFormat.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from translate.mappings import parameters, reasoning
from translate.mappings.content import (
    ConvertedParts,
    output_to_chat,
    parts_to_chat,
    replace_media,
    simplify_content,
)
from translate.mappings.parameters import omit_fields
from translate.providers import quirks
from translate.providers.profile import Provider
from translate.request.conversation import (
    AssistantTurn,
    ChatTurn,
    Conversation,
    ConversationFormat,
    Item,
    Message,
    output_positions,
)
from translate.state import compaction
from translate.tools.kinds import KIND_BY_CALL_TYPE, OUTPUT_TYPES
from translate.tools.tool_map import ToolMap
from translate.wire.errors import BadRequest
from translate.wire.requests import ResponsesRequest

SYSTEM_ROLES = ("system", "developer")
EMPTY_INPUT = "input: holds nothing to answer"


def request_to_chat(
    request: ResponsesRequest, provider: Provider, model: str, tools: ToolMap, stored_count: int = 0
) -> tuple[dict[str, Any], list[str]]:
    """The Chat body and what was dropped. Fills `tools`. Raises BadRequest.

    The first `stored_count` items come from stored responses: the client's own count from 0.
    """
    dropped = declare_request_tools(request, tools, stored_count)
    history = ChatHistoryBuilder(request, provider, tools, stored_count, chat_format(provider))
    for position, item in enumerate(request.input_items):
        history.add_item(position, item)
    messages = history.close()
    messages = [*history.leading_message(), *messages]
    if not messages:
        raise BadRequest(EMPTY_INPUT, param="input")
    body: dict[str, Any] = {"model": model, "messages": messages}
    fields, unsupported_fields = parameters.parameters_to_chat(request, provider, tools)
    body |= fields
    body |= tools.chat_tool_fields()
    body["stream"] = True
    if provider.stream_options:
        body["stream_options"] = {"include_usage": True}
    quirks.apply_request_quirks(body, provider)
    return body, [*dropped, *history.dropped, *unsupported_fields, *omit_fields(body, provider)]


def chat_format(provider: Provider) -> ConversationFormat[ChatTurn]:
    empty_reasoning = reasoning.blank_reasoning(provider)
    return ConversationFormat(
        new_turn=lambda _: ChatTurn(empty_reasoning),
        output_message=_tool_message,
        convert_message=lambda message: message,
        convert_reasoning=reasoning.reasoning_to_chat,
    )


def _tool_message(call_id: str, text: str) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def declare_request_tools(
    request: ResponsesRequest, tools: ToolMap, stored_count: int = 0
) -> list[str]:
    """Declare the tools of the request and of its items; returns what was dropped.

    Items may bring tools, too. All are declared before an item names one.
    """
    dropped = tools.declare_tools(request.tools or [])
    for position, item in enumerate(request.input_items):
        if item.get("type") in ("additional_tools", "tool_search_output"):
            path = f"{_item_path(position, stored_count)}.tools"
            dropped += tools.declare_tools(item.get("tools") or [], path)
    return dropped


def _item_path(position: int, stored_count: int) -> str:
    """The path of an item in errors and `dropped`."""
    index = position - stored_count
    return f"input[{index}]" if index >= 0 else f"history[{position}]"


class ChatHistoryBuilder[Turn: AssistantTurn]:
    """Converts the items of a request in order; HANDLERS has a method for each type.

    `form`: how the messages are written.
    """

    def __init__(
        self,
        request: ResponsesRequest,
        provider: Provider,
        tools: ToolMap,
        stored_count: int,
        form: ConversationFormat[Turn],
    ) -> None:
        self.items = request.input_items
        self.outputs = output_positions(self.items)
        self._answer_positions = frozenset(self.outputs.values())
        self._stored_count = stored_count
        self._provider = provider
        self._tools = tools
        self._instructions: list[str] = []
        self._summary_seals: set[str] = set()
        self.conversation = Conversation(form, self._output_parts, self.outputs)
        self._add_instructions(request.instructions)
        self._format_instruction = parameters.format_in_words(request, provider)

    @property
    def dropped(self) -> Sequence[str]:
        return self.conversation.dropped

    def close(self) -> list[Message]:
        """End the input; returns the messages without the leading one."""
        messages = self.conversation.close()
        self._instructions += self._tools.long_descriptions
        if self._format_instruction:
            self._instructions.append(self._format_instruction)
        return messages

    def leading_message(self) -> list[Message]:
        """One message that joins all leading instructions; [] if there are none."""
        joined = "\n\n".join(self._instructions)
        role = self._provider.system_role
        return [{"role": role, "content": joined}] if self._instructions else []

    def item_path(self, position: int) -> str:
        return _item_path(position, self._stored_count)

    def answers_call(self, position: int) -> bool:
        """Whether the output at this position has its call in the conversation."""
        return position in self._answer_positions

    def add_item(self, position: int, item: Item) -> None:
        item_type = item.get("type") or ("message" if "role" in item else None)
        if item_type in KIND_BY_CALL_TYPE:
            self.conversation.add_call(position, self._tools.call_to_chat(item))
        elif item_type in OUTPUT_TYPES:
            self.add_output(position, item)
        elif handler := self.HANDLERS.get(str(item_type)):
            handler(self, position, item)
        elif item_type is None:
            path = f"{self.item_path(position)}.type"
            raise BadRequest(f"{path}: is missing", param=path)
        else:
            self._drop_item(position, item_type)

    def add_output(self, position: int, item: Item) -> None:
        """An output whose call is not in the conversation becomes a message of the user."""
        if self.answers_call(position):
            self.conversation.mark_output()
            return
        title = f"[output of a call that is not in this conversation: {item.get('call_id')}]"
        parts = self._take_parts(self._output_parts(position))
        text = {"type": "text", "text": title}
        self.conversation.add_message({"role": "user", "content": simplify_content([text, *parts])})

    def _drop_item(self, position: int, item_type: str) -> None:
        self.conversation.add_dropped([f"{self.item_path(position)} ({item_type})"])

    def _add_instructions(self, instructions: str | list[Item] | None) -> None:
        if isinstance(instructions, str):
            self._instructions += [instructions] if instructions else []
            return
        for position, item in enumerate(instructions or []):
            path = f"instructions[{position}].content"
            self._instructions.append(self._plain_text(item.get("content"), path))

    def _add_message(self, position: int, item: Item) -> None:
        role, path = item.get("role"), f"{self.item_path(position)}.content"
        if role not in ("user", "assistant", *SYSTEM_ROLES):
            path = f"{self.item_path(position)}.role"
            raise BadRequest(f"{path}: {role!r} is not a role", param=path)
        parts = self._take_parts(parts_to_chat(item.get("content"), path))
        parts = self._take_parts(
            self._describe_images(parts, path) if role == "user" else replace_media(parts, path)
        )
        if not parts:
            return
        if role == "assistant":
            self.conversation.open_turn().add_text(parts)
        elif role == "user":
            self.conversation.add_message({"role": "user", "content": simplify_content(parts)})
        elif self.conversation.has_begun:
            late_role, text = self._provider.late_system_role, str(simplify_content(parts))
            content = f"<system>\n{text}\n</system>" if late_role == "user" else text
            self.conversation.add_message({"role": late_role, "content": content})
        else:
            self._instructions += [part["text"] for part in parts]

    def _add_agent_message(self, position: int, item: Item) -> None:
        """A message from another agent: the model reads it as the user's, with its sender named."""
        text = self._plain_text(item.get("content"), f"{self.item_path(position)}.content")
        title = f"[from {item.get('author')} to {item.get('recipient')}]"
        self.conversation.add_message({"role": "user", "content": f"{title}\n{text}"})

    def _add_reasoning(self, position: int, item: Item) -> None:
        if converted := self.conversation.form.convert_reasoning(item, self._provider):
            self.conversation.open_turn().add_reasoning(converted)
        elif item.get("encrypted_content") or reasoning.reasoning_text(item):
            self._drop_item(position, "reasoning")

    def _add_compaction(self, position: int, item: Item) -> None:
        """Add the summary once: after a resume Codex sends the same item twice (0.169)."""
        seal = item.get("encrypted_content")
        if seal in self._summary_seals:
            return
        self._summary_seals |= {seal} if seal else set()
        text = compaction.summary_text(item)
        if text is None:
            self._drop_item(position, item["type"])
        content = text or compaction.UNREADABLE_SUMMARY
        self.conversation.add_message({"role": "user", "content": content})

    def _check_trigger(self, position: int, item: Item) -> None:
        """A trigger is an error unless it is the last item, which the exchange handles."""
        if position + 1 < len(self.items):
            path = self.item_path(position)
            raise BadRequest(f"{path}: a compaction_trigger must be the last item", param=path)

    def _ignore_item(self, position: int, item: Item) -> None:
        """`declare_request_tools` has read `additional_tools`."""

    HANDLERS: ClassVar[dict[str, Callable[..., None]]] = {
        "message": _add_message,
        "agent_message": _add_agent_message,
        "reasoning": _add_reasoning,
        "additional_tools": _ignore_item,
        compaction.COMPACTION_TRIGGER: _check_trigger,
        **dict.fromkeys(compaction.COMPACTION_TYPES, _add_compaction),
    }

    def _output_parts(self, position: int) -> ConvertedParts:
        item, path = self.items[position], f"{self.item_path(position)}.output"
        if item["type"] == "tool_search_output":
            return [{"type": "text", "text": self._search_result(item)}], []
        parts, dropped = output_to_chat(item.get("output"), path)
        parts, hidden_images = self._describe_images(parts, path, self._provider.output_images)
        return parts, dropped + hidden_images

    def _search_result(self, item: Item) -> str:
        """The result of a tool search in words; the tools themselves have been declared."""
        names = self._tools.chat_names(item.get("tools") or [])
        return f"Tools found, ready to be called: {', '.join(names)}" if names else "None found."

    def _describe_images(self, parts: list[Item], path: str, images: bool = True) -> ConvertedParts:
        """The parts, with words in place of images that the provider does not take there."""
        takes_images = images and self._provider.images
        return replace_media(parts, path, () if takes_images else ("image_url",))

    def _plain_text(self, content: Any, path: str) -> str:
        parts = self._take_parts(
            replace_media(self._take_parts(parts_to_chat(content, path)), path)
        )
        return "".join(part["text"] for part in parts)

    def _take_parts(self, converted: ConvertedParts) -> list[Item]:
        """The parts; adds what was dropped to `dropped`."""
        parts, dropped = converted
        self.conversation.add_dropped(dropped)
        return parts
