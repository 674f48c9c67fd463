"""A request body for a Responses upstream, which may know only a part of the dialect.

Items that it takes pass unchanged; all others are converted as for Chat, but written as items.
Real servers refuse tools that are not functions (ggml-org/llama.cpp#20156,
lmstudio-ai/lmstudio-bug-tracker#1810, ollama/ollama#17618), unknown items, images in outputs, and
reasoning or summaries that another provider has sealed.
"""

from typing import Any

from translate.mappings import parameters, reasoning
from translate.mappings.content import Part, part_to_responses
from translate.mappings.parameters import omit_fields
from translate.providers.profile import Provider
from translate.request.chat_to_responses import shorten_call_id
from translate.request.conversation import (
    NO_OUTPUT,
    ConversationFormat,
    Item,
    Message,
)
from translate.request.responses_to_chat import (
    EMPTY_INPUT,
    SYSTEM_ROLES,
    ChatHistoryBuilder,
    declare_request_tools,
)
from translate.state import compaction
from translate.tools.kinds import KIND_BY_CALL_TYPE, KINDS, NAMED_TOOL_TYPES, OUTPUT_TYPES, Kind
from translate.tools.tool_map import ToolMap, call_id_of
from translate.wire.errors import BadRequest
from translate.wire.requests import ResponsesRequest

# Codex's own bookkeeping on items, which no model should see.
CODEX_METADATA = "internal_chat_message_metadata_passthrough"
KIND_BY_OUTPUT_TYPE = {kind.output_type: kind for kind in KINDS}
OPENAI_ID_PREFIXES = {"message": "msg", **{kind.call_type: kind.id_prefix for kind in KINDS}}
# These do not pass unchanged: a provider's reasoning goes back to that provider alone.
ALWAYS_CONVERTED = frozenset(
    {"reasoning", compaction.COMPACTION_TRIGGER, *compaction.COMPACTION_TYPES}
)


def request_to_responses(
    request: ResponsesRequest, provider: Provider, model: str, tools: ToolMap, stored_count: int = 0
) -> tuple[dict[str, Any], list[str]]:
    """The Responses body and what was dropped. Fills `tools`. Raises BadRequest.

    The first `stored_count` items come from stored responses: the client's own count from 0.
    """
    if provider.passes_through("*"):
        dropped = tools.declare_tools(request.tools or [])
    else:
        dropped = declare_request_tools(request, tools, stored_count)
    history = ChatHistoryBuilder(request, provider, tools, stored_count, ITEM_FORMAT)
    builder = ResponsesHistoryBuilder(history, provider, tools)
    for position, item in enumerate(request.input_items):
        builder.add_item(position, item)
    items = history.close()
    lead = history.leading_message()
    body: dict[str, Any] = {"model": model}
    if request.instructions and items and not _needs_json_in_input(request, lead):
        [joined] = lead
        body["instructions"], lead = joined["content"], []
    elif provider.instructions:  # this provider demands the field; the client's own win
        roles = (item.get("role") for item in request.input_items)
        has_own = bool(lead) or any(role in SYSTEM_ROLES for role in roles)
        body["instructions"] = "" if has_own else provider.instructions
    body["input"] = [*map(message_item, lead), *items]
    if not body["input"]:
        raise BadRequest(EMPTY_INPUT, param="input")
    fields, unsupported_fields = parameters.parameters_to_responses(request, provider, tools)
    body |= fields
    functions = [_function_tool(tool, provider) for tool in tools.functions]
    if body_tools := [*functions, *tools.native_tools]:
        tools.check_tools_limit(body_tools)
        body["tools"] = body_tools
    body |= {"store": False, "stream": True}
    return body, [*dropped, *history.dropped, *unsupported_fields, *omit_fields(body, provider)]


def _needs_json_in_input(request: ResponsesRequest, lead: list[Message]) -> bool:
    """Whether the leading message must stay in the input.

    JSON mode requires the word in the input: "Response input messages must contain the word
    'json'" (pydantic/pydantic-ai, models/openai.py).
    """
    form = request.text and request.text.format
    json_mode = form and form.get("type") == "json_object"
    return bool(json_mode) and "json" in str(lead).lower()


def _function_tool(tool: Item, provider: Provider) -> Item:
    # `strict` is always sent, as its absence means true here (in llama.cpp, too)
    function = parameters.flatten_typed_object(tool)
    return function if provider.strict is False else {"strict": False} | function


def message_item(message: Message) -> Item:
    """A message item from a Chat message that is not the assistant's."""
    content = message["content"]
    parts = content if isinstance(content, str) else [part_to_responses(part) for part in content]
    return {"type": "message", "role": message["role"], "content": parts}


def _assistant_item(text: str, number: int) -> Item:
    """An assistant message with all fields that any server requires."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed",
        "content": [part],
    }  # fmt: skip


def _function_output(call_id: str, text: str) -> Item:
    return {"type": "function_call_output", "output": text, "call_id": call_id}


class ItemTurn:
    """The assistant's turn as Responses items in their order."""

    def __init__(self, offset: int) -> None:
        self._offset = offset  # how many items stand before the turn
        self._items: list[Item] = []  # before the first call
        self._calls: list[Item] = []  # from the first call on

    @property
    def is_empty(self) -> bool:
        return not (self._items or self._calls)

    def add_text(self, parts: list[Part]) -> None:
        """Insert text before the calls of its turn, which their outputs must follow."""
        text = "\n".join(part["text"] for part in parts)
        number = self._offset + len(self._items) + len(self._calls)
        self._items.append(_assistant_item(text, number))

    def add_reasoning(self, item: Item) -> None:
        self.add_item(item)

    def add_call(self, call: Message) -> None:
        self.add_item({"type": "function_call", "call_id": call["id"], **call["function"]})

    def add_item(self, item: Item) -> None:
        """An item in its place, unchanged."""
        is_call = item.get("type") in KIND_BY_CALL_TYPE
        (self._calls if self._calls or is_call else self._items).append(item)

    def build_messages(self) -> list[Item]:
        items = self._items + self._calls
        only_reasoning = all(item.get("type") == "reasoning" for item in items)
        return [] if only_reasoning else items


