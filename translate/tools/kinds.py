"""Kinds of tools: how each type is declared to a Chat model, and how its calls travel both ways.

A Chat model knows only functions, so every kind of Responses tool is declared as a function.
Source: https://developers.openai.com/api/reference/resources/responses (tools, input items).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from translate.tools.schema_restore import SCHEMAS_BY_NAME
from translate.wire import codec

Tool = dict[str, Any]
Item = dict[str, Any]
Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One tool type: its declaration, and its calls in both directions."""

    tool_type: str
    call_type: str
    output_type: str
    id_prefix: str  # of the call item's id
    parameter_schema: Callable[[Tool], Json]
    describe_tool: Callable[[Tool], str]
    call_to_arguments: Callable[[Item], str]  # a call item of the history → Chat arguments
    arguments_to_call: Callable[[str], Item]  # the inverse; the fields that the kind adds
    streamed_field: str | None = None  # the field whose text streams
    stream_event: str = ""  # it streams in `response.<stream_event>.delta`


def _tool_description(tool: Tool) -> str:
    return str(tool.get("description") or "")


# function


def _function_schema(tool: Tool) -> Json:
    schema = tool.get("parameters")
    if not isinstance(schema, dict) or not schema:
        return {"type": "object", "properties": {}}
    return {"type": "object", **remove_encrypted_marks(schema)}


DATA_KEYWORDS = frozenset({"default", "const", "enum", "examples"})


def remove_encrypted_marks(schema: Json) -> Json:
    """The schema without Codex's `encrypted: true` marks, which ask OpenAI to seal a value."""
    return {
        keyword: _unmark_value(keyword, value)
        for keyword, value in schema.items()
        if not (keyword == "encrypted" and value is True)
    }


def _unmark_value(keyword: str, value: Any) -> Any:
    if keyword in DATA_KEYWORDS:
        return value
    if isinstance(value, list):
        return [_unmark_value("", item) for item in value]
    if not isinstance(value, dict):
        return value
    if keyword in SCHEMAS_BY_NAME:  # a tool may have a parameter called `encrypted`
        return {name: _unmark_value("", item) for name, item in value.items()}
    return remove_encrypted_marks(value)


def _function_arguments(item: Item) -> str:
    arguments = item.get("arguments")
    if isinstance(arguments, dict):
        return codec.json_text(arguments)
    text = str(arguments or "{}")
    # Servers parse the arguments in the history for their templates, and accept only objects.
    return text if codec.is_json_object(text) else codec.json_text({"arguments": text})


# custom: free text travels as `input`, the only argument


def _custom_schema(_: Tool) -> Json:
    return {
        "type": "object",
        "properties": {"input": {"type": "string", "description": "The tool's whole input."}},
        "required": ["input"],
        "additionalProperties": False,
    }


def _custom_description(tool: Tool) -> str:
    form = tool.get("format") or {}
    description = _tool_description(tool)
    if form.get("type") != "grammar":
        return description
    grammar = f"`input` must match this {form.get('syntax', '')} grammar:\n{form.get('definition')}"
    return f"{description}\n\n{grammar}" if description else grammar


def _custom_call_fields(arguments: str) -> Item:
    try:
        body = codec.load_json(arguments)
    except ValueError:
        return {"input": arguments}  # the model wrote the bare input, as freeform tools ask
    match body:
        case {"input": str(text)}:
            return {"input": text}
        case str(text):
            return {"input": text}
        case dict() if len(body) == 1 and isinstance(text := next(iter(body.values())), str):
            return {"input": text}
    return {"input": arguments}


# tool_search and local_shell: the call item holds the arguments as an object


def _search_schema(tool: Tool) -> Json:
    return _function_schema(tool) if tool.get("parameters") else SEARCH_SCHEMA


SEARCH_SCHEMA: Json = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "number"}},
    "required": ["query"],
}
SHELL_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}},
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "number"},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["command"],
}


def _parse_object(arguments: str) -> Json | None:
    try:
        body = codec.load_json(arguments or "{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _search_call_fields(arguments: str) -> Item:
    parsed_arguments = _parse_object(arguments)
    return {
        "execution": "client",
        "arguments": {"query": arguments} if parsed_arguments is None else parsed_arguments,
    }


def _shell_arguments(item: Item) -> str:
    action = item.get("action")
    fields = action if isinstance(action, dict) else {}
    return codec.json_text({key: value for key, value in fields.items() if key != "type"})


def _shell_call_fields(arguments: str) -> Item:
    parsed_arguments = _parse_object(arguments)
    action = {"command": ["sh", "-c", arguments]} if parsed_arguments is None else parsed_arguments
    return {"action": {"type": "exec", "command": [], "env": {}} | action}


FUNCTION = Kind(
    tool_type="function",
    call_type="function_call",
    output_type="function_call_output",
    id_prefix="fc",
    parameter_schema=_function_schema,
    describe_tool=_tool_description,
    call_to_arguments=_function_arguments,
    arguments_to_call=lambda arguments: {"arguments": arguments or "{}"},
    streamed_field="arguments",
    stream_event="function_call_arguments",
)
CUSTOM = Kind(
    tool_type="custom",
    call_type="custom_tool_call",
    output_type="custom_tool_call_output",
    id_prefix="ctc",
    parameter_schema=_custom_schema,
    describe_tool=_custom_description,
    call_to_arguments=lambda item: codec.json_text({"input": str(item.get("input") or "")}),
    arguments_to_call=_custom_call_fields,
    streamed_field="input",
    stream_event="custom_tool_call_input",
)
TOOL_SEARCH = Kind(
    tool_type="tool_search",
    call_type="tool_search_call",
    output_type="tool_search_output",
    id_prefix="tsc",
    parameter_schema=_search_schema,
    describe_tool=_tool_description,
    call_to_arguments=_function_arguments,
    arguments_to_call=_search_call_fields,
)
LOCAL_SHELL = Kind(
    tool_type="local_shell",
    call_type="local_shell_call",
    output_type="local_shell_call_output",
    id_prefix="lsh",
    parameter_schema=lambda _: SHELL_SCHEMA,
    describe_tool=lambda _: "Runs a command on the user's machine and returns its output.",
    call_to_arguments=_shell_arguments,
    arguments_to_call=_shell_call_fields,
)
KINDS = (FUNCTION, CUSTOM, TOOL_SEARCH, LOCAL_SHELL)
KIND_BY_TOOL_TYPE = {kind.tool_type: kind for kind in KINDS}
KIND_BY_CALL_TYPE = {kind.call_type: kind for kind in KINDS}
OUTPUT_TYPES = frozenset(kind.output_type for kind in KINDS)
NAMED_TOOL_TYPES = frozenset({"function", "custom"})  # other tools have their type for a name
