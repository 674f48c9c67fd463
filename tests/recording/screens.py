"""A terminal whose screens are kept, with the times at which a person saw them."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.recording.svg import Cell, Frame, Row, Style
from tests.terminal import Terminal

TYPING, BEFORE_ENTER = 0.05, 0.35  # s between two keys, and before the last one
LONGEST, SHORTEST = 0.8, 0.05  # s; a shorter frame is part of the next one


class RecordedTerminal(Terminal):
    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        size: tuple[int, int],
    ) -> None:
        self._screens: list[tuple[float, tuple[Row, ...]]] = []
        super().__init__(command, environment, folder, size)

    def _read(self) -> bool:
        is_open = super()._read()
        rows = screen_rows(self._screen)
        if not self._screens or self._screens[-1][1] != rows:
            self._screens.append((time.monotonic(), rows))
        return is_open

    def type_slowly(self, text: str = "") -> None:
        """Type a text, and Enter."""
        for character in text:
            self.type(character)
            self.watch(TYPING)
        self.watch(BEFORE_ENTER)
        self.type("\r")

    def watch(self, seconds: float) -> None:
        """Go on reading for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read()

    def frames(self) -> list[Frame]:
        return timed_frames([*self._screens, (time.monotonic(), ())])


def screen_rows(screen: Any) -> tuple[Row, ...]:
    return tuple(
        tuple(cell_at(screen, line, column) for column in range(screen.columns))
        for line in range(screen.lines)
    )


def cell_at(screen: Any, line: int, column: int) -> Cell:
    cell = screen.buffer[line][column]
    is_cursor = (line, column) == (screen.cursor.y, screen.cursor.x) and not screen.cursor.hidden
    color, background = (cell.bg, cell.fg) if cell.reverse else (cell.fg, cell.bg)
    if is_cursor:
        color, background = "black", "white"
    return Cell(cell.data, Style(color, background, cell.bold))


def timed_frames(screens: Sequence[tuple[float, tuple[Row, ...]]]) -> list[Frame]:
    """The screens for as long as they were there, at most LONGEST; the last one is the end."""
    frames, begin = list[Frame](), screens[0][0]
    for (_, rows), (end, _) in zip(screens, screens[1:], strict=False):
        if end - begin >= SHORTEST:
            frames.append(Frame(min(end - begin, LONGEST), rows))
            begin = end
    return frames
