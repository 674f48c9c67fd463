"""Texts for a page: the parts of a message in words; sizes; long texts folded and wrapped.

Pictures, files and sealed reasoning are described; their base64 is never shown.
"""

import base64
import io
import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image

from translate import (
    ENCRYPTED_DETAIL,
    Envelope,
    json_text,
    load_json,
    open_envelope,
    printable,
)

# Characters
PAGE_LIMIT = 200_000
TEXT_LIMIT = 40_000  # of one text in a page
VALUE_LIMIT = 4000  # of a JSON value
PROSE_WIDTH = 110  # of a line: mitmweb does not wrap lines
PICTURE_HEAD = 128 << 10  # of base64, decoded to read the dimensions of a picture

RULE = "━━"
EMPTY_LINE = re.compile(r"^$", re.M)
DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+=-]+)*;base64,[A-Za-z0-9+/_=-]+")
BASE64 = re.compile(r"[A-Za-z0-9+/_=-]{200,}")


# The parts of a message


def content_text(content: Any) -> str:
    """The content of a message or the output of a tool: a text, or a list of parts."""
    match content:
        case None:
            return ""
        case str():
            return describe_data_urls(content)
        case list():
            return "\n".join(filter(None, map(part_text, content)))
    return part_text(content)


def part_text(part: Any) -> str:
    """One part of a message's content, of either dialect."""
    match part:
        case str():
            return describe_data_urls(part)
        case {"text": str(text)}:
            return describe_data_urls(text)
        case {"refusal": str(text)}:
            return f"[refused: {text}]"
        case {"thinking": thinking}:
            return content_text(thinking)
        case {"image_url": {"url": url}} | {"image_url": str(url)}:
            return f"[image: {describe_url(url)}]"
        case {"type": "encrypted_content", "encrypted_content": str(text)}:
            return sealed_text(text) if BASE64.fullmatch(text) or open_envelope(text) else text
        case {"type": type_name, "data": str(text)} if type_name == ENCRYPTED_DETAIL:
            return sealed_text(text)
        case {"url_citation": dict(citation)}:
            fields = [citation.get("title"), citation.get("url")]
            return f"[source: {', '.join(str(field) for field in fields if field)}]"
        case {"file": dict(fields)} | {"input_audio": dict(fields)}:
            return part_text({"type": part.get("type"), **fields})
    return attachment_text(part) if isinstance(part, dict) else value_text(part)


def attachment_text(part: dict[str, Any]) -> str:
    """A description of a file or a sound; any other part as JSON."""
    content = part.get("file_data") or part.get("data")
    if not isinstance(content, str):
        return value_text(part)
    media_type = f"audio/{part['format']}" if part.get("format") else ""
    url = content if content.startswith("data:") else f"data:{media_type};base64,{content}"
    fields = [part.get("filename"), describe_url(url)]
    name = str(part.get("type")).removeprefix("input_")  # the prefix is Responses'
    return f"[{name}: {', '.join(str(field) for field in fields if field)}]"


def sealed_text(text: str) -> str:
    """A description of encrypted content; the relay's own envelopes name their model."""
    envelope = open_envelope(text)
    sealer = f" by us for {envelope_model(envelope)}" if envelope else ""
    return f"[sealed{sealer}, {text_size(text)}]"


def envelope_model(envelope: Envelope) -> str:
    return f"{envelope.model} ({envelope.provider_identity})"


def value_text(value: Any) -> str:
    """Any JSON value on one line."""
    return fold_middle(json_text(describe_base64(value)), VALUE_LIMIT)


