"""Requests that Chat Completions providers refuse: `body_fault` and `header_fault` return the first
fault of a request, or None. Sources: the providers' API references and their 400s in public issue
threads."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

# The fields that practically every provider accepts; `Rules.fields` adds those of one provider.
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
# The headers of any HTTP client. No header of the relay's client may be among them.
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


REASONING_LISTS = {"reasoning_details", "thinking_blocks"}  # fields of a message, with lists


@dataclass
class Rules:
    """The rules of one provider beyond the common ones."""

    fields: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=lambda: {"system", "user", "assistant", "tool"})
    reasoning_fields: set[str] = field(
        default_factory=lambda: {"reasoning_content", "reasoning", *REASONING_LISTS}
    )
    needs_reasoning: bool = False  # DeepSeek: reasoning_content beside each call of this turn
    system_first: bool = False  # llama.cpp, MiniMax: one system message, and it is the first
    images: bool | str = True  # or a pattern of the models that accept images
    image_in_tool: bool = False
    include_usage: bool | None = True  # whether a stream must request its usage; None: it must not
    refused: set[str] = field(default_factory=set)  # fields that other providers accept
    choices: set[str] = field(default_factory=lambda: {"none", "required", "function"})
    strict: bool = True  # whether tools may have it
    keywords: set[str] | None = None  # of JSON Schema, where not all are accepted
    call_id: str = r"(?s).+"
    call_fields: set[str] = field(default_factory=set)
    parts: set[str] = field(
        default_factory=set
    )  # types in the content of an assistant, beside text
    image_types: str = "png|jpeg|gif|webp"
    description: int | None = None  # the most characters of a tool's description
    hosted: set[str] = field(default_factory=set)  # types of tools that the provider runs itself
    search_options: set[str] = field(default_factory=set)  # names that their `parameters` may have
    no_json: dict[str, Any] = field(
        default_factory=dict
    )  # fields (by default) that exclude a response_format


def body_fault(body: Any, rules: Rules) -> str | None:
    """The first fault of a request body, with its path."""
    return next(_body_faults(body, rules), None)


def header_fault(headers: dict[str, str], key: str | None, rules: Rules) -> str | None:
    """The first header that must not reach a provider, or a key that is not the provider's."""
    if key is not None and headers.get("authorization") != f"Bearer {key}":
        return f"authorization: not this provider's key: {headers.get('authorization')!r}"
    if stray := sorted(headers.keys() - HEADERS - rules.headers):
        return f"{stray[0]}: unexpected header {headers[stray[0]]!r}"
    if "codex" in headers.get("user-agent", "").lower().replace("mitmcodex", ""):
        return f"user-agent: the client's own: {headers['user-agent']!r}"
    return None


def _body_faults(body: Any, rules: Rules) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "body: not a JSON object"
        return
    if isinstance(rules.images, str):
        accepts_images = bool(re.fullmatch(rules.images, str(body.get("model"))))
        rules = replace(rules, images=accepts_images)
    for name, value in body.items():
        if (name not in FIELDS and name not in rules.fields) or name in rules.refused:
            yield f"{name}: property is unsupported"
        elif name in FIELDS and not isinstance(value, FIELDS[name]):
            yield f"{name}: wrong type {type(value).__name__}"
    for name in ("model", "messages"):
        if not body.get(name):
            yield f"{name}: missing or empty"
    yield from _stream_faults(body, rules)
    yield from _tool_faults(body, rules)
    yield from _format_faults(body, rules)
    yield from _message_faults(body.get("messages", []), rules)


def _stream_faults(body: dict[str, Any], rules: Rules) -> Iterator[str]:
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
        yield "stream_options.include_usage: missing, so that the client gets no usage"


