"""A request body, Chat → Responses: the request as a Responses client would have sent it.

It is then handled as any Responses request, so this module knows nothing of upstreams.
"""

import re
from collections.abc import Callable
from hashlib import blake2s
from typing import Any, ClassVar, NamedTuple

from translate.mappings import annotations, reasoning
from translate.mappings.content import image_fields, part_to_responses
from translate.tools.kinds import CUSTOM, FUNCTION
from translate.wire import codec
from translate.wire.errors import BadRequest
from translate.wire.requests import (
    CHAT_CALL_BODY_FIELDS,
    CHAT_CALL_FIELDS,
    PART_FIELDS,
    TOOL_FIELDS,
    ChatRequest,
    ResponsesRequest,
    StreamOptions,
    StreamSettings,
    check_fields,
    validate_body,
    validate_chat_request,
    validate_responses_request,
)

Json = dict[str, Any]
Item = dict[str, Any]

# Chat field → Responses field; a dot leads into an object.
RENAMED_FIELDS = {
    "parallel_tool_calls": "parallel_tool_calls",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "stop": "stop",
    "stream": "stream",
}
# Responses field → the Chat field that errors and `dropped` name.
CHAT_FIELDS = {"text.format": "response_format", annotations.LOGPROBS_INCLUDE: "logprobs"}
PART_TYPES = ("text", "image_url", "file", "input_audio")
# Tool choices, which Anthropic's clients send as objects. They send `any`, too, as Mistral's do.
TOOL_CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
# Characters of a call_id: https://platform.openai.com/docs/api-reference/responses/create
CALL_ID_LIMIT = 64
NO_PARAMETERS: Json = {"type": "object", "properties": {}}
ITEM_PATH = re.compile(r"input\[(\d{1,9})\](.*)", re.DOTALL)


class ParsedRequest(NamedTuple):
    """A client's request in Responses terms."""

    request: ResponsesRequest
    reply_options: Json = {}  # arguments for the reply machine: how the client wants its reply
    dropped: tuple[str, ...] = ()
    client_path: Callable[[str], str] = str  # a path in `request` → the path in the client's body
    stop_sequences: tuple[str, ...] = ()


def parse_chat_request(body: Json) -> ParsedRequest:
    """A Chat client's request. Raises BadRequest, with the path of the field."""
    if "messages" not in body and "input" in body:
        return _parse_responses_body(body)
    chat_request = validate_chat_request(body)
    if chat_request.n not in (None, 1):
        message = f"n: {chat_request.n} answers are wanted, but the relay gives one"
        raise BadRequest(message, param="n")
    builder = ResponsesInputBuilder(chat_request)
    extra = chat_request.model_extra or {}
    misplaced_fields = extra.keys() & ResponsesRequest.model_fields.keys()
    fields: Json = {name: value for name, value in extra.items() if name not in misplaced_fields}
    fields |= {"model": chat_request.model, "input": builder.items, "store": False}
    if builder.instructions:
        fields["instructions"] = "\n\n".join(builder.instructions)
    legacy = bool(chat_request.functions) and not chat_request.tools
    fields |= {"parallel_tool_calls": False} if legacy else {}  # `function_call` holds one call
    fields |= _tool_fields(chat_request) | _setting_fields(chat_request)
    store_field = ["store"] if chat_request.store else []
    usage = _wants_usage(chat_request.stream, chat_request.stream_options)
    stop = chat_request.stop
    stop = [stop] if isinstance(stop, str) else stop or []
    return ParsedRequest(
        request=validate_responses_request(fields),
        reply_options={"usage": usage, "legacy": legacy},
        dropped=(*builder.dropped, *sorted(misplaced_fields), *store_field),
        client_path=_client_paths(chat_request, builder.origins),
        stop_sequences=tuple(filter(None, stop)),
    )


def _client_paths(chat_request: ChatRequest, origins: list[int]) -> Callable[[str], str]:
    """Path in the Responses request → path in the client's body.

    `origins`: the message that each item comes from.
    """
    names = CHAT_FIELDS | {
        field: name
        for name, field in RENAMED_FIELDS.items()
        if getattr(chat_request, name) is not None
    }

    def client_path(path: str) -> str:
        match = ITEM_PATH.fullmatch(path)
        if match and int(match[1]) < len(origins):
            return f"messages[{origins[int(match[1])]}]{match[2]}"
        return names.get(path, path)

    return client_path


def _parse_responses_body(body: Json) -> ParsedRequest:
    """Cursor sends Responses bodies to Chat endpoints (gabrii/Cursor-Azure-GPT-5#69)."""
    request = validate_responses_request({**body, "store": False})
    extra = request.model_extra or {}
    fields = {"stream_options": extra.get("stream_options")}
    options = validate_body(StreamSettings, fields).stream_options
    dropped = ("store",) if body.get("store") else ()
    return ParsedRequest(request, {"usage": _wants_usage(request.stream, options)}, dropped)


def _wants_usage(stream: bool | None, options: StreamOptions | None) -> bool:
    return not stream or bool(options and options.include_usage)


