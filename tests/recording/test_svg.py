"""The picture of the first minute, and the writer that draws it."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.recording.svg import Cell, Frame, Row, Style, animated_svg

PICTURE = Path(__file__).parents[2] / ".github" / "pictures" / "first-minute.svg"
SVG = "{http://www.w3.org/2000/svg}"


def text_row(text: str, style: Style | None = None) -> Row:
    return tuple(Cell(character, style or Style()) for character in f"{text:<20}")


def test_each_frame_is_shown_in_its_time() -> None:
    frames = [
        Frame(1.0, (text_row("$ mitmcodex <up>"), text_row(""))),
        Frame(3.0, (text_row("$ mitmcodex <up>"), text_row("a & b", Style("red", "blue", True)))),
    ]
    svg = animated_svg(frames, 'a "first" minute')
    root = ElementTree.fromstring(svg)  # noqa: S314 - ours
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert texts == ["$ mitmcodex <up>", "a & b"]  # a row of both frames is drawn once
    assert len(list(root.iter(f"{SVG}use"))) == 3
    height = float(root.attrib["height"]) + 1
    assert re.findall(r"^([\d.]+)% \{ transform: translateY\(-(\d+)px", svg, re.MULTILINE) == [
        ("0.000", "0"),
        ("25.000", f"{height:.0f}"),
    ]
    assert "play 4.00s step-end infinite" in svg


def test_picture_has_no_path_and_no_key_of_a_machine() -> None:
    svg = PICTURE.read_text("utf-8")
    assert "mitmcodex up" in svg and "OpenAI Codex" in svg and "exchanges" in svg
    assert not re.search(r"/(tmp|root|home|Users)\b|sk-|Traceback", svg)
    assert len(svg) < 200_000
