"""Reads requests and replies of both dialects as entries; also names the tools of a request."""

from collections.abc import Callable, Iterator
from typing import Any

from addons.views.entries import Entry, role_category
from addons.views.text import (
    arguments_text,
    content_text,
    envelope_model,
    sealed_text,
    text_size,
    value_text,
)
from translate import (
    COMPACTION_TRIGGER,
    COMPACTION_TYPES,
    ENCRYPTED_DETAIL,
    KIND_BY_CALL_TYPE,
    OUTPUT_TYPES,
    REASONING_DETAILS,
    REASONING_LISTS,
    REASONING_STRINGS,
    SEALED_ITEM,
    THINKING_PARTS,
    Envelope,
    open_envelope,
    readable_text,
    reasoning_fields,
    reasoning_text,
)

MAX_ENTRIES = 10_000  # that are read of a conversation

type Json = dict[str, Any]
type ItemReader = Callable[[int, Json], Entry]


def request_entries(request: Json) -> list[Entry]:
    """The conversation of a request of either dialect."""
    if "messages" in request:
        return list(message_entries(request["messages"]))
    entries = list(item_entries(request.get("input")))
    if instructions := request.get("instructions"):
        entries.insert(0, Entry(-1, "system", "instructions", content_text(instructions)))
    return entries


def reply_entries(reply: Json) -> Iterator[Entry]:
    """The output of a whole reply, and its error."""
    choices = reply.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            yield from message_entries([choice.get("message")])
    output = reply.get("output", reply.get("data"))  # `data`: the input items of a stored response
    yield from item_entries(output if isinstance(output, list) else [])
    if error := reply.get("error"):
        text = error.get("message") if isinstance(error, dict) else error
        yield Entry(0, "error", "error", f"{content_text(text)}\n{value_text(error)}".strip())


def reply_ending(reply: Json) -> str:
    """How a reply ended, in the words of its dialect."""
    choices = reply.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return str(choices[0].get("finish_reason") or "not finished")
    return str(reply.get("status") or "")


# Responses


def item_entries(items: Any) -> Iterator[Entry]:
    """The entries of `input` or `output`, which may have any type."""
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    items = items if isinstance(items, list) else []
    for index, item in enumerate(items[:MAX_ENTRIES]):
        if isinstance(item, dict):
            yield _item_reader(item)(index, item)
        else:
            yield Entry(index, "other", type(item).__name__, value_text(item))
    yield from _omitted_entries(items)


def _item_reader(item: Json) -> ItemReader:
    type_name = item.get("type") or "message"
    if not isinstance(type_name, str):
        return _other_entry
    if type_name in KIND_BY_CALL_TYPE:
        return _call_entry
    if type_name in OUTPUT_TYPES:
        return _output_entry
    return ITEM_READERS.get(type_name, _other_entry)


def _message_entry(index: int, item: Json) -> Entry:
    title = " · ".join(str(item[name]) for name in ("role", "phase") if item.get(name))
    text = content_text(item.get("content"))
    return Entry(index, role_category(item.get("role")), title or "message", text)


def _agent_message_entry(index: int, item: Json) -> Entry:
    title = f"{item.get('author')} to {item.get('recipient')}"
    return Entry(index, "user", title, content_text(item.get("content")))


def _reasoning_entry(index: int, item: Json) -> Entry:
    note, sealed = _read_sealed_reasoning(item.get("encrypted_content"))
    text = max(content_text(_item_reasoning(item)), sealed, key=len)
    return Entry(index, "reasoning", f"reasoning{note}", text)


def _read_sealed_reasoning(encrypted: Any) -> tuple[str, str]:
    """A note for the title on who sealed the reasoning, and its text if the relay did."""
    if envelope := open_envelope(encrypted):
        return f" · sealed by us for {envelope_model(envelope)}", _envelope_reasoning(envelope)
    is_text = isinstance(encrypted, str)
    return f" · sealed by another, {text_size(encrypted)}" if is_text else "", ""


def _item_reasoning(item: Json) -> str:
    list_fields = {
        name: value
        for name, value in item.items()
        if name in ("content", "summary") and isinstance(value, list)
    }
    return reasoning_text(list_fields)


def _envelope_reasoning(envelope: Envelope) -> str:
    payload = envelope.payload
    item = payload.get(SEALED_ITEM)
    if isinstance(item, dict):
        return _item_reasoning(item)
    return readable_text(payload) or content_text(payload.get(THINKING_PARTS))


