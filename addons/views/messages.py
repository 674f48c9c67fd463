"""The messages of the Chat dialect, as entries; one of the assistant's may make several."""

from collections.abc import Iterator
from typing import Any

from addons.views import words
from addons.views.entry import Entry, kind_of
from translate.reasoning import fields_of, shown

Message = dict[str, Any]


def entries(messages: Any) -> Iterator[Entry]:
    for at, message in enumerate(messages if isinstance(messages, list) else []):
        if isinstance(message, dict):
            yield from entries_of(at, message)
        else:
            yield Entry(at, "other", type(message).__name__, words.raw(message))


def entries_of(at: int, message: Message) -> Iterator[Entry]:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        call = str(message.get("tool_call_id") or "")
        yield Entry(at, "output", f"output of {call}", words.said(content), call)
        return
    thought, content = split(message, content)
    if thought:
        yield Entry(at, "reasoning", f"reasoning of {role}", thought)
    calls = list(calls_of(at, message))
    text = words.said(content) or words.said(message.get("refusal"))
    if text or not (calls or thought):
        yield Entry(at, kind_of(role), str(role), text)
    yield from calls


def split(message: Message, content: Any) -> tuple[str, Any]:
    """The thinking, in fields of its own or in parts of the content, and the rest."""
    thought = shown(fields_of(message))
    if isinstance(content, list):
        thinking = [p for p in content if isinstance(p, dict) and p.get("type") == "thinking"]
        content = [part for part in content if part not in thinking] if thinking else content
        thought = "\n\n".join(filter(None, [thought, words.said(thinking)]))
    return thought, content


def calls_of(at: int, message: Message) -> Iterator[Entry]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if not isinstance(call, dict):
            continue
        inner = call.get("function") or call.get("custom")
        inner = inner if isinstance(inner, dict) else {}
        given = inner.get("arguments") or inner.get("input") or {}
        name, call_id = inner.get("name"), str(call.get("id") or "")
        yield Entry(at, "call", f"call of {name} · {call_id}", words.arguments(given), call_id)
