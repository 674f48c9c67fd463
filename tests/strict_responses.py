"""Requests that partly compatible Responses servers refuse: `body_fault` returns the first fault of
a request, or None. Sources: llama.cpp's converter of /v1/responses, and the 400s of Ollama, LM
Studio and vLLM in public issue threads."""

import json
from collections.abc import Iterator
from typing import Any

from tests.strict_chat import TOOL_NAME

FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "input": list,
    "instructions": str,
    "stream": bool,
    "store": bool,
    "tools": list,
    "tool_choice": (str, dict),
    "parallel_tool_calls": bool,
    "reasoning": dict,
    "text": dict,
    "temperature": (int, float),
    "top_p": (int, float),
    "max_output_tokens": int,
    "frequency_penalty": (int, float),
    "presence_penalty": (int, float),
    "seed": int,
    "stop": (str, list),
}
ITEMS = {
    "message": {"type", "id", "role", "status", "content"},
    "function_call": {"type", "id", "call_id", "name", "arguments", "status"},
    "function_call_output": {"type", "id", "call_id", "output", "status"},
    "reasoning": {"type", "id", "summary", "content", "encrypted_content", "status"},
}
ROLES = {"system": "input_text", "user": "input_text", "assistant": "output_text"}
# The encrypted content that this server itself has sent; it refuses any other.
OWN = ("", "sealed-here")


def body_fault(body: Any) -> str | None:
    """The first fault of a request body, with its path."""
    return next(_body_faults(body), None)


def _body_faults(body: Any) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "body: not a JSON object"
        return
    for name, value in body.items():
        if name not in FIELDS:
            yield f"{name}: unknown parameter"
        elif not isinstance(value, FIELDS[name]):
            yield f"{name}: wrong type {type(value).__name__}"
    if body.get("store") is not False:
        yield "store: nothing is stored here"
    yield from _tool_faults(body)
    waiting: list[str] = []
    if not body.get("input"):
        yield "input: empty"
    for i, item in enumerate(body.get("input", [])):
        yield from _item_faults(
            f"input[{i}]", item, waiting, first=i == 0 and not body.get("instructions")
        )
    if waiting:
        yield f"input: no output for {waiting}"


def _tool_faults(body: dict[str, Any]) -> Iterator[str]:
    names = set()
    for i, tool in enumerate(body.get("tools", [])):
        if tool.get("type") != "function":
            yield f"tools[{i}].type: 'type' of tool must be 'function'"
        elif tool.keys() - {"type", "name", "description", "parameters", "strict"}:
            yield f"tools[{i}]: unknown fields {sorted(tool)}"
        elif not TOOL_NAME.fullmatch(tool["name"]) or tool["name"] in names:
            yield f"tools[{i}].name: {tool['name']!r}"
        names.add(tool.get("name"))
    match body.get("tool_choice", "auto"):
        case "auto" | "none" | "required":
            pass
        case {"type": "function", "name": name} if name in names:
            pass
        case other:
            yield f"tool_choice: {other!r}"


def _item_faults(
    at: str, item: dict[str, Any], waiting: list[str], *, first: bool
) -> Iterator[str]:
    kind = item.get("type")
    if kind not in ITEMS:
        yield f"{at}.type: cannot determine the type of {kind!r}"
        return
    if unknown := item.keys() - ITEMS[kind]:
        yield f"{at}.{sorted(unknown)[0]}: unknown field of {kind}"
    if kind == "function_call":
        yield from _call_faults(at, item, waiting)
    elif kind == "function_call_output":
        yield from _output_faults(at, item, waiting)
    elif kind == "reasoning":
        yield from _reasoning_faults(at, item)
    else:
        yield from _message_faults(at, item, waiting, first=first)


def _call_faults(at: str, item: dict[str, Any], waiting: list[str]) -> Iterator[str]:
    if not isinstance(json.loads(item["arguments"]), dict):
        yield f"{at}.arguments: not an object"
    if item["call_id"] in waiting:
        yield f"{at}.call_id: {item['call_id']!r} is there twice"
    waiting.append(item["call_id"])


def _output_faults(at: str, item: dict[str, Any], waiting: list[str]) -> Iterator[str]:
    if item["call_id"] not in waiting:
        yield f"{at}.call_id: no call {item['call_id']!r}"
    else:
        waiting.remove(item["call_id"])
    if not isinstance(item["output"], str):
        yield f"{at}.output: not a string"


def _reasoning_faults(at: str, item: dict[str, Any]) -> Iterator[str]:
    if item.get("encrypted_content") not in (None, *OWN):
        yield f"{at}.encrypted_content: could not be verified"
    if not item.get("content"):
        yield f"{at}.content: is empty"


def _message_faults(
    at: str, item: dict[str, Any], waiting: list[str], *, first: bool
) -> Iterator[str]:
    role = item["role"]
    if role not in ROLES:
        yield f"{at}.role: {role!r} is not one of {sorted(ROLES)}"
        return
    if waiting:
        yield f"{at}: {waiting} were not answered before this message"
    if role == "system" and not first:
        yield f"{at}: a system message must be the first"
    parts = item["content"]
    if role == "assistant" and isinstance(parts, str):
        yield f"{at}.content: an assistant's must be a list"
    if not parts:
        yield f"{at}.content: empty"
    for part in parts if isinstance(parts, list) else []:
        if part.get("type") not in (ROLES[role], *(["input_image"] * (role == "user"))):
            yield f"{at}.content: {part.get('type')!r} in a {role} message"