def _tool_faults(body: dict[str, Any], rules: Rules) -> Iterator[str]:
    names: set[str] = set()
    for i, tool in enumerate(body.get("tools", [])):
        at = f"tools[{i}]"
        if isinstance(tool, dict) and tool.get("type") in rules.hosted:
            yield from _hosted_tool_faults(at, tool, rules)
            continue
        if not isinstance(tool, dict) or tool.get("type") != "function":
            yield f"{at}.type: not a function: {tool!r:.200}"
            continue
        if tool.keys() != {"type", "function"}:
            yield f"{at}: unknown fields {sorted(tool.keys() - {'type', 'function'})}"
        yield from _function_faults(f"{at}.function", tool.get("function"), names, rules)
    if "tools" in body:
        if not body["tools"]:
            yield "tools: empty"
        yield from _choice_faults(body.get("tool_choice", "auto"), names, rules)
    else:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body:
                yield f"{name}: only allowed when tools are given"


def _hosted_tool_faults(at: str, tool: dict[str, Any], rules: Rules) -> Iterator[str]:
    if unknown := tool.keys() - {"type", "parameters"}:
        yield f"{at}.{sorted(unknown)[0]}: property is unsupported"
    if unknown := tool.get("parameters", {}).keys() - rules.search_options:
        yield f"{at}.parameters.{sorted(unknown)[0]}: property is unsupported"


def _function_faults(at: str, function: Any, names: set[str], rules: Rules) -> Iterator[str]:
    if not isinstance(function, dict):
        yield f"{at}: not an object"
        return
    accepted = {"name", "description", "parameters"} | ({"strict"} if rules.strict else set())
    if unknown := function.keys() - accepted:
        yield f"{at}.{sorted(unknown)[0]}: property is unsupported"
    name = function.get("name")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        yield f"{at}.name: {name!r} does not match {TOOL_NAME.pattern}"
    elif name in names:
        yield f"{at}.name: {name!r} is there twice"
    else:
        names.add(name)
    yield from _description_faults(f"{at}.description", function.get("description", ""), rules)
    if not isinstance(function.get("strict", False), bool):
        yield f"{at}.strict: not a boolean"
    schema = function.get("parameters", {"type": "object"})
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield f"{at}.parameters: not a schema of an object: {schema!r:.200}"
    elif not isinstance(schema.get("properties", {}), dict):
        yield f"{at}.parameters.properties: not an object"
    elif rules.keywords is not None:
        yield from _schema_faults(f"{at}.parameters", schema, rules.keywords)


def _description_faults(at: str, text: Any, rules: Rules) -> Iterator[str]:
    if not isinstance(text, str):
        yield f"{at}: not a string"
    elif rules.description is not None and len(text) > rules.description:
        yield f"{at}: string too long, {len(text)} characters"


def _schema_faults(at: str, schema: Any, keywords: set[str]) -> Iterator[str]:
    """The rules of providers with a subset: accepted keywords, and either one type or `anyOf`."""
    if not isinstance(schema, dict):
        return
    if unknown := schema.keys() - keywords:
        yield f"{at}.{sorted(unknown)[0]}: Cannot find field"
    if isinstance(schema.get("type"), str) == ("anyOf" in schema):
        yield f"{at}: type and anyOf: exactly one of them is wanted"
    for name, inner in schema.get("properties", {}).items():
        yield from _schema_faults(f"{at}.properties.{name}", inner, keywords)
    for number, inner in enumerate(schema.get("anyOf", ())):
        yield from _schema_faults(f"{at}.anyOf[{number}]", inner, keywords)
    for name in ("items", "additionalProperties"):
        yield from _schema_faults(f"{at}.{name}", schema.get(name), keywords)


def _choice_faults(choice: Any, names: set[str], rules: Rules) -> Iterator[str]:
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


def _format_faults(body: dict[str, Any], rules: Rules) -> Iterator[str]:
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


