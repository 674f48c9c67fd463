"""JSON in and out in steps, for values of megabytes.

pydantic_core parses or writes a value in one call, which keeps every other thread of the process
waiting: 30 MB take 50 to 150 ms. These functions make many calls of a few milliseconds instead. The
results are the same; all in all they take about twice as long.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from translate.wire.codec import MAX_NESTING, NestedTooDeeply, dump_json, load_json

Json = dict[str, Any]


class TooManyValues(ValueError):
    """The JSON has more values than the caller takes."""


LARGE_JSON = 1 << 20  # bytes; a request of less is parsed, translated and written in some 10 ms
STEP = 256 * 1024  # bytes of JSON for one call: a millisecond or two
# From one structural character to the next, past plain strings and whatever else stands between.
# All repeats are possessive and bounded: the expressions are linear, and one match is short.
NEXT_STRUCTURE = re.compile(
    rb'(?:"[^"\\]{0,4096}+"|[^"\[\]{},]{1,4096}+){0,8}+(?P<mark>["\[\]{},])?+'
)
STRING_TEXT = re.compile(rb'[^"\\]{0,4096}+(?:\\.[^"\\]{0,4096}+){0,256}+', re.DOTALL)
# The second half of a surrogate pair belongs to the escape before it.
LOW_SURROGATE = re.compile(rb"\\u[dD][c-fC-F]")
CONTINUATION_BYTES = bytes(range(0x80, 0xC0))  # of a character in UTF-8, behind its first byte
MAX_CONTINUATION = 3  # such bytes of one character
BLANKS = b" \t\r\n"
CLOSING = {b"[": b"]", b"{": b"}"}


class OpenContainer:
    """An object or a list whose end the scanner has not reached."""

    __slots__ = ("after_child", "last_comma", "opened_at", "opening", "pending_from", "value")

    def __init__(self, opening: bytes, opened_at: int) -> None:
        self.opening, self.opened_at = opening, opened_at
        self.pending_from = opened_at + 1  # the text from here on is not parsed
        self.last_comma = 0  # position of the last comma in that text
        self.after_child = False  # whether the pending text follows a child that was parsed alone
        self.value: Any = None  # None while all of it is pending, as that of a small one is

    def parse_pending(self, text: bytes) -> None:
        """Parse these elements or members, and add them to the value. Raises ValueError."""
        if not text.strip(BLANKS):
            raise ValueError(f"expected a value behind byte {self.pending_from}")
        if self.opening == b"[":
            self.value.extend(load_json(b"[%b]" % text))
        else:
            self.value.update(load_json(b"{%b}" % text))

    def add_child(self, key: Any, child: Any) -> None:
        if self.opening == b"[":
            self.value.append(child)
        else:
            self.value[key] = child


class StepLoader:
    """Parses one object or list, with nothing but blanks before it.

    Whatever is small is parsed together with its neighbours.
    """

    def __init__(self, data: bytes, max_values: float) -> None:
        self._data = data
        self._max_values, self._value_count = max_values, 1
        self._open: list[OpenContainer] = []
        self._keys: list[Any] = []  # of each open container that has a value, in its parent

    def load_value(self) -> Any:
        """Raises ValueError, NestedTooDeeply, TooManyValues."""
        data, position = self._data, 0
        while (match := NEXT_STRUCTURE.match(data, position)) and match.end() > position:
            position, mark = match.end(), match["mark"]
            if mark == b'"':
                position = self._pass_string(position)
            elif mark == b",":
                self._count_value()
                self._pass_comma(position - 1)
            elif mark in CLOSING:
                self._count_value()
                self._enter(mark, position - 1)
            elif mark:
                closed = self._leave(mark, position - 1)
                if not self._open:
                    return self._finish(closed, position)
        raise ValueError("it ends in the middle of a value")

    def _count_value(self) -> None:
        """Called for each comma, which has a value behind it, and for each object and list, which
        counts for its first value."""
        self._value_count += 1
        if self._value_count > self._max_values:
            limit = f"{self._max_values:,} values (relay_max_values)"
            raise TooManyValues(f"JSON has more than {limit}")

    def _enter(self, mark: bytes, position: int) -> None:
        self._open.append(OpenContainer(mark, position))
        if len(self._open) > MAX_NESTING:
            raise NestedTooDeeply("JSON is nested too deeply")

    def _pass_comma(self, position: int) -> None:
        container = self._open[-1]
        if container.after_child:
            self._check_blank(container.pending_from, position)
            container.pending_from, container.after_child = position + 1, False
        elif position - container.pending_from >= STEP:
            self._parse_until(position)
            container.pending_from = position + 1
        container.last_comma = position

    def _pass_string(self, start: int) -> int:
        """Parse the string if it is a long value; returns the position behind it."""
        end, container = end_of_string(self._data, start), self._open[-1]
        if end - start > STEP and not self._is_key(container, start - 1):
            self._create_values()
            key = self._parse_before(container, start - 1)
            container.add_child(key, load_long_string(self._data, start, end - 1))
            container.pending_from, container.after_child = end, True
        return end

    def _is_key(self, container: OpenContainer, position: int) -> bool:
        """Whether a string that begins here is the key of a member."""
        member_from = max(container.pending_from, container.last_comma + 1)
        is_first = not self._data[member_from:position].strip(BLANKS)
        return container.opening == b"{" and is_first

    def _leave(self, mark: bytes, position: int) -> OpenContainer:
        container = self._open[-1]
        if mark != CLOSING[container.opening]:
            raise ValueError(f"unexpected {mark.decode()} at byte {position}")
        if container.value is not None:
            if container.after_child:
                self._check_blank(container.pending_from, position)
            else:
                self._parse_until(position)
        self._open.pop()
        if container.value is not None and self._open:
            parent = self._open[-1]
            parent.add_child(self._keys.pop(), container.value)
            parent.pending_from, parent.after_child = position + 1, True
        return container

    def _finish(self, container: OpenContainer, position: int) -> Any:
        if self._data[position:].strip(BLANKS):
            raise ValueError(f"unexpected text at byte {position}, behind its end")
        return load_json(self._data) if container.value is None else container.value

    def _parse_until(self, end: int) -> None:
        """Parse the pending text of the innermost container up to here."""
        self._create_values()
        container = self._open[-1]
        container.parse_pending(self._data[container.pending_from : end])

    def _create_values(self) -> None:
        """Make sure that each open container has a value."""
        for number, container in enumerate(self._open):
            if container.value is None:
                container.value = [] if container.opening == b"[" else {}
                if number:
                    self._keys.append(
                        self._parse_before(self._open[number - 1], container.opened_at)
                    )

    def _parse_before(self, parent: OpenContainer, start: int) -> Any:
        """Parse what stands before a child in its parent; returns the child's key."""
        if parent.after_child:
            raise ValueError(f"expected a comma before byte {start}")
        key_from = parent.pending_from
        if parent.last_comma >= key_from:
            parent.parse_pending(self._data[key_from : parent.last_comma])
            key_from = parent.last_comma + 1
        if parent.opening == b"[":
            self._check_blank(key_from, start)
            return None
        [key] = load_json(b"{%b[]}" % self._data[key_from:start])
        return key

    def _check_blank(self, start: int, end: int) -> None:
        if self._data[start:end].strip(BLANKS):
            raise ValueError(f"unexpected text at byte {start}")


