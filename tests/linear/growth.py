"""Measures how the work of a function grows with the size of what others send it.

To add a row for a function that sees foreign text, append to the table of its tree in this folder:

    LinearRow("what it reads, and what is odd about it", function, make_input)

`make_input(size)` returns an input of about `size` bytes or characters, afresh for each run, and
`function(input)` does the work. A machine gets its input in pieces: see `feed_pieces`. Give the
input that hurts: one kind of character repeated, a beginning without its end, many beginnings.
"""

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

SIZES = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22]  # each four times the last
MOST_GROWTH = 8  # between two sizes: linear work grows by 4, quadratic by 16
SHORTEST = 0.002  # s; shorter runs are not compared
LONG_ENOUGH = 0.02  # s; a run of this length says enough: larger sizes are left out
ATTEMPTS = 3  # another process may disturb one measurement, but not three


@dataclass(frozen=True)
class LinearRow:
    """A function and a generator of the inputs on which its work must grow linearly."""

    name: str
    function: Callable[[Any], object]
    make_input: Callable[[int], Any]
    largest: int = SIZES[-1]  # of the sizes; smaller where a limit refuses larger inputs

    def __str__(self) -> str:
        return self.name


def check_growth(row: LinearRow) -> None:
    """Raises AssertionError if the work grows much faster than the input."""
    sizes = [size for size in SIZES if size <= row.largest]
    shorter = cpu_seconds(row, sizes[0])
    for size in sizes[1:]:
        longer = cpu_seconds(row, size)
        for _ in range(ATTEMPTS):
            if longer <= MOST_GROWTH * max(shorter, SHORTEST):
                break
            shorter = max(shorter, cpu_seconds(row, size // 4))
            longer = min(longer, cpu_seconds(row, size))
        growth = longer / max(shorter, SHORTEST)
        assert growth <= MOST_GROWTH, (
            f"{row.name}: {shorter:.3f} s for {size // 4}, {longer:.3f} s for {size}"
        )
        if longer >= LONG_ENOUGH:
            return
        shorter = longer


def cpu_seconds(row: LinearRow, size: int) -> float:
    """How long this thread works on an input of this size."""
    value = row.make_input(size)
    gc.disable()  # a collection looks at every object of the process
    try:
        start = time.thread_time()
        row.function(value)
        return time.thread_time() - start
    finally:
        gc.enable()


def feed_pieces(new_machine: Callable[[], Any]) -> Callable[[Iterable[Any]], None]:
    """The work of a machine with `feed` and `close` or `flush` on an input in pieces."""

    def run(pieces: Iterable[Any]) -> None:
        machine = new_machine()
        for piece in pieces:
            machine.feed(piece)
        (getattr(machine, "close", None) or machine.flush)()

    return run


def repeat_to(unit: str, start: str = "", end: str = "") -> Callable[[int], str]:
    """A generator of `start`, many times `unit`, and `end`."""
    return lambda size: start + unit * (size // len(unit)) + end


def repeat_bytes(unit: bytes, start: bytes = b"", end: bytes = b"") -> Callable[[int], bytes]:
    """The same in bytes."""
    return lambda size: start + unit * (size // len(unit)) + end


def cut_pieces[Text: (str, bytes)](
    make_input: Callable[[int], Text], length: int
) -> Callable[[int], Sequence[Text]]:
    """A generator of the same input, in pieces of this length."""

    def make_pieces(size: int) -> Sequence[Text]:
        text = make_input(size)
        return [text[start : start + length] for start in range(0, len(text), length)]

    return make_pieces
