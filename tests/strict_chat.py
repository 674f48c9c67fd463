"""What real Chat Completions providers refuse, all of it together: `refusal(...)` names the first
fault of a request, or is None. Sources: the providers' API references and their 400s in public
issue threads."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

# Only what practically every provider takes; `Rules.fields` adds what one of them takes besides.
FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "messages": list,
    "stream": bool,
    "stream_options": dict,
    "tools": list,
    "tool_choice": (str, dict),
    "parallel_tool_calls": bool,
    "temperature": (int, float),
    "top_p": (int, float),
    "max_tokens": int,
    "max_completion_tokens": int,
    "stop": (str, list),
    "n": int,
    "seed": int,
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
    "logprobs": bool,
    "top_logprobs": int,
    "response_format": dict,
    "reasoning_effort": str,
    "user": str,
}
MESSAGE_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
# An HTTP client's own, and nothing that came from the relay's client.
HEADERS = {
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "user-agent",
}


@dataclass
class Rules:
    """What one provider wants beyond what all want."""

    fields: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=lambda: {"system", "user", "assistant", "tool"})
    reasoning_fields: set[str] = field(
        default_factory=lambda: {"reasoning_content", "reasoning", "reasoning_details"}
    )
    needs_reasoning: bool = False  # DeepSeek: reasoning_content with each call of this turn
    system_first: bool = False  # llama.cpp, MiniMax: one system message, at the head
    images: bool | str = True  # or a pattern of the models that see
    image_in_tool: bool = False
    include_usage: bool | None = True  # a stream must ask for its usage; None: must not
    refused: set[str] = field(default_factory=set)  # fields that others take
    choices: set[str] = field(default_factory=lambda: {"none", "required", "function"})
    strict: bool = True  # tools may have it
    keywords: set[str] | None = None  # of JSON Schema, where not all are taken
    call_id: str = r"(?s).+"
    call_fields: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)  # of an assistant's content, beside text
    image_types: str = "png|jpeg|gif|webp"
    description: int | None = None  # characters of a tool's, at most
    hosted: set[str] = field(default_factory=set)  # types of tools that the provider runs itself
    search_options: set[str] = field(default_factory=set)  # what their `parameters` may hold
    no_json: dict[str, Any] = field(default_factory=dict)  # excludes a response_format; by default


def refusal(body: Any, rules: Rules) -> str | None:
    """The first fault of a request body, with its place."""
    return next(_faults(body, rules), None)


def leak(headers: dict[str, str], key: str | None, rules: Rules) -> str | None:
    """The first header that has no business at a provider, or a key that is not the provider's."""
    if key is not None and headers.get("authorization") != f"Bearer {key}":
        return f"authorization: not this provider's key: {headers.get('authorization')!r}"
    if stray := sorted(headers.keys() - HEADERS - rules.headers):
        return f"{stray[0]}: unexpected header {headers[stray[0]]!r}"
    if "codex" in headers.get("user-agent", "").lower().replace("codex-relay", ""):
        return f"user-agent: the client's own: {headers['user-agent']!r}"
    return None


def _faults(body: Any, rules: Rules) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "body: not a JSON object"
        return
    if isinstance(rules.images, str):
        sees = bool(re.fullmatch(rules.images, str(body.get("model"))))
        rules = replace(rules, images=sees)
    for name, value in body.items():
        if (name not in FIELDS and name not in rules.fields) or name in rules.refused:
            yield f"{name}: property is unsupported"
        elif name in FIELDS and not isinstance(value, FIELDS[name]):
            yield f"{name}: wrong type {type(value).__name__}"
    for name in ("model", "messages"):
        if not body.get(name):
            yield f"{name}: missing or empty"
    yield from _stream(body, rules)
    yield from _tools(body, rules)
    yield from _format(body, rules)
    yield from _messages(body.get("messages", []), rules)


def _stream(body: dict[str, Any], rules: Rules) -> Iterator[str]:
    options = body.get("stream_options", {})
    if not body.get("stream"):
        if "stream_options" in body:
            yield "stream_options: only allowed when stream is true"
    elif rules.include_usage is None:
        if "stream_options" in body:
            yield "stream_options: property is unsupported"
    elif unknown := options.keys() - {"include_usage"}:
        yield f"stream_options.{sorted(unknown)[0]}: property is unsupported"
    elif rules.include_usage and options.get("include_usage") is not True:
        yield "stream_options.include_usage: not asked for, so the client never learns its usage"


def _tools(body: dict[str, Any], rules: Rules) -> Iterator[str]:
    names: set[str] = set()
    for i, tool in enumerate(body.get("tools", [])):
        at = f"tools[{i}]"
        if isinstance(tool, dict) and tool.get("type") in rules.hosted:
            yield from _hosted(at, tool, rules)
            continue
        if not isinstance(tool, dict) or tool.get("type") != "function":
            yield f"{at}.type: not a function: {tool!r:.200}"
            continue
        if tool.keys() != {"type", "function"}:
            yield f"{at}: unknown fields {sorted(tool.keys() - {'type', 'function'})}"
        yield from _function(f"{at}.function", tool.get("function"), names, rules)
    if "tools" in body:
        if not body["tools"]:
            yield "tools: empty"
        yield from _choice(body.get("tool_choice", "auto"), names, rules)
    else:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body:
                yield f"{name}: only allowed when tools are given"