ITEM_FORMAT = ConversationFormat(
    new_turn=ItemTurn,
    output_message=_function_output,
    convert_message=message_item,
    convert_reasoning=reasoning.reasoning_to_responses,
    convert_call_id=shorten_call_id,
)


class ResponsesHistoryBuilder:
    """Passes items that the upstream takes; `history` converts all others."""

    def __init__(
        self, history: ChatHistoryBuilder[ItemTurn], provider: Provider, tools: ToolMap
    ) -> None:
        self._history = history
        self._conversation = history.conversation
        self._provider = provider
        self._tools = tools
        self._output_call_ids: dict[int, str] = {}  # position of an output → its call's new id

    def add_item(self, position: int, item: Item) -> None:
        item = {name: value for name, value in item.items() if name != CODEX_METADATA}
        if self._is_sealed_by_openai(item):
            self._conversation.open_turn().add_item(item)
        elif item.get("type") in ALWAYS_CONVERTED or not self._is_native(item):
            self._history.add_item(position, item)
        elif self._provider.passes_through("*"):
            self._add_openai_item(position, self._without_disabled_tools(item))
        elif item["type"] in KIND_BY_CALL_TYPE:
            self._add_native_call(position, item)
        elif item["type"] in OUTPUT_TYPES:
            self._history.add_output(position, item)
        else:
            self._add_unchanged(item)

    def _is_native(self, item: Item) -> bool:
        """Whether the upstream takes such an item."""
        item_type = str(item.get("type"))
        kind = KIND_BY_CALL_TYPE.get(item_type) or KIND_BY_OUTPUT_TYPE.get(item_type)
        if item.get("namespace") and self._provider.passes_through("namespace"):
            return True
        tool_type = kind.tool_type if kind else item_type.removesuffix("_call")
        return self._provider.passes_through(tool_type)

    def _is_sealed_by_openai(self, item: Item) -> bool:
        """Whether it is a summary that OpenAI sealed, for an upstream that can read it."""
        if item.get("type") not in compaction.COMPACTION_TYPES:
            return False
        return self._provider.reads_foreign_seals() and compaction.summary_text(item) is None

    def _add_native_call(self, position: int, item: Item) -> None:
        """Add a call that passes unchanged, and its output."""
        self._tools.call_ids.add(call_id_of(item))
        output_position = self._history.outputs.get(position)
        output = {"type": KIND_BY_CALL_TYPE[item["type"]].output_type, "output": NO_OUTPUT}
        if output_position is not None:
            output = {**self._history.items[output_position]}
            output.pop(CODEX_METADATA, None)
        turn = self._conversation.open_turn()
        unique = self._conversation.register_call(position, call_id_of(item), output)
        turn.add_item({**item, "call_id": unique})

    def _add_openai_item(self, position: int, item: Item) -> None:
        """Add an item for OpenAI, repaired where OpenAI would refuse it.

        It refuses an output without its call, a call without its output, ids of another form, and
        messages of the role `system`.
        """
        if item.get("type") in OUTPUT_TYPES and not self._history.answers_call(position):
            self._history.add_output(position, item)
            return
        item = _with_openai_ids(item)
        if item.get("role") == "system":
            item = {**item, "role": self._provider.late_system_role}
        kind = KIND_BY_CALL_TYPE.get(str(item.get("type")))
        if kind and kind.tool_type in NAMED_TOOL_TYPES:
            self._add_openai_call(position, item, kind)
        elif call_id := self._output_call_ids.get(position):
            self._add_unchanged({**item, "call_id": call_id})
        else:
            self._add_unchanged(item)

    def _add_openai_call(self, position: int, item: Item, kind: Kind) -> None:
        """Add a call under a unique id: some clients count anew in each turn, or give no id."""
        unique = self._conversation.unique_call_id(call_id_of(item))
        self._add_unchanged({**item, "call_id": unique})
        if (output_position := self._history.outputs.get(position)) is not None:
            self._output_call_ids[output_position] = unique
        else:
            output_item = {"type": kind.output_type, "call_id": unique, "output": NO_OUTPUT}
            self._conversation.open_turn().add_item(output_item)

    def _add_unchanged(self, item: Item) -> None:
        self._tools.call_ids.add(call_id_of(item))
        self._conversation.open_turn().add_item(item)

    def _without_disabled_tools(self, item: Item) -> Item:
        tools = item.get("tools")
        if not isinstance(tools, list) or not self._provider.tools_off:
            return item
        enabled = [self._tools.without_switched_off(tool) for tool in tools]
        enabled = [tool for tool in enabled if not self._tools.is_switched_off(tool)]
        return {**item, "tools": enabled}


def _with_openai_ids(item: Item) -> Item:
    prefix = OPENAI_ID_PREFIXES.get(str(item.get("type") or "message"))
    if prefix and not str(item.get("id")).startswith(f"{prefix}_"):
        item = {name: value for name, value in item.items() if name != "id"}
    if item.get("call_id"):
        item = {**item, "call_id": shorten_call_id(item["call_id"])}
    return item
