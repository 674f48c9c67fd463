"""Freeform input of custom tools: reads it while the arguments still arrive, and mends patches.

Codex accepts nothing but the bare patch of its grammar. Models that were not trained on
`apply_patch` fence it, quote it, or call it as a shell would (openai/codex#35361,
lidge-jun/opencodex#372).
"""

import re
from collections.abc import Iterator
from typing import Any

from translate.wire import codec

BEGIN, END = "*** Begin Patch", "*** End Patch"

LINE = r"[^\n]+\n"
ADD = rf"\*\*\* Add File: {LINE}(?:\+[^\n]*\n)++"
DELETE = rf"\*\*\* Delete File: {LINE}"
HUNK = rf"(?:(?:@@\n|@@ {LINE}|[ +-][^\n]*\n)++(?:\*\*\* End of File\n)?)?"
UPDATE = rf"\*\*\* Update File: {LINE}(?:\*\*\* Move to: {LINE})?{HUNK}"
PATCH = re.compile(rf"\*\*\* Begin Patch\n(?:{ADD}|{DELETE}|{UPDATE})++\*\*\* End Patch\n?")

WRAPPING_LIMIT = 3  # how deep a patch may be wrapped: JSON in JSON in a string
CLOSING_LINES = frozenset({"", "```", "EOF", "PATCH"})  # these end a fence or a heredoc
EMPTY_LINES_BETWEEN_HUNKS = re.compile(r"(?<=[^\n]\n)\n++(?=@@|\*\*\* )")
# At the start of a line, which may be the `\n` of a string that is still escaped.
END_MARK = re.compile(rf"(?:^|(?<=\\n)|(?<=\\r)){re.escape(END)}", re.M)


def is_patch_tool(tool: dict[str, Any]) -> bool:
    """Whether a tool's input is a patch, by its grammar, or by its name if it has no grammar."""
    if tool.get("type") != "custom":
        return False
    form = tool.get("format") or {}
    definition = form.get("definition")
    return BEGIN in str(definition) if definition else tool.get("name") == "apply_patch"


def mend_patch(text: str) -> str:
    """The patch as the grammar wants it; the text itself if it is valid or cannot be mended."""
    if PATCH.fullmatch(text):
        return text
    inside = _unwrap_text(text)
    patch = _mark_empty_lines(_extract_patch(inside)) if BEGIN in inside else ""
    return patch if PATCH.fullmatch(patch) else text


def _unwrap_text(text: str) -> str:
    """The innermost string that holds the patch, inside `{"input": …}`, `["apply_patch", …]` …"""
    for _ in range(WRAPPING_LIMIT):
        try:
            candidates = [
                string for string in _collect_strings(codec.load_json(text)) if BEGIN in string
            ]
        except ValueError:
            candidates = _read_near_json(text)
        if len(candidates) != 1:
            break
        text = candidates[0]
    return text


def _read_near_json(text: str) -> list[str]:
    """The input in `{"input": …}` that is almost JSON; [] if the text is anything else.

    An input with real line breaks that an unescaped quote ends too early counts as "": it may or
    may not go on behind the quote, so it must not be mended.
    """
    reader = InputText()
    inside = reader.feed(text)
    if reader.rest and inside and "\n" in text:
        return [""]
    return [inside] if inside and not reader.rest else []


def _collect_strings(value: Any) -> Iterator[str]:
    values = [value]
    while values:
        match values.pop():
            case str(text):
                yield text
            case dict(members):
                values += members.values()
            case list(members):
                values += members


def _extract_patch(text: str) -> str:
    """The text from the first begin mark to the last end mark; both are added where missing."""
    start, end = text.find(BEGIN), _find_last_end(text)
    inside = text[start + len(BEGIN) : end] if start < end else text[start + len(BEGIN) :]
    if "\n" not in inside:  # escaped once too often
        inside = codec.unescape_string(re.sub(r'\\.|"', _escape_quote, inside))
    _, *lines = inside.replace("\r\n", "\n").split("\n")  # `*** Begin Patch ***`: opencodex#372
    while lines and lines[-1] in CLOSING_LINES:
        lines.pop()
    return "\n".join([BEGIN, *lines, END, ""])


def _find_last_end(text: str) -> int:
    """Where the last end mark begins, or -1; a mark inside a line is a part of that line."""
    positions = [match.start() for match in END_MARK.finditer(text)]
    return positions[-1] if positions else -1


def _escape_quote(match: re.Match[str]) -> str:
    return r"\"" if match[0] == '"' else match[0]


def _mark_empty_lines(patch: str) -> str:
    """Mark empty lines as context, as Codex reads them, and drop those between hunks."""
    return re.sub(r"(?<=\n)\n", " \n", EMPTY_LINES_BETWEEN_HUNKS.sub("", patch))


# Readers: `feed` takes pieces of a call's arguments, and returns the text to show to the client.

INPUT_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
SPACES = re.compile(r"\s+")
HEAD_LENGTH = 16  # of the head with one space between its parts
# Whole characters of a JSON string. A surrogate pair is one character; a high half must wait.
WHOLE_CHARACTERS = re.compile(
    r'(?:[^"\\]++|\\[^u]'
    r"|\\u(?=[0-9a-fA-F]{0,3}[^0-9a-fA-F])"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u(?![dD][89abAB])[0-9a-fA-F]{4})*+"
)
CHARACTER_LENGTH = 12  # of the longest, a surrogate pair

INPUT_TAIL = re.compile(r'(?:"\s*+}*+)?+\s*+')


class VerbatimText:
    """Function arguments, which the client reads as they are."""

    rest = ""

    def feed(self, piece: str) -> str:
        return piece


class InputText:
    """Freeform input, decoded from `{"input": "…"}`. Anything else gives no text.

    Models leave newlines and backslashes (`\\d`) in it unescaped, or add a closing brace too many.
    That is not JSON, but it can mean only one thing.
    """

    def __init__(self) -> None:
        self._step = self._read_head
        self._pending = ""  # the beginning of the head, or of a character
        self._rest: list[str] = []  # what follows the text

    @property
    def rest(self) -> str:
        """What follows the decoded text, except for the end of the JSON."""
        rest = "".join([self._pending, *self._rest])
        return "" if INPUT_TAIL.fullmatch(rest) else rest

    def feed(self, piece: str) -> str:
        return self._step(piece)

    def _read_head(self, piece: str) -> str:
        text = self._pending + piece
        if head := INPUT_HEAD.match(text):
            self._step, self._pending = self._read_text, ""
            return self._read_text(text[head.end() :])
        self._pending = SPACES.sub(" ", text)
        if len(self._pending) > HEAD_LENGTH:
            self._step = self._skip_text
        return ""

    def _read_text(self, piece: str) -> str:
        text = self._pending + piece
        whole = WHOLE_CHARACTERS.match(text)
        end = whole.end() if whole else 0
        self._pending = text[end:]
        if self._pending.startswith('"') or len(self._pending) >= CHARACTER_LENGTH:
            self._step = self._skip_text
        return codec.unescape_string(text[:end]) if end else ""

    def _skip_text(self, piece: str) -> str:
        self._rest.append(piece)
        return ""


TEXT_READERS: dict[str, type[VerbatimText] | type[InputText]] = {
    "arguments": VerbatimText,
    "input": InputText,
}