def _message_faults(messages: list[Any], rules: Rules) -> Iterator[str]:
    waiting: list[str] = []  # unanswered calls of the assistant message above
    seen: set[str] = set()
    last_prompt = max((i for i, m in enumerate(messages) if _role_of(m) == "user"), default=-1)
    for i, message in enumerate(messages):
        at, role = f"messages[{i}]", _role_of(message)
        if role not in rules.roles:
            yield f"{at}.role: unknown variant {role!r}, expected one of {sorted(rules.roles)}"
            continue
        accepted = MESSAGE_FIELDS[role] | (rules.reasoning_fields if role == "assistant" else set())
        if unknown := message.keys() - accepted:
            yield f"{at}.{sorted(unknown)[0]}: property is unsupported in a {role} message"
        if role == "tool":
            yield from _answer_faults(at, message.get("tool_call_id"), waiting)
        elif waiting:
            yield f"{at}: tool calls {waiting} were not answered before this message"
            waiting.clear()
        if rules.system_first and role == "system" and i:
            yield f"{at}: a system message must be the first"
        yield from _content_faults(f"{at}.content", role, message, rules)
        if role == "assistant":
            yield from _reasoning_faults(at, message, rules, in_turn=i > last_prompt)
            yield from _call_faults(f"{at}.tool_calls", message, waiting, seen, rules)
    if waiting:
        yield f"messages: tool calls {waiting} were not answered"


def _role_of(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None


def _answer_faults(at: str, call_id: Any, waiting: list[str]) -> Iterator[str]:
    if call_id in waiting:
        waiting.remove(call_id)
    else:
        yield f"{at}.tool_call_id: {call_id!r} answers no call just before it"


def _reasoning_faults(
    at: str, message: dict[str, Any], rules: Rules, in_turn: bool
) -> Iterator[str]:
    for name in sorted(rules.reasoning_fields & message.keys()):
        kind = list if name in REASONING_LISTS else str
        if not isinstance(message[name], kind) or not message[name]:
            yield f"{at}.{name}: not a {kind.__name__}, or empty: {message[name]!r:.200}"
    needed = rules.needs_reasoning and in_turn and message.get("tool_calls")
    if needed and not message.get("reasoning_content"):
        yield f"{at}.reasoning_content: must be passed back to the API in thinking mode"


def _call_faults(
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
                yield from _called_function_faults(f"{at}[{i}].function", function)
            case _:
                yield f"{at}[{i}]: wrong shape: {call!r:.200}"
                continue
        if unknown := call.keys() - {"id", "type", "function"} - rules.call_fields:
            yield f"{at}[{i}].{sorted(unknown)[0]}: property is unsupported"


def _called_function_faults(at: str, function: dict[str, Any]) -> Iterator[str]:
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


def _content_faults(at: str, role: str, message: dict[str, Any], rules: Rules) -> Iterator[str]:
    content = message.get("content")
    if content is None or content == []:
        if not (role == "assistant" and content is None and message.get("tool_calls")):
            yield f"{at}: empty"
    elif isinstance(content, str):
        # Only a tool may return an empty text.
        if not content and role != "tool" and not message.get("tool_calls"):
            yield f"{at}: empty"
    elif isinstance(content, list):
        for i, part in enumerate(content):
            yield from _part_faults(f"{at}[{i}]", role, part, rules)
    else:
        yield f"{at}: neither a string nor a list: {content!r:.200}"


def _part_faults(at: str, role: str, part: Any, rules: Rules) -> Iterator[str]:
    match part:
        case {"type": "text", "text": str(text), **rest} if not rest:
            if not text:
                yield f"{at}.text: empty"
        case {"type": "image_url", "image_url": {"url": str(url), **options}, **rest} if not rest:
            if role != "user" and not (role == "tool" and rules.image_in_tool):
                yield f"{at}: an image in a {role} message"
            elif not rules.images:
                yield f"{at}: this model does not take images"
            if options and options not in [{"detail": d} for d in ("auto", "low", "high")]:
                yield f"{at}.image_url: wrong fields {options!r}"
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