def load_json_in_steps(data: bytes, max_values: float = math.inf) -> Any:
    """`load_json`, in steps if the data is large.

    Raises ValueError, and nothing else; TooManyValues, a ValueError, if the data is large and has
    more values than this. They take many times the memory of their JSON.
    """
    if len(data) <= LARGE_JSON:
        return load_json(data)
    encoding = json.detect_encoding(data)
    if encoding != "utf-8":
        data = data.decode(encoding, "replace").encode()
    first = data.lstrip(BLANKS)[:1]
    return StepLoader(data, max_values).load_value() if first in CLOSING else load_json(data)


def end_of_string(data: bytes, start: int) -> int:
    """The position behind the string whose text begins at `start`. Raises ValueError."""
    position = start
    while data[position : position + 1] != b'"':
        next_position = skip_text(data, position)
        if next_position == position:
            raise ValueError("it ends in the middle of a string")
        position = next_position
    return position + 1


def skip_text(data: bytes, position: int) -> int:
    """The position behind some of the text of a string, in no escape; the same one at its end."""
    text = STRING_TEXT.match(data, position)
    return text.end() if text else position


def load_long_string(data: bytes, start: int, end: int) -> str:
    """The string whose text begins at `start`, and whose closing quote is at `end`. Raises
    ValueError."""
    pieces, piece_from, position = [], start, start
    while position < end:
        if position - piece_from >= STEP:
            position = next_character(data, position)
            pieces.append(load_json(b'"%b"' % data[piece_from:position]))
            piece_from = position
        position = max(skip_text(data, position), position + 1)
    pieces.append(load_json(b'"%b"' % data[piece_from:end]))
    return "".join(pieces)


def next_character(data: bytes, position: int) -> int:
    """This position, which is in no escape, or the next one at which a character begins."""
    if LOW_SURROGATE.match(data, position):
        return position + len(b"\\udc00")
    following = data[position : position + MAX_CONTINUATION]
    return position + len(following) - len(following.lstrip(CONTINUATION_BYTES))


# Out ----------------------------------------------------------------------------------------------


def dump_json_in_steps(value: Any) -> bytes:
    """`dump_json`, in steps if the value is large."""
    return b"".join(_dump_pieces(value))


def _dump_pieces(value: Any) -> Iterator[bytes]:
    if rough_size(value) <= STEP:
        yield dump_json(value)
    elif isinstance(value, str):
        yield from _dump_string(value)
    elif isinstance(value, dict):
        yield from _dump_container(b"{}", value.items())
    else:
        yield from _dump_container(b"[]", value)


def _dump_container(brackets: bytes, elements: Iterable[Any]) -> Iterator[bytes]:
    """Small elements, or members as pairs, are written together; a large one by itself."""
    separator = brackets[:1]
    as_value: Any = dict if brackets == b"{}" else list
    small: list[Any] = []
    size = 0
    for element in elements:
        element_size = rough_size(element)
        if small and size + element_size > STEP:
            yield separator + dump_json(as_value(small))[1:-1]
            separator, small, size = b",", [], 0
        if element_size > STEP:
            yield separator
            separator = b","
            if as_value is dict:
                key, element = element
                yield dump_json(key) + b":"
            yield from _dump_pieces(element)
        else:
            small.append(element)
            size += element_size
    if small:
        yield separator + dump_json(as_value(small))[1:-1]
    yield brackets[1:]


def _dump_string(text: str) -> Iterator[bytes]:
    yield b'"'
    start = 0
    while start < len(text):
        end = start + STEP
        if "\ud800" <= text[end - 1 : end] <= "\udbff":  # half of a surrogate pair
            end += 1
        yield dump_json(text[start:end])[1:-1]
        start = end
    yield b'"'


def rough_size(value: Any) -> int:
    """About how many bytes of JSON the value has; beyond STEP, it counts no further."""
    size, waiting = 0, [value]
    while waiting and size <= STEP:
        each = waiting.pop()
        if isinstance(each, str):
            size += len(each)
        elif isinstance(each, dict):
            size += 16 * len(each)
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            size += 8 * len(each)
            waiting.extend(each)
        else:
            size += 8
    return size
