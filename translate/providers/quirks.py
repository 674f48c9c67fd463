"""Oddities of providers that data cannot express; tables switch them on or off by their names.

There are two sorts: changes of the request, and tool calls that a model writes into its text.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any, NamedTuple

from translate.providers.profile import Provider
from translate.wire import codec

Json = dict[str, Any]

# Requests -----------------------------------------------------------------------------------------


def shorten_call_ids(body: Json) -> None:
    """Replace call ids by nine letters and digits; equal ids stay equal.

    Mistral's API and tokenizer accept no others (anomalyco/opencode#1680, ironclaw#1241). Clients
    do not see the replacements.
    """
    for message in body["messages"]:
        if "tool_call_id" in message:
            message["tool_call_id"] = _nine_characters(message["tool_call_id"])
        for call in message.get("tool_calls", ()):
            call["id"] = _nine_characters(call["id"])


def _nine_characters(call_id: str) -> str:
    if re.fullmatch(r"[a-zA-Z0-9]{9}", call_id):
        return call_id
    return blake2s(call_id.encode("utf-8", "replace"), digest_size=8).hexdigest()[:9]


REQUEST_QUIRKS: dict[str, Callable[[Json], None]] = {"nine_character_ids": shorten_call_ids}


def apply_request_quirks(body: Json, provider: Provider) -> None:
    """Change a Chat body in place, as this provider's quirks require."""
    for quirk in provider.quirks:
        if change := REQUEST_QUIRKS.get(quirk):
            change(body)


# Replies ------------------------------------------------------------------------------------------


class LeakedCall(NamedTuple):
    """A tool call that a model wrote into its text."""

    name: str
    arguments: str


class LeakedBlock(NamedTuple):
    """Where one call, or several, stand in a text."""

    span: tuple[int, int]
    calls: list[LeakedCall]


@dataclass(frozen=True)
class LeakFormat:
    """A form in which models write calls when their server does not parse them."""

    marks: tuple[str, ...]  # the first call begins with one of these
    find_blocks: Callable[[str], Iterator[LeakedBlock]]  # in linear time, as models write anything


BARS = ("｜", "｜｜", "|", "||", "‖")  # in GenericAgent#804 and cline#13348
BAR = "[｜|‖]{1,2}"
DSML_TAG = re.compile(rf"<(/?){BAR}DSML{BAR}(\w++)([^<>]*+)>")
DSML_ATTRIBUTES = re.compile(r' name="([^"]*)"(?: string="(true|false)")?')


def find_dsml_blocks(text: str) -> Iterator[LeakedBlock]:
    """DeepSeek's own markup (TokenRhythm/opensquilla#985, vllm-project/vllm#54686).

    Each invoke is a block; the outer tags may be missing.
    """
    tags = list(DSML_TAG.finditer(text))
    position = 0
    while (first := _find_tag(tags, "", "invoke", position)) is not None:
        if (last := _find_tag(tags, "/", "invoke", first)) is None:
            return
        start, end = tags[first].start(), tags[last].end()
        if first > position and _is_outer(tags[first - 1], "", text[tags[first - 1].end() : start]):
            start = tags[first - 1].start()
        position = last + 1
        if tags[position:] and _is_outer(tags[position], "/", text[end : tags[position].start()]):
            end = tags[position].end()
            position += 1
        yield LeakedBlock((start, end), _dsml_calls(tags[first], tags[first + 1 : last], text))


def _find_tag(tags: list[re.Match[str]], slash: str, name: str, first: int) -> int | None:
    positions = range(first, len(tags))
    return next((at for at in positions if tags[at].group(1, 2) == (slash, name)), None)


def _is_outer(tag: re.Match[str], slash: str, between: str) -> bool:
    return tag[1] == slash and tag[2].endswith("calls") and not between.strip()


def _dsml_calls(invoke: re.Match[str], inside: list[re.Match[str]], text: str) -> list[LeakedCall]:
    attributes = DSML_ATTRIBUTES.fullmatch(invoke[3])
    if attributes is None:
        return []
    arguments = {}
    opened: re.Match[str] | None = None
    for tag in inside:
        if tag[2] == "parameter" and tag[1] and opened:
            if parameter := DSML_ATTRIBUTES.fullmatch(opened[3]):
                value = text[opened.end() : tag.start()]
                arguments[parameter[1]] = _parse_value(value, parameter[2])
            opened = None
        elif tag[2] == "parameter" and not tag[1]:
            opened = opened or tag
    return [LeakedCall(attributes[1], codec.json_text(arguments))]


def _parse_value(text: str, string_mark: str | None = None) -> Any:
    """The value of a parameter; `string="true"` marks a text that is not JSON."""
    if string_mark == "true":
        return text
    try:
        return codec.load_json(text)
    except ValueError:
        return text


class Element(NamedTuple):
    """A tag such as `<function=name>`, and what stands between it and its end."""

    name: str
    inside: str
    span: tuple[int, int]


def _find_elements(text: str, mark: str, end_mark: str) -> Iterator[Element]:
    """The elements that begin with `mark`, a name and ">"."""
    position = 0
    while (start := text.find(mark, position)) >= 0:
        name_end = text.find(">", start + len(mark) - 1)
        end = text.find(end_mark, name_end)
        if name_end < 0 or end < 0:
            return
        name, inside = text[start + len(mark) : name_end], text[name_end + 1 : end]
        position = end + len(end_mark)
        yield Element(name, inside, (start, position))