def _hosted(at: str, tool: dict[str, Any], rules: Rules) -> Iterator[str]:
    if unknown := tool.keys() - {"type", "parameters"}:
        yield f"{at}.{sorted(unknown)[0]}: property is unsupported"
    if unknown := tool.get("parameters", {}).keys() - rules.search_options:
        yield f"{at}.parameters.{sorted(unknown)[0]}: property is unsupported"


def _function(at: str, function: Any, names: set[str], rules: Rules) -> Iterator[str]:
    if not isinstance(function, dict):
        yield f"{at}: not an object"
        return
    known = {"name", "description", "parameters"} | ({"strict"} if rules.strict else set())
    if unknown := function.keys() - known:
        yield f"{at}.{sorted(unknown)[0]}: property is unsupported"
    name = function.get("name")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        yield f"{at}.name: {name!r} does not match {TOOL_NAME.pattern}"
    elif name in names:
        yield f"{at}.name: {name!r} is there twice"
    else:
        names.add(name)
    yield from _description(f"{at}.description", function.get("description", ""), rules)
    if not isinstance(function.get("strict", False), bool):
        yield f"{at}.strict: not a boolean"
    schema = function.get("parameters", {"type": "object"})
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield f"{at}.parameters: not a schema of an object: {schema!r:.200}"
    elif not isinstance(schema.get("properties", {}), dict):
        yield f"{at}.parameters.properties: not an object"
    elif rules.keywords is not None:
        yield from _schema(f"{at}.parameters", schema, rules.keywords)


def _description(at: str, text: Any, rules: Rules) -> Iterator[str]:
    if not isinstance(text, str):
        yield f"{at}: not a string"
    elif rules.description is not None and len(text) > rules.description:
        yield f"{at}: string too long, {len(text)} characters"


def _schema(at: str, schema: Any, keywords: set[str]) -> Iterator[str]:
    """As providers with a subset want it: known keywords, one type each, none beside `anyOf`."""
    if not isinstance(schema, dict):
        return
    if unknown := schema.keys() - keywords:
        yield f"{at}.{sorted(unknown)[0]}: Cannot find field"
    if isinstance(schema.get("type"), str) == ("anyOf" in schema):
        yield f"{at}: type and anyOf: exactly one of them is wanted"
    for name, inner in schema.get("properties", {}).items():
        yield from _schema(f"{at}.properties.{name}", inner, keywords)
    for number, inner in enumerate(schema.get("anyOf", ())):
        yield from _schema(f"{at}.anyOf[{number}]", inner, keywords)
    for name in ("items", "additionalProperties"):
        yield from _schema(f"{at}.{name}", schema.get(name), keywords)


def _choice(choice: Any, names: set[str], rules: Rules) -> Iterator[str]:
    form = choice if isinstance(choice, str) else "function"
    if form not in {"auto", *rules.choices}:
        yield f"tool_choice: {form} is not supported"
    match choice:
        case "auto" | "none" | "required":
            pass
        case {"type": "function", "function": {"name": str(name)}}:
            if name not in names:
                yield f"tool_choice.function.name: no tool {name!r}"
        case _:
            yield f"tool_choice: wrong shape: {choice!r}"


def _format(body: dict[str, Any], rules: Rules) -> Iterator[str]:
    if "response_format" in body and any(
        body.get(name, value) == value for name, value in rules.no_json.items()
    ):
        yield f"response_format: not supported with {rules.no_json}"
    match body.get("response_format"):
        case None | {"type": "text" | "json_object"}:
            pass
        case {"type": "json_schema", "json_schema": {"name": str(name), "schema": dict()}}:
            if not TOOL_NAME.fullmatch(name):
                yield f"response_format.json_schema.name: {name!r}"
        case other:
            yield f"response_format: wrong shape: {other!r:.200}"


def _messages(messages: list[Any], rules: Rules) -> Iterator[str]:
    waiting: list[str] = []  # calls of the assistant message above that have no answer yet
    seen: set[str] = set()
    turn = max((i for i, m in enumerate(messages) if _role(m) == "user"), default=-1)
    for i, message in enumerate(messages):
        at, role = f"messages[{i}]", _role(message)
        if role not in rules.roles:
            yield f"{at}.role: unknown variant {role!r}, expected one of {sorted(rules.roles)}"
            continue
        known = MESSAGE_FIELDS[role] | (rules.reasoning_fields if role == "assistant" else set())
        if unknown := message.keys() - known:
            yield f"{at}.{sorted(unknown)[0]}: property is unsupported in a {role} message"
        if role == "tool":
            yield from _answer(at, message.get("tool_call_id"), waiting)
        elif waiting:
            yield f"{at}: tool calls {waiting} were not answered before this message"
            waiting.clear()
        if rules.system_first and role == "system" and i:
            yield f"{at}: a system message must be the first"
        yield from _content(f"{at}.content", role, message, rules)
        if role == "assistant":
            yield from _reasoning(at, message, rules, in_turn=i > turn)
            yield from _calls(f"{at}.tool_calls", message, waiting, seen, rules)
    if waiting:
        yield f"messages: tool calls {waiting} were not answered"


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None


