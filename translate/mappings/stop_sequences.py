"""`stop` where the upstream has no such parameter: the text is cut by us.

As the service would do it: at the sequence that is whole first, which is no part of the answer.
"""

from collections.abc import Sequence
from typing import Any

from translate.providers.profile import Provider
from translate.providers.quirks import overlap

Json = dict[str, Any]


def ours(stop: Sequence[str], provider: Provider) -> bool:
    """Whether we have to cut."""
    return bool(stop) and provider.dialect == "responses" and "stop" not in provider.parameters


class Stops:
    """Finds the first of these sequences in a text that arrives in pieces.

    `feed` and `close` give what is surely text; once a sequence was found nothing more is.
    `probable`: the log probabilities of a piece, by token; they leave with their text.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self._probable: list[Json] = []
        self.found: str | None = None

    def feed(self, text: str, probable: Sequence[Json] = ()) -> tuple[str, list[Json]]:
        text, self._held = self._held + text, ""
        self._probable += probable
        ends = [(at + len(s), at, s) for s in self._stops if (at := text.find(s)) >= 0]
        if ends:  # of several that end at the same place the longest
            _, at, self.found = min(ends)
        else:
            at = len(text) - max((overlap(text, stop) for stop in self._stops), default=0)
            self._held = text[at:]
        return text[:at], self._measured(at)

    def close(self) -> tuple[str, list[Json]]:
        """The text is over: what was held is text."""
        text, self._held = self._held, ""
        probable, self._probable = self._probable, []
        return text, probable

    def _measured(self, size: int) -> list[Json]:
        """The tokens of that many characters."""
        whole = 0
        for number, one in enumerate(self._probable):
            size -= len(str(one.get("token")))
            whole = number + 1 if size >= 0 else whole
        given, self._probable = self._probable[:whole], self._probable[whole:]
        return given


def cut(output: Sequence[Json], size: int, apart: int) -> list[Json]:
    """The items up to the end of what was told: that many characters of text, `apart` of them
    between two texts."""
    made: list[Json] = []
    told = -apart
    for item in output:
        if item["type"] == "message":
            parts = []
            for part in item["content"]:
                if "text" in part:
                    told += apart
                    part = {**part, "text": part["text"][: max(size - told, 0)]}
                    told += len(part["text"])
                parts.append(part)
            item = {**item, "content": parts}
        made.append(item)
        if told >= size:
            break
    return made
