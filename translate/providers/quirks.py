"""Oddities of providers that data cannot express; tables switch them on or off by their names.

There are two sorts: changes of the request, and tool calls that a model writes into its text.
"""

import re
from collections.abc import Callable, Iterable
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


@dataclass(frozen=True)
class LeakFormat:
    """A form in which models write calls when their server does not parse them."""

    marks: tuple[str, ...]  # the first call begins with one of these
    block_pattern: re.Pattern[str]  # one call, or several
    parse_calls: Callable[[re.Match[str]], list[LeakedCall]]


BARS = ("｜", "｜｜", "|", "||", "‖")  # in GenericAgent#804 and cline#13348
BAR = "[｜|‖]{1,2}"
DSML_PARAMETER = re.compile(
    rf'(?s)<{BAR}DSML{BAR}parameter name="([^"]*)"(?: string="(true|false)")?>'
    rf"(.*?)</{BAR}DSML{BAR}parameter>"
)
DSML_INVOKE = re.compile(rf'(?s)<{BAR}DSML{BAR}invoke name="([^"]*)">(.*?)</{BAR}DSML{BAR}invoke>')
DSML_BLOCK = re.compile(  # one invoke; the outer tags may be missing
    rf"(?s)\s*(?:<{BAR}DSML{BAR}\w*calls>\s*)?<{BAR}DSML{BAR}invoke .*?</{BAR}DSML{BAR}invoke>\s*"
    rf"(?:</{BAR}DSML{BAR}\w*calls>\s*)?"
)


def parse_dsml(block: re.Match[str]) -> list[LeakedCall]:
    """DeepSeek's own markup (TokenRhythm/opensquilla#985, vllm-project/vllm#54686)."""
    calls = []
    for name, inside in _find_groups(DSML_INVOKE, block.group()):
        parameters = _find_groups(DSML_PARAMETER, inside)
        arguments = {key: _parse_value(text, mark) for key, mark, text in parameters}
        calls.append(LeakedCall(name, codec.json_text(arguments)))
    return calls


def _find_groups(pattern: re.Pattern[str], text: str) -> Iterable[tuple[str, ...]]:
    return (match.groups("") for match in pattern.finditer(text))


def _parse_value(text: str, string_mark: str = "") -> Any:
    """The value of a parameter; `string="true"` marks a text that is not JSON."""
    if string_mark == "true":
        return text
    try:
        return codec.load_json(text)
    except ValueError:
        return text


FUNCTION_TAG = re.compile(r"(?s)<function=([^>]+)>(.*?)</function>")
PARAMETER_TAG = re.compile(r"(?s)<parameter=([^>]+)>\n?(.*?)\n?</parameter>")


def parse_tagged(block: re.Match[str]) -> list[LeakedCall]:
    """The `<tool_call>` of Hermes and Qwen, with JSON or XML inside (lmstudio-bug-tracker#2115)."""
    inside = block.group(1)
    if function := FUNCTION_TAG.search(inside):
        parameters = _find_groups(PARAMETER_TAG, function.group(2))
        arguments = {key: _parse_value(text) for key, text in parameters}
        return [LeakedCall(function.group(1).strip(), codec.json_text(arguments))]
    return _parse_json_calls(inside)


def parse_bracketed(block: re.Match[str]) -> list[LeakedCall]:
    """Mistral's `[TOOL_CALLS]`: a list, or `name[ARGS]{…}` (Rapid-MLX#1071)."""
    name, inside = block.group(1), block.group(2)
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
    "dsml_calls": LeakFormat(tuple(f"<{bar}DSML{bar}" for bar in BARS), DSML_BLOCK, parse_dsml),
    "tagged_calls": LeakFormat(
        ("<tool_call>",), re.compile(r"(?s)\s*<tool_call>\s*(.*?)\s*</tool_call>\s*"), parse_tagged
    ),
    "bracketed_calls": LeakFormat(
        ("[TOOL_CALLS]",),
        re.compile(
            r"(?s)\s*\[TOOL_CALLS\]\s*([\w.-]*)(?:\[ARGS\])?\s*([\[{].*?[\]}])\s*"
            r"(?=\[TOOL_CALLS\]|$)"
        ),
        parse_bracketed,
    ),
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
        self._pending = ""

    def feed(self, text: str) -> str:
        """The text so far that cannot belong to a call and was not returned yet."""
        if not self._marks:
            return text
        text, self._pending = self._pending + text, ""
        start = min(
            (position for mark in self._marks if (position := text.find(mark)) >= 0),
            default=len(text) - max(overlap_length(text, mark) for mark in self._marks),
        )
        text, self._pending = text[:start], text[start:]
        return text

    def close(self) -> tuple[str, list[LeakedCall]]:
        """The rest of the text, and the calls in it."""
        text, self._pending = self._pending, ""
        calls: list[LeakedCall] = []
        for leak_format in self._formats:
            pieces, end = [], 0
            for block in leak_format.block_pattern.finditer(text):
                block_calls = leak_format.parse_calls(block)
                if block_calls and all(self._is_tool_name(call.name) for call in block_calls):
                    calls += block_calls
                    pieces.append(text[end : block.start()])
                    end = block.end()
            text = "".join([*pieces, text[end:]])
        return text, calls


def overlap_length(text: str, mark: str) -> int:
    """The number of characters at the end of `text` that may be the beginning of `mark`."""
    longest = min(len(text), len(mark) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(mark[:size])), 0)