def _setting_fields(chat_request: ChatRequest) -> Json:
    fields: Json = {"reasoning": dict(chat_request.reasoning)} if chat_request.reasoning else {}
    for name, path in RENAMED_FIELDS.items():
        value = getattr(chat_request, name)
        outer, _, inner = path.partition(".")
        if value not in (None, ""):  # forms send "" for a field that the user left open
            fields[outer] = fields.get(outer, {}) | {inner: value} if inner else value
    if chat_request.response_format:
        text_format = flatten_typed(chat_request.response_format, "response_format")
        fields["text"] = {**fields.get("text", {}), "format": text_format}
    return fields | ({"include": [annotations.LOGPROBS_INCLUDE]} if chat_request.logprobs else {})


def _tool_fields(chat_request: ChatRequest) -> Json:
    functions = [{"type": "function", "function": tool} for tool in chat_request.functions or []]
    chat_tools = [*(chat_request.tools or []), *functions]
    tools = [_tool_to_responses(tool, f"tools[{n}]") for n, tool in enumerate(chat_tools)]
    if chat_request.web_search_options is not None:
        tools.append(_search_tool(chat_request.web_search_options))
    choice = _tool_choice(chat_request)
    return ({"tools": tools} if tools else {}) | ({"tool_choice": choice} if choice else {})


def _tool_choice(chat_request: ChatRequest) -> str | Json | None:
    choice = chat_request.tool_choice or chat_request.function_call
    if isinstance(choice, dict) and str(choice.get("type")) in TOOL_CHOICES:
        choice = str(choice["type"])
    if isinstance(choice, str):
        return TOOL_CHOICES.get(choice, choice)
    if not choice:
        return None
    choice = {"type": "function", **choice} if chat_request.tool_choice is None else choice
    choice = flatten_typed(choice, "tool_choice")
    tools = [
        flatten_typed(tool, f"tool_choice.tools[{n}]")
        for n, tool in enumerate(choice.get("tools") or [])
    ]
    return choice | ({"tools": tools} if tools else {})


def _tool_to_responses(tool: Json, path: str) -> Json:
    responses_tool = flatten_typed(tool, path)
    tool_type = responses_tool["type"]
    if tool_type in (FUNCTION.tool_type, CUSTOM.tool_type) and not responses_tool.get("name"):
        name_path = f"{path}.{tool_type}.name"
        raise BadRequest(f"{name_path}: is missing", param=name_path)
    if isinstance(form := responses_tool.get("format"), dict):
        responses_tool["format"] = flatten_typed(form, f"{path}.format")
    if tool_type != FUNCTION.tool_type:
        return responses_tool
    # many clients send `{}` for a tool without parameters; Responses wants an object's schema
    schema = NO_PARAMETERS | (responses_tool.get("parameters") or {})
    # `strict` is always set, as its absence means true in Responses
    return responses_tool | {"parameters": schema, "strict": bool(responses_tool.get("strict"))}


def _search_tool(options: Json) -> Json:
    """`web_search_options` as a tool: in Chat they alone turn the search on."""
    fields = {name: value for name, value in options.items() if value is not None}
    if "user_location" in fields:
        path = "web_search_options.user_location"
        fields["user_location"] = flatten_typed(fields["user_location"], path)
    return {"type": "web_search", **fields}


def flatten_typed(value: Any, path: str) -> Json:
    """Chat's `{type, <type>: {…}}` as the flat object of Responses.

    Cursor sends the flat form to Chat endpoints, too (BerriAI/litellm#34029).
    """
    check_fields(value, TOOL_FIELDS, path)
    type_name = str(value.get("type") or FUNCTION.tool_type)
    inner = value.get(type_name) or {}
    check_fields(inner, TOOL_FIELDS, f"{path}.{type_name}")
    outer = {name: field for name, field in value.items() if name not in ("type", type_name)}
    return {"type": type_name} | outer | inner