def _compaction_entry(index: int, item: Json) -> Entry:
    encrypted = item.get("encrypted_content")
    envelope = open_envelope(encrypted)
    if envelope is None:
        title = "summary of the conversation so far, sealed by another"
        return Entry(index, "summary", title, sealed_text(str(encrypted or "")))
    title = f"summary of the conversation so far, by {envelope_model(envelope)}"
    return Entry(index, "summary", title, content_text(envelope.payload.get("summary")))


def _compaction_trigger_entry(index: int, item: Json) -> Entry:
    return Entry(index, "other", "compaction: the client asks for a summary", "")


def _call_entry(index: int, item: Json) -> Entry:
    name = str(item.get("name") or item["type"].removesuffix("_call"))
    full_name = f"{item['namespace']}.{name}" if item.get("namespace") else name
    fields = ("input", "arguments", "action")
    arguments = next((item[field] for field in fields if item.get(field)), None)
    text = content_text(arguments) if "input" in item else arguments_text(arguments or {})
    call_id = str(item.get("call_id") or item.get("id") or "")
    return Entry(index, "call", f"call of {full_name} · {call_id}", text, call_id)


def _output_entry(index: int, item: Json) -> Entry:
    tools = item.get("tools")
    is_tools = isinstance(tools, list)
    text = describe_tools(tools) if is_tools else content_text(item.get("output"))
    call_id = str(item.get("call_id") or "")
    return Entry(index, "output", f"output of {call_id}", text, call_id)


def _additional_tools_entry(index: int, item: Json) -> Entry:
    return Entry(index, "tools", "tools", describe_tools(item.get("tools")))


def _image_call_entry(index: int, item: Json) -> Entry:
    media_type = f"image/{item.get('output_format') or 'png'}"
    url = f"data:{media_type};base64,{item['result']}" if item.get("result") else ""
    text = content_text([{"image_url": url}] if url else None)
    return Entry(index, "other", str(item["type"]), text)


def _other_entry(index: int, item: Json) -> Entry:
    fields = {name: value for name, value in item.items() if name not in ("type", "id")}
    text = value_text(fields) if fields else ""
    return Entry(index, "other", str(item.get("type")), text)


ITEM_READERS: dict[str, ItemReader] = {
    "message": _message_entry,
    "agent_message": _agent_message_entry,
    "reasoning": _reasoning_entry,
    "additional_tools": _additional_tools_entry,
    "image_generation_call": _image_call_entry,
    COMPACTION_TRIGGER: _compaction_trigger_entry,
    **dict.fromkeys(COMPACTION_TYPES, _compaction_entry),
}


# Chat

OUTPUT_ROLES = frozenset({"tool", "function"})  # `function`: deprecated, older than tools
# The field with the arguments of a call, by the type of the call.
CALL_ARGUMENTS = {"function": "arguments", "custom": "input"}
MESSAGE_FIELDS = frozenset(
    {"role", "content", "name", "refusal", "tool_calls", "function_call"}
    | {*REASONING_LISTS, *REASONING_STRINGS}
)


def message_entries(messages: Any) -> Iterator[Entry]:
    """The entries of `messages`, which may have any type."""
    messages = messages if isinstance(messages, list) else []
    for index, message in enumerate(messages[:MAX_ENTRIES]):
        if isinstance(message, dict):
            yield from _entries_of_message(index, message)
        else:
            yield Entry(index, "other", type(message).__name__, value_text(message))
    yield from _omitted_entries(messages)


def _omitted_entries(items: list[Any]) -> Iterator[Entry]:
    if (count := len(items) - MAX_ENTRIES) > 0:
        yield Entry(-1, "other", f"{count:,} more, which are not read", "")


def _entries_of_message(index: int, message: Json) -> Iterator[Entry]:
    """An assistant's message may have reasoning, a text, calls and other fields."""
    role, content = message.get("role"), message.get("content")
    if role in OUTPUT_ROLES:
        call_id = str(message.get("tool_call_id") or message.get("name") or "")
        yield Entry(index, "output", f"output of {call_id}", content_text(content), call_id)
        return
    note, reasoning, content = _split_reasoning(message, content)
    if note or reasoning:
        yield Entry(index, "reasoning", f"reasoning of {role}{note}", reasoning)
    others = [*_message_calls(index, message), *_other_field_entries(index, message)]
    refusal = [{"refusal": text}] if (text := message.get("refusal")) else None
    text = "\n".join(filter(None, [content_text(content), content_text(refusal)]))
    if text or not (others or note or reasoning):
        title = " · ".join(str(message[name]) for name in ("role", "name") if message.get(name))
        yield Entry(index, role_category(role), title or "message", text)
    yield from others


