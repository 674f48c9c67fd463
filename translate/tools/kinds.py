"""Kinds: one tool type each, both ways: how it is declared, how its calls travel, and back.

A Chat model knows functions only, so every kind of Responses tool is declared as one.
Source: https://developers.openai.com/api/reference/resources/responses (tools, input items).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from translate.wire import codec

Tool = dict[str, Any]
Item = dict[str, Any]
Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One tool type: how it is declared, how a call of it travels, and back."""

    tool_type: str
    call_type: str
    output_type: str
    id_prefix: str  # of the call item's id
    parameters: Callable[[Tool], Json]
    description: Callable[[Tool], str]
    arguments: Callable[[Item], str]  # a call in the history → chat arguments
    payload: Callable[[str], Item]  # chat arguments → the call item's own fields; the inverse
    live: str | None = None  # the field whose text streams, in `response.<event>.delta`
    event: str = ""


def _description(tool: Tool) -> str:
    return str(tool.get("description") or "")


# function


def _schema(tool: Tool) -> Json:
    schema = tool.get("parameters")
    if not isinstance(schema, dict) or not schema:
        return {"type": "object", "properties": {}}
    return {"type": "object", **unmarked(schema)}


BY_NAME = frozenset({"properties", "patternProperties", "$defs", "definitions"})
DATA = frozenset({"default", "const", "enum", "examples"})


def unmarked(schema: Json) -> Json:
    """Without Codex's `encrypted: true` marks, which ask OpenAI's servers to seal the value."""
    return {k: _inner(k, v) for k, v in schema.items() if not (k == "encrypted" and v is True)}


def _inner(keyword: str, value: Any) -> Any:
    if keyword in DATA:
        return value
    if isinstance(value, list):
        return [_inner("", one) for one in value]
    if not isinstance(value, dict):
        return value
    if keyword in BY_NAME:  # a tool may well call a parameter `encrypted`
        return {name: _inner("", one) for name, one in value.items()}
    return unmarked(value)


def _function_arguments(item: Item) -> str:
    arguments = item.get("arguments")
    if isinstance(arguments, dict):
        return codec.text(arguments)
    text = str(arguments or "{}")
    # servers parse the history's arguments for their templates and refuse what is not an object
    return text if codec.is_object(text) else codec.text({"arguments": text})


# custom: free text, as the one string argument `input`


def _custom_schema(_: Tool) -> Json:
    return {
        "type": "object",
        "properties": {"input": {"type": "string", "description": "The tool's whole input."}},
        "required": ["input"],
        "additionalProperties": False,
    }


def _custom_description(tool: Tool) -> str:
    form = tool.get("format") or {}
    told = _description(tool)
    if form.get("type") != "grammar":
        return told
    grammar = f"`input` must match this {form.get('syntax', '')} grammar:\n{form.get('definition')}"
    return f"{told}\n\n{grammar}" if told else grammar


def _custom_payload(arguments: str) -> Item:
    try:
        body = codec.loads(arguments)
    except ValueError:
        return {"input": arguments}  # the model wrote the input itself, as freeform tools ask
    match body:
        case {"input": str(text)}:
            return {"input": text}
        case str(text):
            return {"input": text}
        case dict() if len(body) == 1 and isinstance(only := next(iter(body.values())), str):
            return {"input": only}
    return {"input": arguments}


# tool_search and local_shell: arguments are an object


def _search_schema(tool: Tool) -> Json:
    return _schema(tool) if tool.get("parameters") else SEARCH_SCHEMA


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


def _object(arguments: str) -> Json | None:
    try:
        body = codec.loads(arguments or "{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _search_payload(arguments: str) -> Item:
    found = _object(arguments)
    return {"execution": "client", "arguments": {"query": arguments} if found is None else found}


def _shell_arguments(item: Item) -> str:
    action = item.get("action") or {}
    return codec.text({key: value for key, value in action.items() if key != "type"})


def _shell_payload(arguments: str) -> Item:
    found = _object(arguments)
    action = {"command": ["sh", "-c", arguments]} if found is None else found
    return {"action": {"type": "exec", "command": [], "env": {}} | action}


FUNCTION = Kind(
    tool_type="function",
    call_type="function_call",
    output_type="function_call_output",
    id_prefix="fc",
    parameters=_schema,
    description=_description,
    arguments=_function_arguments,
    payload=lambda arguments: {"arguments": arguments or "{}"},
    live="arguments",
    event="function_call_arguments",
)
CUSTOM = Kind(
    tool_type="custom",
    call_type="custom_tool_call",
    output_type="custom_tool_call_output",
    id_prefix="ctc",
    parameters=_custom_schema,
    description=_custom_description,
    arguments=lambda item: codec.text({"input": str(item.get("input") or "")}),
    payload=_custom_payload,
    live="input",
    event="custom_tool_call_input",
)
TOOL_SEARCH = Kind(
    tool_type="tool_search",
    call_type="tool_search_call",
    output_type="tool_search_output",
    id_prefix="tsc",
    parameters=_search_schema,
    description=_description,
    arguments=_function_arguments,
    payload=_search_payload,
)
LOCAL_SHELL = Kind(
    tool_type="local_shell",
    call_type="local_shell_call",
    output_type="local_shell_call_output",
    id_prefix="lsh",
    parameters=lambda _: SHELL_SCHEMA,
    description=lambda _: "Runs a command on the user's machine and returns its output.",
    arguments=_shell_arguments,
    payload=_shell_payload,
)
KINDS = (FUNCTION, CUSTOM, TOOL_SEARCH, LOCAL_SHELL)
BY_TOOL = {kind.tool_type: kind for kind in KINDS}
BY_CALL = {kind.call_type: kind for kind in KINDS}
OUTPUTS = frozenset(kind.output_type for kind in KINDS)
NAMED = frozenset({"function", "custom"})  # the others are called by their type
