"""Text as it is put on a page: sizes, folds, and an end to what is too long."""

import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator

LIMIT = 200_000  # characters of a page
TEXT = 40_000  # of one text in it
WIDTH = 110  # characters of a line of prose, as mitmweb wraps none
RULE = "━━"
EMPTY = re.compile(r"^$", re.M)


def size(count: int) -> str:
    """412 B, 12.3 kB, 1.2 MB"""
    if count < 1000:
        return f"{count} B"
    number, unit = (count / 1000, "kB") if count < 999_950 else (count / 1_000_000, "MB")
    return f"{number:.1f} {unit}"


def weight(text: str) -> str:
    """The size of a text in UTF-8."""
    return size(len(text.encode("utf-8", "replace")))


def fold(text: str, most: int = TEXT) -> str:
    """The text, without its middle where it is longer than that many characters."""
    if len(text) <= most:
        return text
    first, last = text[: most * 2 // 3], text[len(text) - most // 3 :]
    return f"{first}\n⋯ {weight(text[len(first) : len(text) - len(last)])} more ⋯\n{last}"


def begin(text: str, lines: int, most: int = 1000) -> str:
    """The first lines of a text, and how long it is."""
    shown = "\n".join(text[: most + 1].split("\n")[:lines])[:most].rstrip()
    return shown if shown == text.rstrip() else f"{shown}\n⋯ {weight(text)} in all ⋯"


def wrapped(text: str, width: int = WIDTH) -> str:
    """Prose, whose long lines are broken at a space."""
    return "\n".join(piece for one in text.split("\n") for piece in _broken(one, width))


def _broken(text: str, width: int) -> Iterator[str]:
    start = 0
    while len(text) - start > width and (end := text.rfind(" ", start + 1, start + width)) > 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def line(text: str, most: int) -> str:
    """A text in one line: newlines shown, its middle left out."""
    if len(text) > most:
        text = f"{text[: most * 2 // 3]} ⋯ {text[len(text) - most // 3 :]}"
    return text.replace("\r", "").replace("\n", "⏎")


def beside(label: str, text: str) -> str:
    """The text with a label before each of its lines."""
    return "\n".join(f"{label} │ {one}".rstrip() for one in text.splitlines() or [""])


def tall(text: str) -> str:
    """With a space on each empty line: mitmweb gives them no height else."""
    return EMPTY.sub(" ", text)


def page(blocks: Iterable[str], limit: int = LIMIT) -> str:
    """The blocks under each other. Of too many the first and the last stay: the newest is last."""
    coming = iter(blocks)
    first, room = [], limit // 2
    for block in coming:
        room -= len(block) + 1
        if room < 0:
            coming = itertools.chain([block], coming)
            break
        first.append(block)
    last, left = _last(coming, limit // 2)
    if left:
        first += ["", f"⋯ {size(left)} of text left out here; the view `raw` has it all ⋯", ""]
    return "\n".join([*first, *last]).encode("utf-8", "replace").decode()


def _last(blocks: Iterator[str], room: int) -> tuple[deque[str], int]:
    """The last blocks that fit, and how many characters were before them."""
    kept: deque[str] = deque()
    held = left = 0
    for block in blocks:
        kept.append(block)
        held += len(block) + 1
        while held > room:
            gone = len(kept.popleft()) + 1
            held, left = held - gone, left + gone
    return kept, left