def find_tagged_blocks(text: str) -> Iterator[LeakedBlock]:
    """The `<tool_call>` of Hermes and Qwen, with JSON or XML inside (lmstudio-bug-tracker#2115)."""
    for block in _find_elements(text, "<tool_call>", "</tool_call>"):
        yield LeakedBlock(block.span, _tagged_calls(block.inside.strip()))


def _tagged_calls(inside: str) -> list[LeakedCall]:
    function = next(_find_elements(inside, "<function=", "</function>"), None)
    if function is None:
        return _parse_json_calls(inside)
    arguments = {
        parameter.name: _parse_value(parameter.inside.removeprefix("\n").removesuffix("\n"))
        for parameter in _find_elements(function.inside, "<parameter=", "</parameter>")
    }
    return [LeakedCall(function.name.strip(), codec.json_text(arguments))]


BRACKET_MARK = "[TOOL_CALLS]"
BRACKET_HEAD = re.compile(r"([\w.-]*+)(?:\[ARGS\])?\s*+(?=[\[{])")


def find_bracketed_blocks(text: str) -> Iterator[LeakedBlock]:
    """Mistral's `[TOOL_CALLS]`: a list, or `name[ARGS]{…}` (Rapid-MLX#1071)."""
    before, *pieces = text.split(BRACKET_MARK)
    start = len(before)
    for piece in pieces:
        end = start + len(BRACKET_MARK) + len(piece)
        inside = piece.strip()
        if (head := BRACKET_HEAD.match(inside)) and inside.endswith(("]", "}")):
            yield LeakedBlock((start, end), _bracketed_calls(head[1], inside[head.end() :]))
        start = end


def _bracketed_calls(name: str, inside: str) -> list[LeakedCall]:
    if name and codec.is_json_object(inside):
        return [LeakedCall(name, inside)]
    return _parse_json_calls(inside)


def _parse_json_calls(text: str) -> list[LeakedCall]:
    """Calls written as JSON, as one object or a list of objects; [] unless each is a call."""
    try:
        parsed = codec.load_json(text)
    except ValueError:
        return []
    calls = []
    for call in parsed if isinstance(parsed, list) else [parsed]:
        match call:
            case {"name": str(name), "arguments": dict() as arguments}:
                calls.append(LeakedCall(name, codec.json_text(arguments)))
            case {"name": str(name), "arguments": str(arguments)}:
                calls.append(LeakedCall(name, arguments))
            case _:
                return []
    return calls


LEAK_FORMATS = {
    "dsml_calls": LeakFormat(tuple(f"<{bar}DSML{bar}" for bar in BARS), find_dsml_blocks),
    "tagged_calls": LeakFormat(("<tool_call>",), find_tagged_blocks),
    "bracketed_calls": LeakFormat((BRACKET_MARK,), find_bracketed_blocks),
}
# Any model may have these, so the relay looks for them at every provider.
COMMON_QUIRKS = frozenset({"think_tags", "thought_signatures"})
QUIRKS = frozenset(REQUEST_QUIRKS) | frozenset(LEAK_FORMATS) | COMMON_QUIRKS


class LeakedCallReader:
    """Finds calls in a reply's text, which arrives in pieces.

    The reader holds back the text from the first mark on, as only calls follow a call. A call
    counts only if `is_tool_name` accepts its name; anything else stays text, word for word.
    """

    def __init__(self, provider: Provider, is_tool_name: Callable[[str], bool]) -> None:
        self._formats = [LEAK_FORMATS[name] for name in provider.quirks if name in LEAK_FORMATS]
        self._marks = [mark for leak_format in self._formats for mark in leak_format.marks]
        self._is_tool_name = is_tool_name
        self._pending = ""  # may be the beginning of a mark
        self._marked: list[str] = []  # the pieces from the first mark on

    def feed(self, text: str) -> str:
        """The text so far that cannot belong to a call and was not returned yet."""
        if not self._marks:
            return text
        if self._marked:
            self._marked.append(text)
            return ""
        text, self._pending = self._pending + text, ""
        positions = [position for mark in self._marks if (position := text.find(mark)) >= 0]
        if positions:
            start = min(positions)
            self._marked.append(text[start:])
        else:
            start = len(text) - max(overlap_length(text, mark) for mark in self._marks)
            self._pending = text[start:]
        return text[:start]

    def close(self) -> tuple[str, list[LeakedCall]]:
        """The rest of the text, and the calls in it."""
        text, self._pending, self._marked = self._pending + "".join(self._marked), "", []
        calls: list[LeakedCall] = []
        for leak_format in self._formats:
            pieces, end = [], 0
            for block in leak_format.find_blocks(text):
                if block.calls and all(self._is_tool_name(call.name) for call in block.calls):
                    calls += block.calls
                    start, stop = block.span
                    pieces.append(text[end:start])
                    end = stop
            text = _join_around_calls([*pieces, text[end:]])
        return text, calls


def _join_around_calls(pieces: list[str]) -> str:
    """The texts before, between and after calls, without the white space beside these."""
    first, *others = pieces
    if not others:
        return first
    *between, last = others
    return "".join([first.rstrip(), *map(str.strip, between), last.lstrip()])


def overlap_length(text: str, mark: str) -> int:
    """The number of characters at the end of `text` that may be the beginning of `mark`."""
    longest = min(len(text), len(mark) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(mark[:size])), 0)
