"""A request's parameters and tools before and after, as tables."""

import re
from collections.abc import Iterator
from typing import Any

from addons.views.text import RULE, line, wrapped
from addons.views.tools import SEARCH, flat
from addons.views.tools import offered as beside
from addons.views.turn_view import brief

Json = dict[str, Any]
TALK = frozenset({"input", "messages", "instructions", "tools", "functions", SEARCH})
WIDTH = 60  # characters of a value
OBJECTS = frozenset({"reasoning", "text", "stream_options", "thinking"})
# The client's name → the upstream's, where the dialects differ or providers do
CALLED = {
    "max_output_tokens": ("max_tokens", "max_completion_tokens"),
    "reasoning.effort": ("reasoning_effort", "reasoning", "thinking.type", "enable_thinking"),
    "text.format": ("response_format",),
    "text.verbosity": ("verbosity",),
    "max_tokens": ("max_output_tokens", "max_completion_tokens"),
    "max_completion_tokens": ("max_output_tokens", "max_tokens"),
    "reasoning_effort": ("reasoning.effort", "reasoning", "thinking.type", "enable_thinking"),
    "response_format": ("text.format",),
    "verbosity": ("text.verbosity",),
    "function_call": ("tool_choice",),
}


def table(before: Json, after: Json, dropped: list[str]) -> Iterator[str]:
    old, new = dict(flattened(before)), dict(flattened(after))
    rows = []
    for name, value in old.items():
        called = next((n for n in (name, *CALLED.get(name, ())) if n in new), None)
        if called:
            rows.append((name, value, f"→ {called} {new.pop(called)}"))
        else:
            rows.append((name, value, "✗ dropped" if name in dropped else "– not sent"))
    rows += [("", "", f"+ {name} {value}") for name, value in new.items()]
    yield f"{RULE} parameters"
    width = max((len(name) for name, _, _ in rows), default=0)
    wide = max((len(value) for _, value, _ in rows), default=0)
    for name, value, became in rows:
        yield f"{name:<{width}}  {value:<{wide}}  {became}"
    yield ""


def flattened(request: Json) -> Iterator[tuple[str, str]]:
    for name, value in request.items():
        if name in TALK:
            continue
        if isinstance(value, dict) and name in OBJECTS:
            yield from ((f"{name}.{key}", cell(inner)) for key, inner in value.items())
        else:
            yield name, cell(value)


def cell(value: Any) -> str:
    return line(brief(value), WIDTH)


def tools(before: list[str], after: list[str]) -> Iterator[str]:
    """Of the names of both sides: which stayed, which have another, which are on one side only."""
    if not before and not after:
        return
    new = {plain(name): name for name in after}
    same, other, gone = [], [], []
    for name in before:
        now = new.pop(plain(name), None)
        bare = name.partition(" ")[0]
        if now is None:
            gone.append(name)
        elif now in (name, bare):
            same.append(name)
        else:
            other.append(f"{name} → {now}")
    yield f"{RULE} tools: {len(before)} → {len(after)}"
    told = {"as they are": same, "renamed": other, "not sent": gone, "added": new.values()}
    for what, names in told.items():
        if names:
            yield wrapped(f"{what}: {', '.join(names)}")
    yield ""


def plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.partition(" ")[0]).lower()


def offered(request: Json) -> list[str]:
    """Every tool of a request, those in its input too."""
    items = request.get("input")
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    inner = (name for item in found for name in flat(item.get("tools")))
    return list(dict.fromkeys([*beside(request), *inner]))
