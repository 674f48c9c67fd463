"""Requests that the ChatGPT backend refuses: `header_fault` and `body_fault` return the first
fault of a request to /codex/responses, or None. Sources: the 400s of the service in public issue
threads (dario#1009, ChatMock#103, CLIProxyAPI#982), and gateways that remove fields."""

import re
from collections.abc import Iterator
from typing import Any

from tests.backend_replies import is_sealed_by
from tests.strict_chat import HEADERS, TOOL_NAME

Json = dict[str, Any]
REQUIRED = ("chatgpt-account-id", "content-type", "originator", "user-agent")
KNOWN_HEADERS = HEADERS | {
    "chatgpt-account-id", "conversation_id", "cookie", "if-none-match", "openai-beta", "originator",
    "session-id", "session_id", "thread-id", "version", "x-client-request-id",
    "x-openai-internal-codex-responses-lite", "x-openai-subagent",
}  # fmt: skip
# SDKs, HTTP clients and browsers, and Codex itself: the relay must not pretend to be one of them.
OTHER_CLIENTS = re.compile(
    r"openai|python|httpx|node|axios|curl|mozilla|codex_|^codex/|codex-tui", re.I
)
FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "instructions": str,
    "input": list,
    "tools": list,
    "tool_choice": (str, dict),
    "parallel_tool_calls": bool,
    "reasoning": dict,
    "text": dict,
    "include": list,
    "prompt_cache_key": str,
    "service_tier": str,
    "store": bool,
    "stream": bool,
    "client_metadata": dict,
}
COMPACT_FIELDS = {
    "model",
    "input",
    "instructions",
    "tools",
    "parallel_tool_calls",
    "reasoning",
    "text",
}
TIERS = ("auto", "default", "flex", "priority")
PREFIX = {  # type → the start of its ids
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
}
CALLS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "tool_search_call": "tool_search_output",
    "local_shell_call": "local_shell_call_output",
}
TYPES = {
    *PREFIX, *CALLS, *CALLS.values(), "additional_tools", "agent_message", "compaction",
    "compaction_trigger", "configuration_update", "image_generation_call", "web_search_call",
}  # fmt: skip
PARTS = {
    "user": {"input_text", "input_image", "input_file"},
    "developer": {"input_text"},
    "assistant": {"output_text", "refusal"},
}
TOOLS = {"function", "custom", "namespace", "web_search", "image_generation", "tool_search"}
IMAGE_URL = re.compile(r"data:image/(png|jpeg|gif|webp);base64,|https://")


def header_fault(headers: dict[str, str]) -> str | None:
    """The first header that is missing, wrong or unexpected."""
    for name in REQUIRED:
        if not headers.get(name):
            return f"{name}: missing header"
    if headers["content-type"].partition(";")[0] != "application/json":
        return f"content-type: {headers['content-type']!r}"
    for name in ("originator", "user-agent"):
        if OTHER_CLIENTS.search(headers[name].replace("mitmcodex", "")):
            return f"{name}: {headers[name]!r} is another's"
    unexpected = (
        name for name in headers if name not in KNOWN_HEADERS and not name.startswith("x-codex-")
    )
    return next((f"{name}: unexpected header" for name in unexpected), None)


def body_fault(body: Any, account: str, *, compacts: bool = False) -> str | None:
    """The first fault of a request body, in the service's words."""
    return next(_compact_faults(body, account) if compacts else _body_faults(body, account), None)


def _body_faults(body: Any, account: str) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "Input should be a valid dictionary"
        return
    if body.get("store") is not False:
        yield "Store must be set to false"
    if body.get("stream") is not True:
        yield "Stream must be set to true"
    yield from _field_faults(body, FIELDS.keys())
    yield from _tool_faults(body)
    yield from _item_faults(body["input"], account)


def _compact_faults(body: Any, account: str) -> Iterator[str]:
    yield from _field_faults(body, COMPACT_FIELDS)
    yield from _item_faults(body["input"], account)


def _field_faults(body: Json, accepted: Any) -> Iterator[str]:
    if not isinstance(body.get("input"), list):
        yield "Input must be a list"
    if not isinstance(body.get("instructions"), str):
        yield "Instructions are required"
    for name, value in body.items():
        if name not in accepted:
            yield f"Unsupported parameter: {name}"
        elif not isinstance(value, FIELDS[name]):
            yield f"Invalid type for '{name}': got {type(value).__name__} instead."
    if not body.get("model"):
        yield "Model is required"
    if body.get("service_tier", "auto") not in TIERS:
        yield f"Unsupported service_tier: {body['service_tier']}"
    if len(body.get("prompt_cache_key", "")) > 64:
        yield "Invalid 'prompt_cache_key': string too long."


