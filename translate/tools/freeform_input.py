"""Patches for `apply_patch`, mended where a Chat model wrapped them.

Codex takes nothing but the bare patch of its grammar; models that were not trained on the tool
fence it, quote it, or call it as a shell would (openai/codex#35361, lidge-jun/opencodex#372).
"""

import re
from typing import Any

from translate.tools.live import InputText
from translate.wire import codec

BEGIN, END = "*** Begin Patch", "*** End Patch"

LINE = r"[^\n]+\n"
ADD = rf"\*\*\* Add File: {LINE}(?:\+[^\n]*\n)++"
DELETE = rf"\*\*\* Delete File: {LINE}"
HUNK = rf"(?:(?:@@\n|@@ {LINE}|[ +-][^\n]*\n)++(?:\*\*\* End of File\n)?)?"
UPDATE = rf"\*\*\* Update File: {LINE}(?:\*\*\* Move to: {LINE})?{HUNK}"
PATCH = re.compile(rf"\*\*\* Begin Patch\n(?:{ADD}|{DELETE}|{UPDATE})++\*\*\* End Patch\n?")

WRAPPED = 3  # how deep it may be wrapped: JSON in JSON in a string
BEHIND = frozenset({"", "```", "EOF", "PATCH"})  # a fence, a heredoc's end
BETWEEN = re.compile(r"(?:^\n)+(?=@@|\*\*\* )", re.M)


def is_patch_tool(tool: dict[str, Any]) -> bool:
    """Told by its grammar; only a freeform tool without one is told by its name."""
    if tool.get("type") != "custom":
        return False
    form = tool.get("format") or {}
    definition = form.get("definition")
    return BEGIN in str(definition) if definition else tool.get("name") == "apply_patch"


def mended(text: str) -> str:
    """The patch as the grammar has it; the text itself if it is valid already, or past mending."""
    if PATCH.fullmatch(text):
        return text
    inside = _unwrapped(text)
    made = _spaced(_bare(inside)) if BEGIN in inside else ""
    return made if PATCH.fullmatch(made) else text


def _unwrapped(text: str) -> str:
    """The innermost string that holds the patch: of `{"input": …}`, `["apply_patch", …]` …"""
    for _ in range(WRAPPED):
        try:
            found = [one for one in _strings(codec.loads(text)) if BEGIN in one]
        except (ValueError, RecursionError):
            found = _nearly(text)
        if len(found) != 1:
            break
        text = found[0]
    return text


def _nearly(text: str) -> list[str]:
    """`{"input": …}` that is almost JSON; nothing where it breaks off, for half a patch is none."""
    reader = InputText()
    inside = reader.feed(text)
    if reader.rest and inside and "\n" in text:
        return [""]
    return [inside] if inside and not reader.rest else []


def _strings(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return _strings(list(value.values()))
        case list():
            return [text for one in value for text in _strings(one)]
    return []


LAST = re.compile(rf"(?:^|(?<=\\n)|(?<=\\r)){re.escape(END)}", re.M)  # also an escaped line


def _bare(text: str) -> str:
    """What stands from the first mark to the last, without what was written around it."""
    start, end = text.find(BEGIN), _end(text)
    inside = text[start + len(BEGIN) : end] if start < end else text[start + len(BEGIN) :]
    if "\n" not in inside:  # escaped once too often
        inside = codec.unquoted(re.sub(r'\\.|"', _escaped, inside))
    _, *lines = inside.replace("\r\n", "\n").split("\n")  # `*** Begin Patch ***`: opencodex#372
    while lines and lines[-1] in BEHIND:
        lines.pop()
    return "\n".join([BEGIN, *lines, END, ""])


def _end(text: str) -> int:
    """Where the last mark begins; inside a line it is a part of that line."""
    found = [
        at.start() for at in re.finditer(rf"(?:^|(?<=\\n)|(?<=\\r)){re.escape(END)}", text, re.M)
    ]
    return found[-1] if found else -1


def _escaped(found: re.Match[str]) -> str:
    return r"\"" if found[0] == '"' else found[0]


def _spaced(patch: str) -> str:
    """Codex reads an empty line as an empty line of context; between hunks it says nothing."""
    return re.sub(r"(?<=\n)\n", " \n", BETWEEN.sub("", patch))