def _split_reasoning(message: Json, content: Any) -> tuple[str, str, Any]:
    """A note on who sealed the reasoning, the text of the reasoning, and the content without it.

    Reasoning has fields of its own, or is among the parts of the content.
    """
    fields = reasoning_fields(message)
    text = readable_text(fields)
    if isinstance(content, list):
        thinking = [part for part in content if _is_thinking(part)]
        content = [part for part in content if not _is_thinking(part)]
        text = "\n\n".join(filter(None, [text, content_text(thinking)]))
    details = fields.get(REASONING_DETAILS, ())
    encrypted = [row.get("data") for row in details if row.get("type") == ENCRYPTED_DETAIL]
    notes_and_texts = list(map(_read_sealed_reasoning, encrypted))
    envelope_texts = "\n\n".join(reasoning for _, reasoning in notes_and_texts if reasoning)
    notes = dict.fromkeys(note for note, _ in notes_and_texts)
    return "".join(notes), max(text, envelope_texts, key=len), content


def _is_thinking(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "thinking"


def _message_calls(index: int, message: Json) -> Iterator[Entry]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            yield _chat_call_entry(index, call, str(call.get("id") or ""))
    if isinstance(legacy := message.get("function_call"), dict):  # its output refers to it by name
        yield _chat_call_entry(index, {"function": legacy}, str(legacy.get("name") or ""))


def _chat_call_entry(index: int, call: Json, call_id: str) -> Entry:
    type_name, fields = call_fields(call)
    arguments, name = fields.get(CALL_ARGUMENTS[type_name]), fields.get("name")
    is_text = type_name == "custom"
    text = content_text(arguments) if is_text else arguments_text(arguments or {})
    suffix = f" · {call_id}" if call_id not in ("", name) else ""
    return Entry(index, "call", f"call of {name}{suffix}", text, call_id)


def call_fields(call: Json) -> tuple[str, Json]:
    """The type of a Chat call, and the object with its name and arguments."""
    types = ((name, call[name]) for name in CALL_ARGUMENTS if isinstance(call.get(name), dict))
    return next(types, ("function", {}))


def _other_field_entries(index: int, message: Json) -> Iterator[Entry]:
    """The other fields of a message: pictures, sources, sound, a provider's own fields."""
    for name, value in message.items():
        if name not in MESSAGE_FIELDS and value not in (None, "", [], {}):
            title = f"{name} of {message.get('role')}"
            yield Entry(index, "other", title, content_text(value))


# Tools

SEARCH_OPTIONS = "web_search_options"  # Chat declares its web search by this field, not as a tool


def tool_names(tools: Any, prefix: str = "") -> Iterator[str]:
    """The name of each tool, `namespace.name` if it has one; hosted tools by their type."""
    for tool in tools if isinstance(tools, list) else []:
        if not isinstance(tool, dict):
            continue
        type_name = str(tool.get("type", "function"))
        # Chat wraps a tool in an object that is named by its type.
        fields = tool[type_name] if isinstance(tool.get(type_name), dict) else tool
        name = str(fields.get("name") or type_name)
        if isinstance(tool.get("tools"), list):
            yield from tool_names(tool["tools"], f"{prefix}{name}.")
        else:
            suffix = f" ({type_name})" if type_name not in ("function", name) else ""
            yield f"{prefix}{name}{suffix}"


def declared_tools(request: Json) -> Iterator[str]:
    """The names of the tools that a request declares beside its conversation."""
    for field in ("tools", "functions"):
        yield from tool_names(request.get(field))
    if request.get(SEARCH_OPTIONS) is not None:
        yield "web_search"


def describe_tools(tools: Any) -> str:
    """`3 tools: exec_command, apply_patch (custom), collaboration.wait_agent`"""
    return count_tools(list(tool_names(tools)))


def count_tools(names: list[str]) -> str:
    if not names:
        return "no tools"
    return f"{len(names)} tool{'s' * (len(names) != 1)}: {', '.join(names)}"
