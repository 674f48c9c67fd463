"""The items of the Responses dialect, as entries."""

from collections.abc import Callable, Iterator
from typing import Any

from addons.views import text as paper
from addons.views import words
from addons.views.entry import Entry, kind_of
from addons.views.tools import names
from translate.mappings.reasoning import ITEM, PARTS, shown, summary
from translate.state.compaction import COMPACTED, TRIGGER
from translate.tools.kinds import BY_CALL, OUTPUTS
from translate.wire.envelope import Envelope, unseal

Item = dict[str, Any]
Reader = Callable[[int, Item], Entry]


def entries(items: Any) -> Iterator[Entry]:
    """`input` or `output`, whatever stands there."""
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    for at, item in enumerate(items if isinstance(items, list) else []):
        if not isinstance(item, dict):
            yield Entry(at, "other", type(item).__name__, words.raw(item))
            continue
        yield reader(item)(at, item)


def reader(item: Item) -> Reader:
    kind = item.get("type") or "message"
    if not isinstance(kind, str):
        return other
    if kind in BY_CALL:
        return call
    if kind in OUTPUTS:
        return output
    return READERS.get(kind, other)


def message(at: int, item: Item) -> Entry:
    who = " · ".join(str(item[name]) for name in ("role", "phase") if item.get(name))
    return Entry(at, kind_of(item.get("role")), who or "message", words.said(item.get("content")))


def agent_message(at: int, item: Item) -> Entry:
    who = f"{item.get('author')} to {item.get('recipient')}"
    return Entry(at, "user", who, words.said(item.get("content")))


def reasoning(at: int, item: Item) -> Entry:
    note, inside = opened(item.get("encrypted_content"))
    text = max(words.said(summary_of(item)), inside, key=len)
    return Entry(at, "reasoning", f"reasoning{note}", text)


def opened(seal: Any) -> tuple[str, str]:
    """Who sealed it, as a headline says that, and the text within, where that was us."""
    if envelope := unseal(seal):
        return f" · sealed by us for {words.whose(envelope)}", thought(envelope)
    return f" · sealed by another, {paper.weight(seal)}" if isinstance(seal, str) else "", ""


def summary_of(item: Item) -> str:
    lists = {k: v for k, v in item.items() if k in ("content", "summary") and isinstance(v, list)}
    return summary(lists)


def thought(envelope: Envelope) -> str:
    """The text in our own seal."""
    state = envelope.state
    inner = state.get(ITEM)
    if isinstance(inner, dict):
        return summary_of(inner)
    return shown(state) or words.said(state.get(PARTS))


def compacted(at: int, item: Item) -> Entry:
    seal = item.get("encrypted_content")
    envelope = unseal(seal)
    if envelope is None:
        text = words.sealed(str(seal or ""))
        return Entry(at, "summary", "summary of what was before, sealed by another", text)
    who = f"summary of what was before, by {words.whose(envelope)}"
    return Entry(at, "summary", who, words.said(envelope.state.get("summary")))


def trigger(at: int, item: Item) -> Entry:
    return Entry(at, "other", "compaction: a summary is asked for", "")


def call(at: int, item: Item) -> Entry:
    named = str(item.get("name") or item["type"].removesuffix("_call"))
    spoken = f"{item['namespace']}.{named}" if item.get("namespace") else named
    given = next((item[name] for name in ("input", "arguments", "action") if item.get(name)), None)
    text = words.said(given) if "input" in item else words.arguments(given or {})
    call_id = str(item.get("call_id") or item.get("id") or "")
    return Entry(at, "call", f"call of {spoken} · {call_id}", text, call_id)


def output(at: int, item: Item) -> Entry:
    found = item.get("tools")
    text = names(found) if isinstance(found, list) else words.said(item.get("output"))
    call_id = str(item.get("call_id") or "")
    return Entry(at, "output", f"output of {call_id}", text, call_id)


def more_tools(at: int, item: Item) -> Entry:
    return Entry(at, "tools", "tools", names(item.get("tools")))


def painted(at: int, item: Item) -> Entry:
    kind = f"image/{item.get('output_format') or 'png'}"
    url = f"data:{kind};base64,{item['result']}" if item.get("result") else ""
    return Entry(at, "other", str(item["type"]), words.said([{"image_url": url}] if url else None))


def other(at: int, item: Item) -> Entry:
    rest = {name: value for name, value in item.items() if name not in ("type", "id")}
    return Entry(at, "other", str(item.get("type")), words.raw(rest) if rest else "")


READERS: dict[str, Reader] = {
    "message": message,
    "agent_message": agent_message,
    "reasoning": reasoning,
    "additional_tools": more_tools,
    "image_generation_call": painted,
    TRIGGER: trigger,
    **dict.fromkeys(COMPACTED, compacted),
}