def _tool_faults(body: Json) -> Iterator[str]:
    names = set()
    for n, tool in enumerate(body.get("tools", [])):
        kind, name = tool.get("type"), tool.get("name")
        if kind not in TOOLS:
            yield f"Unsupported tool type: {kind}"
        if kind in ("function", "custom"):
            if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
                yield f"Invalid 'tools[{n}].name': {name!r} does not match the pattern."
            if name in names:
                yield f"Tool names must be unique: {name}"
        if kind == "function" and tool.get("parameters", {}).get("type") != "object":
            yield f"Invalid schema for function '{name}': schema must have type 'object'"
        names.add(name or kind)
    yield from _choice_faults(body, names)


def _choice_faults(body: Json, names: set[Any]) -> Iterator[str]:
    match body.get("tool_choice", "auto"):
        case "auto" | "none" | "required" | {"type": "allowed_tools"}:
            pass
        case {"type": "function" | "custom", "name": name} if name in names:
            pass
        case {"type": kind} if kind in names:
            pass
        case other:
            yield f"Tool choice {other!r} not found in 'tools' parameter."
    match body.get("text", {}).get("format"):
        case {"type": "json_schema", **rest} if not {"name", "schema"} <= rest.keys():
            yield "Missing required parameter: 'text.format.name'."


def _item_faults(items: list[Json], account: str) -> Iterator[str]:
    waiting: dict[str, str] = {}  # call id → type of the output that it waits for
    for n, item in enumerate(items):
        kind = item.get("type", "message")
        if kind not in TYPES:
            yield f"Invalid value: '{kind}'. (input[{n}].type)"
        prefix, id = PREFIX.get(kind), item.get("id")
        if prefix and id is not None and not re.fullmatch(rf"{prefix}_[\w-]{{1,60}}", str(id)):
            yield f"Invalid 'input[{n}].id': '{id}'. Expected an ID that begins with '{prefix}'."
        yield from CHECKS.get(kind, _no_faults)(n, item, waiting, account)
    for id in waiting:
        yield f"No tool output found for function call {id}."


def _no_faults(n: int, item: Json, waiting: dict[str, str], account: str) -> Iterator[str]:
    yield from ()


def _message_faults(n: int, item: Json, waiting: dict[str, str], account: str) -> Iterator[str]:
    role, content = item.get("role"), item.get("content")
    if role == "system":
        yield "System messages are not allowed"
        return
    if role not in PARTS:
        yield f"Invalid value: '{role}'. (input[{n}].role)"
        return
    if not content:
        yield f"Invalid 'input[{n}].content': empty."
    for part in content if isinstance(content, list) else []:
        if part.get("type") not in PARTS[role]:
            yield f"Invalid value: '{part.get('type')}'. (input[{n}].content of a {role})"
        if "prompt_cache_breakpoint" in part:
            yield "Unsupported parameter: prompt_cache_breakpoint"
        if part.get("type") == "input_image" and not IMAGE_URL.match(str(part.get("image_url"))):
            yield f"Invalid 'input[{n}].content': no image URL."


def _reasoning_faults(n: int, item: Json, waiting: dict[str, str], account: str) -> Iterator[str]:
    sealed = item.get("encrypted_content")
    if not sealed:
        yield (
            f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is "
            "set to false."
        )
    elif not is_sealed_by(account, str(item.get("id")), sealed):
        yield f"The encrypted content {sealed[:8]}... could not be verified."
    if not isinstance(item.get("summary"), list):
        yield f"Missing required parameter: 'input[{n}].summary'."


def _compaction_faults(n: int, item: Json, waiting: dict[str, str], account: str) -> Iterator[str]:
    sealed = str(item.get("encrypted_content"))
    if not is_sealed_by(account, "compaction", sealed):
        yield f"The encrypted content {sealed[:8]}... could not be verified."


def _call_faults(n: int, item: Json, waiting: dict[str, str], account: str) -> Iterator[str]:
    id, kind = str(item.get("call_id") or ""), item["type"]
    if not 0 < len(id) <= 64:
        yield f"Invalid 'input[{n}].call_id': a string of 1 to 64 characters is expected."
    if kind == "function_call" and not item.get("arguments"):
        yield f"Missing required parameter: 'input[{n}].arguments'."
    if kind == "custom_tool_call" and not isinstance(item.get("input"), str):
        yield f"Missing required parameter: 'input[{n}].input'."
    waiting[id] = CALLS[kind]


def _output_faults(n: int, item: Json, waiting: dict[str, str], account: str) -> Iterator[str]:
    id = str(item.get("call_id"))
    if waiting.pop(id, None) != item["type"]:
        yield f"No tool call found for function call output with call_id {id}."
    if not isinstance(item.get("output", item.get("tools")), str | list):
        yield f"Missing required parameter: 'input[{n}].output'."


CHECKS = {
    "message": _message_faults,
    "reasoning": _reasoning_faults,
    "compaction": _compaction_faults,
    **dict.fromkeys(CALLS, _call_faults),
    **dict.fromkeys(CALLS.values(), _output_faults),
}
