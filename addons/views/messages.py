"""The messages of the Chat dialect, as entries; one of the assistant's may make several."""

from collections.abc import Iterator
from typing import Any

from addons.views import words
from addons.views.dialects import opened
from addons.views.entry import Entry, kind_of
from translate.mappings.reasoning import DETAILS, ENCRYPTED, STRINGS, fields_of, shown

Message = dict[str, Any]
OUTPUTS = frozenset({"tool", "function"})  # roles; the latter is of the time before tools
GIVEN = {"function": "arguments", "custom": "input"}  # kinds of calls, and where their words stand
READ = frozenset(
    {"role", "content", "name", "refusal", "tool_calls", "function_call", DETAILS, *STRINGS}
)


def entries(messages: Any) -> Iterator[Entry]:
    for at, message in enumerate(messages if isinstance(messages, list) else []):
        if isinstance(message, dict):
            yield from entries_of(at, message)
        else:
            yield Entry(at, "other", type(message).__name__, words.raw(message))


def entries_of(at: int, message: Message) -> Iterator[Entry]:
    role, content = message.get("role"), message.get("content")
    if role in OUTPUTS:
        call = str(message.get("tool_call_id") or message.get("name") or "")
        yield Entry(at, "output", f"output of {call}", words.said(content), call)
        return
    note, thought, content = split(message, content)
    if note or thought:
        yield Entry(at, "reasoning", f"reasoning of {role}{note}", thought)
    more = [*calls_of(at, message), *beside(at, message)]
    text = "\n".join(filter(None, [words.said(content), refusal(message)]))
    if text or not (more or note or thought):
        who = " · ".join(str(message[name]) for name in ("role", "name") if message.get(name))
        yield Entry(at, kind_of(role), who or "message", text)
    yield from more


def refusal(message: Message) -> str:
    return words.said([{"refusal": text}] if (text := message.get("refusal")) else None)


def split(message: Message, content: Any) -> tuple[str, str, Any]:
    """The thinking, in fields of its own or in parts of the content, and the rest.

    First comes what a headline says of who sealed it.
    """
    fields = fields_of(message)
    thought = shown(fields)
    if isinstance(content, list):
        thinking = [p for p in content if isinstance(p, dict) and p.get("type") == "thinking"]
        content = [part for part in content if part not in thinking] if thinking else content
        thought = "\n\n".join(filter(None, [thought, words.said(thinking)]))
    seals = [one.get("data") for one in fields.get(DETAILS, ()) if one.get("type") == ENCRYPTED]
    found = [opened(seal) for seal in seals]
    inside = "\n\n".join(text for _, text in found if text)
    notes = dict.fromkeys(note for note, _ in found)
    return "".join(notes), max(thought, inside, key=len), content


def calls_of(at: int, message: Message) -> Iterator[Entry]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            yield called(at, call, str(call.get("id") or ""))
    if isinstance(legacy := message.get("function_call"), dict):  # had no id; its output names it
        yield called(at, {"function": legacy}, str(legacy.get("name") or ""))


def called(at: int, call: Message, id: str) -> Entry:
    kind, inner = inside(call)
    given, name = inner.get(GIVEN[kind]), inner.get("name")
    text = words.said(given) if kind == "custom" else words.arguments(given or {})
    return Entry(at, "call", f"call of {name}" + f" · {id}" * (id not in ("", name)), text, id)


def inside(call: Message) -> tuple[str, Message]:
    """The kind of a call, and what stands under that name."""
    found = ((kind, call[kind]) for kind in GIVEN if isinstance(call.get(kind), dict))
    return next(found, ("function", {}))


def beside(at: int, message: Message) -> Iterator[Entry]:
    """What else a message has: pictures, sources, sound, a provider's own fields."""
    for name, value in message.items():
        if name not in READ and value not in (None, "", [], {}):
            yield Entry(at, "other", f"{name} of {message.get('role')}", words.said(value))