def arguments_text(arguments: Any) -> str:
    """The arguments of a call, each on lines of its own; other values than objects as a text."""
    try:
        values = load_json(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return describe_data_urls(arguments)
    if not isinstance(values, dict):
        return content_text(arguments)
    first_value = next(iter(values.values()), None)
    if len(values) == 1 and isinstance(first_value, str) and "\n" in first_value:
        return describe_data_urls(first_value)  # a patch or a script
    return "\n".join(_argument_lines(str(name), value) for name, value in values.items())


def _argument_lines(name: str, value: Any) -> str:
    text = describe_data_urls(value) if isinstance(value, str) else value_text(value)
    if "\n" not in text:
        return f"{name}: {text}"
    lines = "\n".join(f"  {row}".rstrip() for row in text.split("\n"))
    return f"{name}:\n{lines}"


# Pictures and other base64


def describe_url(url: Any) -> str:
    """`image/png, 640×480 pixels, 34.2 kB` for a data: URL; any other URL unchanged."""
    head, _, data = str(url).partition(",")
    if not head.lower().startswith("data:"):
        return to_one_line(str(url), 300)
    parts = [
        head[5:].split(";")[0][:60] or "unknown type",
        _picture_dimensions(data),
        format_size(len(data.rstrip("=")) * 3 // 4),
    ]
    return ", ".join(filter(None, parts))


def _picture_dimensions(data: str) -> str:
    """`640×480 pixels`; "" if the data is not a picture."""
    try:
        head = data[:PICTURE_HEAD]
        with Image.open(io.BytesIO(base64.b64decode(head + "=" * (-len(head) % 4)))) as picture:
            return f"{picture.width}×{picture.height} pixels"
    except Exception:  # decoders raise any error for broken data
        return ""


def describe_data_urls(text: str) -> str:
    """The text with a description in place of each data: URL."""
    if ";base64," not in text:
        return text
    return DATA_URL.sub(lambda match: f"[{describe_url(match[0])}]", text)


def describe_base64(value: Any) -> Any:
    """A JSON value with descriptions in place of base64."""
    match value:
        case dict():
            return {str(name): describe_base64(item) for name, item in value.items()}
        case list():
            return [describe_base64(item) for item in value]
        case str() if BASE64.fullmatch(value):
            return f"[{format_size(len(value))} of base64 or the like]"
        case str():
            return describe_data_urls(value)
    return value


# Sizes, folding, wrapping


def format_size(count: int) -> str:
    """A number of bytes: `412 B`, `12.3 kB`, `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    number, unit = (count / 1000, "kB") if count < 999_950 else (count / 1_000_000, "MB")
    return f"{number:.1f} {unit}"


def text_size(text: str) -> str:
    """The size of a text in UTF-8."""
    return format_size(len(text.encode("utf-8", "replace")))


def fold_middle(text: str, limit: int = TEXT_LIMIT) -> str:
    """The text; if it is longer than `limit` characters, without its middle."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit * 2 // 3], text[len(text) - limit // 3 :]
    return f"{head}\n⋯ {text_size(text[len(head) : len(text) - len(tail)])} more ⋯\n{tail}"


def first_lines(text: str, count: int, limit: int = 1000) -> str:
    """The first `count` lines, at most `limit` characters; a cut text ends with its full size."""
    head = "\n".join(text[: limit + 1].split("\n")[:count])[:limit].rstrip()
    return head if head == text.rstrip() else f"{head}\n⋯ {text_size(text)} in all ⋯"


def wrap_prose(text: str, width: int = PROSE_WIDTH) -> str:
    """The text with its long lines broken at spaces."""
    return "\n".join(piece for row in text.split("\n") for piece in _break_line(row, width))


def _break_line(text: str, width: int) -> Iterator[str]:
    start = 0
    while len(text) - start > width and (end := text.rfind(" ", start + 1, start + width)) > 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def to_one_line(text: str, limit: int) -> str:
    """The text on one line, with ⏎ for newlines; without its middle if it is too long."""
    if len(text) > limit:
        text = f"{text[: limit * 2 // 3]} ⋯ {text[len(text) - limit // 3 :]}"
    return text.replace("\r", "").replace("\n", "⏎")


def label_lines(label: str, text: str) -> str:
    """The text with a label before each of its lines."""
    return "\n".join(f"{label} │ {row}".rstrip() for row in text.splitlines() or [""])


def escape_controls(text: str) -> str:
    """The text with visible escapes in place of what a terminal would obey, newlines apart."""
    return "\n".join(printable(row, len(row)) for row in text.split("\n"))


def fill_empty_lines(text: str) -> str:
    """The text with a space on each empty line: mitmweb gives empty lines no height."""
    return EMPTY_LINE.sub(" ", text)


# The page


def join_page(blocks: Iterable[str], limit: int = PAGE_LIMIT) -> str:
    """The blocks, one below the other.

    A page above `limit` characters keeps its first and its last blocks: the last are the newest.
    """
    remaining = iter(blocks)
    first: list[str] = []
    room = limit // 2
    for block in remaining:
        room -= len(block) + 1
        if room < 0:
            remaining = itertools.chain([block], remaining)
            break
        first.append(block)
    last, omitted = _last_blocks(remaining, limit // 2)
    if omitted:
        size = format_size(omitted)
        first += ["", f"⋯ {size} of text left out here; the view `raw` has it all ⋯", ""]
    return "\n".join([*first, *last]).encode("utf-8", "replace").decode()


def _last_blocks(blocks: Iterator[str], room: int) -> tuple[deque[str], int]:
    """The last blocks that fit into the room, and the number of characters in front of them."""
    last: deque[str] = deque()
    size = omitted = 0
    for block in blocks:
        last.append(block)
        size += len(block) + 1
        while size > room:
            removed = len(last.popleft()) + 1
            size, omitted = size - removed, omitted + removed
    return last, omitted
