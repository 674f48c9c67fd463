"""Oddities of providers that data cannot say: each a name in providers.toml, taken off there too.

Two sorts: what is mended in a request before it goes up, and tool calls that come down as text.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any, NamedTuple

from translate.providers.profile import Provider
from translate.wire import codec

Json = dict[str, Any]

# up


def nine_character_ids(body: Json) -> None:
    """Mistral's API and tokenizer take call ids of nine letters and digits only (opencode#1680,
    ironclaw#1241). The same id is always the same; the client keeps its own."""
    for message in body["messages"]:
        if "tool_call_id" in message:
            message["tool_call_id"] = _nine(message["tool_call_id"])
        for call in message.get("tool_calls", ()):
            call["id"] = _nine(call["id"])


def _nine(id_: str) -> str:
    if re.fullmatch(r"[a-zA-Z0-9]{9}", id_):
        return id_
    return blake2s(id_.encode("utf-8", "replace"), digest_size=8).hexdigest()[:9]


MENDS: dict[str, Callable[[Json], None]] = {"nine_character_ids": nine_character_ids}


def mend(body: Json, provider: Provider) -> None:
    """What this provider's quirks change in a Chat body."""
    for quirk in provider.quirks:
        if change := MENDS.get(quirk):
            change(body)


# down


class Leaked(NamedTuple):
    name: str
    arguments: str


@dataclass(frozen=True)
class Leak:
    """A way in which models write calls when their server does not read them."""

    opens: tuple[str, ...]
    block: re.Pattern[str]  # one call, or several
    read: Callable[[re.Match[str]], list[Leaked]]


BARS = ("｜", "｜｜", "|", "||", "‖")  # seen in GenericAgent#804 and cline#13348
BAR = "[｜|‖]{1,2}"
PARAMETER = re.compile(
    rf'(?s)<{BAR}DSML{BAR}parameter name="([^"]*)"(?: string="(true|false)")?>'
    rf"(.*?)</{BAR}DSML{BAR}parameter>"
)
INVOKE = re.compile(rf'(?s)<{BAR}DSML{BAR}invoke name="([^"]*)">(.*?)</{BAR}DSML{BAR}invoke>')
BLOCK = re.compile(  # one invoke; the tags around all of them may be missing
    rf"(?s)\s*(?:<{BAR}DSML{BAR}\w*calls>\s*)?<{BAR}DSML{BAR}invoke .*?</{BAR}DSML{BAR}invoke>\s*"
    rf"(?:</{BAR}DSML{BAR}\w*calls>\s*)?"
)


def dsml(block: re.Match[str]) -> list[Leaked]:
    """DeepSeek's own markup (opensquilla#985, vllm#54686), with or without its outer tag."""
    return [
        Leaked(name, codec.text({key: _value(text, raw) for key, raw, text in _said(PARAMETER, x)}))
        for name, x in _said(INVOKE, block.group())
    ]


def _said(pattern: re.Pattern[str], text: str) -> Iterable[tuple[str, ...]]:
    return (found.groups("") for found in pattern.finditer(text))


def _value(text: str, raw: str) -> Any:
    """`string="true"` marks a text that is no JSON."""
    if raw == "true":
        return text
    try:
        return codec.loads(text)
    except ValueError:
        return text


FUNCTION = re.compile(r"(?s)<function=([^>]+)>(.*?)</function>")
ARGUMENT = re.compile(r"(?s)<parameter=([^>]+)>\n?(.*?)\n?</parameter>")


def tagged(block: re.Match[str]) -> list[Leaked]:
    """Hermes' and Qwen's `<tool_call>`, with JSON or XML in it (lmstudio-bug-tracker#2115)."""
    inside = block.group(1)
    if function := FUNCTION.search(inside):
        arguments = {key: _value(text, "") for key, text in _said(ARGUMENT, function.group(2))}
        return [Leaked(function.group(1).strip(), codec.text(arguments))]
    return _calls(inside)


def bracketed(block: re.Match[str]) -> list[Leaked]:
    """Mistral's `[TOOL_CALLS]`: a list, or `name[ARGS]{…}` (Rapid-MLX#1071)."""
    name, inside = block.group(1), block.group(2)
    return [Leaked(name, inside)] if name and codec.is_object(inside) else _calls(inside)


def _calls(text: str) -> list[Leaked]:
    """Calls written as JSON: an object or a list of them."""
    try:
        found = codec.loads(text)
    except ValueError:
        return []
    calls = []
    for one in found if isinstance(found, list) else [found]:
        match one:
            case {"name": str(name), "arguments": dict() as arguments}:
                calls.append(Leaked(name, codec.text(arguments)))
            case {"name": str(name), "arguments": str(arguments)}:
                calls.append(Leaked(name, arguments))
            case _:
                return []
    return calls


LEAKS = {
    "dsml_calls": Leak(
        tuple(f"<{bar}DSML{bar}" for bar in BARS),
        BLOCK,
        dsml,
    ),
    "tagged_calls": Leak(
        ("<tool_call>",), re.compile(r"(?s)\s*<tool_call>\s*(.*?)\s*</tool_call>\s*"), tagged
    ),
    "bracketed_calls": Leak(
        ("[TOOL_CALLS]",),
        re.compile(
            r"(?s)\s*\[TOOL_CALLS\]\s*([\w.-]*)(?:\[ARGS\])?\s*([\[{].*?[\]}])\s*"
            r"(?=\[TOOL_CALLS\]|$)"
        ),
        bracketed,
    ),
}
# Any model may do these, so they are looked for with every provider.
EVERYWHERE = frozenset({"think_tags", "thought_signatures"})
QUIRKS = frozenset(MENDS) | frozenset(LEAKS) | EVERYWHERE


class Leaks:
    """Takes calls out of a reply's text, which arrives in pieces.

    Text from the first mark on is held to its end, as nothing else comes after calls. A call is
    one only if `known` has its name; what is none stays text, word for word.
    """

    def __init__(self, provider: Provider, known: Callable[[str], bool]) -> None:
        self._leaks = [LEAKS[name] for name in provider.quirks if name in LEAKS]
        self._marks = [mark for leak in self._leaks for mark in leak.opens]
        self._known = known
        self._held = ""

    def feed(self, text: str) -> str:
        """The part of the text that is surely nothing but text."""
        if not self._marks:
            return text
        text, self._held = self._held + text, ""
        at = min(
            (at for mark in self._marks if (at := text.find(mark)) >= 0),
            default=len(text) - max(overlap(text, mark) for mark in self._marks),
        )
        text, self._held = text[:at], text[at:]
        return text

    def close(self) -> tuple[str, list[Leaked]]:
        """What is held: its text and its calls."""
        text, self._held = self._held, ""
        calls: list[Leaked] = []
        for leak in self._leaks:
            pieces, end = [], 0
            for block in leak.block.finditer(text):
                found = leak.read(block)
                if found and all(self._known(call.name) for call in found):
                    calls += found
                    pieces.append(text[end : block.start()])
                    end = block.end()
            text = "".join([*pieces, text[end:]])
        return text, calls


def overlap(text: str, mark: str) -> int:
    """How much of the text's end may be a mark's beginning."""
    most = min(len(text), len(mark) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(mark[:size])), 0)