class ResponsesInputBuilder:
    """Converts the messages in order; ROLES has a method for each role."""

    def __init__(self, chat_request: ChatRequest) -> None:
        self.instructions: list[str] = []
        self.items: list[Item] = []
        self.origins: list[int] = []  # for each item, the position of its message
        self.dropped: list[str] = []
        self._output_types: dict[str, str] = {}  # call id → type of its output
        self._legacy_call_ids: dict[str, str] = {}  # function → id of its latest legacy call
        for position, message in enumerate(chat_request.messages):
            items = self._convert_message(message, f"messages[{position}]")
            self.items += items
            self.origins += [position] * len(items)
        if not self.items and not self.instructions:
            raise BadRequest("messages: hold nothing to answer", param="messages")

    def _convert_message(self, message: Json, path: str) -> list[Item]:
        role = message.get("role")
        if (handler := self.ROLES.get(str(role))) is None:
            raise BadRequest(f"{path}.role: {role!r} is not a role", param=f"{path}.role")
        if message.get("name") and role not in ("tool", "function"):  # the calls of these have it
            self.dropped.append(f"{path}.name")
        return handler(self, message, path)

    def _convert_system(self, message: Json, path: str) -> list[Item]:
        """Leading system messages are the instructions; later ones keep their position."""
        parts = self._convert_parts(message.get("content"), path, ("text",))
        if not self.items:
            self.instructions += [text] if (text := _joined_text(parts)) else []
            return []
        return _message_items("developer", parts)

    def _convert_user(self, message: Json, path: str) -> list[Item]:
        return _message_items("user", self._convert_parts(message.get("content"), path))

    def _convert_assistant(self, message: Json, path: str) -> list[Item]:
        items = reasoning.reasoning_items(message)
        self.dropped += [f"{path}.{name}" for name in reasoning.foreign_seal_fields(message)]
        parts = self._convert_parts(message.get("content"), path, ("text", "refusal"))
        if refusal := message.get("refusal"):
            parts.append({"type": "refusal", "refusal": refusal})
        parts = [
            part | {"type": ASSISTANT_PART_TYPES.get(part["type"], part["type"])} for part in parts
        ]
        items += _message_items("assistant", parts)
        for number, call in enumerate(message.get("tool_calls") or []):
            items.append(self._call_item(call, f"{path}.tool_calls[{number}]"))
        if function_call := message.get("function_call"):
            items.append(self._legacy_call_item(function_call, f"{path}.function_call"))
        self.dropped += [f"{path}.{name}" for name in ("audio", "images") if message.get(name)]
        return items

    def _call_item(self, call: Any, path: str) -> Item:
        check_fields(call, CHAT_CALL_FIELDS, path)
        kind = CUSTOM if call.get("type") == CUSTOM.tool_type else FUNCTION
        function, field = call.get(kind.tool_type) or {}, str(kind.streamed_field)
        check_fields(function, CHAT_CALL_BODY_FIELDS, f"{path}.{kind.tool_type}")
        id_ = shorten_call_id(call.get("id") or "")
        self._output_types[id_] = kind.output_type
        value = function.get(field) or EMPTY_CALL_TEXTS[field]
        text = value if isinstance(value, str) else codec.json_text(value)
        name = function.get("name") or "unknown"
        return {"type": kind.call_type, "call_id": id_, "name": name, field: text}

    def _legacy_call_item(self, function: Json, path: str) -> Item:
        """`function_call`, the one call from before there were tools. It has no id."""
        id_ = f"call_{len(self.items)}"
        item = self._call_item({"id": id_, "function": function}, path)
        self._legacy_call_ids[item["name"]] = id_
        return item

    def _convert_tool(self, message: Json, path: str) -> list[Item]:
        return [self._output_item(message, message.get("tool_call_id") or "", path)]

    def _convert_function(self, message: Json, path: str) -> list[Item]:
        call_id = self._legacy_call_ids.get(message.get("name") or "", "")
        return [self._output_item(message, call_id, path)]

    def _output_item(self, message: Json, call_id: str, path: str) -> Item:
        id_ = shorten_call_id(call_id)
        parts = self._convert_parts(message.get("content"), path)
        text_only = all(part["type"] == "input_text" for part in parts)
        output = _joined_text(parts) if text_only else parts
        output_type = self._output_types.get(id_, FUNCTION.output_type)
        return {"type": output_type, "call_id": id_, "output": output}

    def _convert_parts(
        self, content: Any, path: str, types: tuple[str, ...] = PART_TYPES
    ) -> list[Item]:
        if isinstance(content, str):
            return [{"type": "input_text", "text": content}] if content else []
        parts = []
        for number, part in enumerate(content or []):
            part_path = f"{path}.content[{number}]"
            check_fields(part, PART_FIELDS, part_path)
            part_type = str(part.get("type"))
            value = part.get(part_type)
            if part_type in types and PART_CHECKS[part_type](value):
                parts += [part_to_responses(part)] if value else []
            else:
                self.dropped.append(f"{part_path} ({part_type})")
        return parts

    ROLES: ClassVar[dict[str, Callable[["ResponsesInputBuilder", Json, str], list[Item]]]] = {
        "system": _convert_system,
        "developer": _convert_system,
        "user": _convert_user,
        "assistant": _convert_assistant,
        "tool": _convert_tool,
        "function": _convert_function,
    }


# Some servers stream no arguments for a call that has none.
EMPTY_CALL_TEXTS = {"arguments": "{}", "input": ""}
ASSISTANT_PART_TYPES = {"input_text": "output_text"}  # of the parts in an assistant's message
# Whether the value of a part has the right form, by the part's type.
PART_CHECKS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "refusal": lambda value: isinstance(value, str),
    "image_url": lambda value: isinstance(image_fields(value).get("url"), str),
    "file": lambda value: isinstance(value, dict),
    "input_audio": lambda value: isinstance(value, dict),
}


def shorten_call_id(id: str) -> str:
    """A call id that fits in Responses' limit; equal ids give equal results."""
    if len(id) <= CALL_ID_LIMIT:
        return id
    return f"call_{blake2s(id.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"


def _message_items(role: str, parts: list[Item]) -> list[Item]:
    return [{"type": "message", "role": role, "content": parts}] if parts else []


def _joined_text(parts: list[Item]) -> str:
    return "\n".join(part["text"] for part in parts)