def _answer(at: str, call_id: Any, waiting: list[str]) -> Iterator[str]:
    if call_id in waiting:
        waiting.remove(call_id)
    else:
        yield f"{at}.tool_call_id: {call_id!r} answers no call just before it"


def _reasoning(at: str, message: dict[str, Any], rules: Rules, in_turn: bool) -> Iterator[str]:
    for name in sorted(rules.reasoning_fields & message.keys()):
        kind = list if name == "reasoning_details" else str
        if not isinstance(message[name], kind) or not message[name]:
            yield f"{at}.{name}: not a {kind.__name__}, or empty: {message[name]!r:.200}"
    needed = rules.needs_reasoning and in_turn and message.get("tool_calls")
    if needed and not message.get("reasoning_content"):
        yield f"{at}.reasoning_content: must be passed back to the API in thinking mode"


def _calls(
    at: str, message: dict[str, Any], waiting: list[str], seen: set[str], rules: Rules
) -> Iterator[str]:
    calls = message.get("tool_calls")
    if "tool_calls" in message and (not isinstance(calls, list) or not calls):
        yield f"{at}: not a list with a call in it"
        return
    for i, call in enumerate(calls or []):
        match call:
            case {"id": str(id_), "type": "function", "function": dict(function)} if id_:
                if id_ in seen:
                    yield f"{at}[{i}].id: {id_!r} is there twice"
                if not re.fullmatch(rules.call_id, id_):
                    yield f"{at}[{i}].id: {id_!r} does not match {rules.call_id}"
                seen.add(id_)
                waiting.append(id_)
                yield from _called(f"{at}[{i}].function", function)
            case _:
                yield f"{at}[{i}]: wrong shape: {call!r:.200}"
                continue
        if unknown := call.keys() - {"id", "type", "function"} - rules.call_fields:
            yield f"{at}[{i}].{sorted(unknown)[0]}: property is unsupported"


def _called(at: str, function: dict[str, Any]) -> Iterator[str]:
    name = function.get("name")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        yield f"{at}.name: {name!r} does not match {TOOL_NAME.pattern}"
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        yield f"{at}.arguments: not a string: {arguments!r:.200}"
        return
    try:
        parsed = json.loads(arguments)
    except ValueError:
        yield f"{at}.arguments: not JSON: {arguments!r:.200}"
    else:
        if not isinstance(parsed, dict):
            yield f"{at}.arguments: not a JSON object: {arguments!r:.200}"
    if unknown := function.keys() - {"name", "arguments"}:
        yield f"{at}.{sorted(unknown)[0]}: property is unsupported"


def _content(at: str, role: str, message: dict[str, Any], rules: Rules) -> Iterator[str]:
    content = message.get("content")
    if content is None or content == []:
        if not (role == "assistant" and content is None and message.get("tool_calls")):
            yield f"{at}: empty"
    elif isinstance(content, str):
        # A tool may have nothing to say; a person or a model may not.
        if not content and role != "tool" and not message.get("tool_calls"):
            yield f"{at}: empty"
    elif isinstance(content, list):
        for i, part in enumerate(content):
            yield from _part(f"{at}[{i}]", role, part, rules)
    else:
        yield f"{at}: neither a string nor a list: {content!r:.200}"


def _part(at: str, role: str, part: Any, rules: Rules) -> Iterator[str]:
    match part:
        case {"type": "text", "text": str(text), **rest} if not rest:
            if not text:
                yield f"{at}.text: empty"
        case {"type": "image_url", "image_url": {"url": str(url), **more}, **rest} if not rest:
            if role != "user" and not (role == "tool" and rules.image_in_tool):
                yield f"{at}: an image in a {role} message"
            elif not rules.images:
                yield f"{at}: this model does not take images"
            if more and more not in [{"detail": d} for d in ("auto", "low", "high")]:
                yield f"{at}.image_url: wrong fields {more!r}"
            if not _is_image(url, rules.image_types):
                yield f"{at}.image_url.url: neither an http URL nor a base64 image: {url:.80}"
        case {"type": str(kind)} if role == "assistant" and kind in rules.parts:
            pass
        case _:
            yield f"{at}: unknown part {part!r:.200}"


def _is_image(url: str, types: str) -> bool:
    head, _, data = url.partition(",")
    if not re.fullmatch(rf"data:image/({types});base64", head):
        return url.startswith(("https://", "http://"))
    try:
        return bool(base64.b64decode(data, validate=True))
    except binascii.Error:
        return False
