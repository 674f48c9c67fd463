"""What becomes of the screens of a terminal."""

from tests.recording.screens import LONGEST, timed_frames
from tests.recording.svg import Cell, Row, Style


def screen(text: str) -> tuple[Row, ...]:
    return (tuple(Cell(character, Style()) for character in text),)


def test_waits_are_cut_and_what_flickers_belongs_to_the_next_screen() -> None:
    times = [(7.0, "$"), (7.5, "half"), (7.51, "whole"), (7.75, "idle"), (99.0, "")]
    frames = timed_frames([(at, screen(text)) for at, text in times])
    assert [(frame.text, round(frame.seconds, 2)) for frame in frames] == [
        ("$", 0.5),
        ("whole", 0.25),
        ("idle", LONGEST),
    ]
