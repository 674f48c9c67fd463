"""The writer that draws the recording."""

import re
import xml.etree.ElementTree as ElementTree
from base64 import b64encode

from tests.recording.svg import Cell, Frame, Row, Style, animated_svg

SVG = "{http://www.w3.org/2000/svg}"


def text_row(text: str, style: Style | None = None) -> Row:
    return tuple(Cell(character, style or Style()) for character in f"{text:<20}")


def test_each_frame_is_shown_in_its_time() -> None:
    frames = [
        Frame(1.0, (text_row("$ mitmcodex <up>"), text_row(""))),
        Frame(1.0, (text_row("$ mitmcodex <up>"), text_row("a & b", Style("red", "blue", True)))),
        Frame(2.0, page=b"a PNG", title="http://a/?b&c"),
    ]
    svg = animated_svg(frames, 'a "first" minute', still=1)
    root = ElementTree.fromstring(svg)  # noqa: S314 - ours
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    # A row of both screens is drawn once.
    assert texts == ["$ mitmcodex <up>", "a & b", "http://a/?b&c"]
    assert len(list(root.iter(f"{SVG}use"))) == 3
    [image] = root.iter(f"{SVG}image")
    assert image.attrib["href"] == f"data:image/png;base64,{b64encode(b'a PNG').decode()}"
    height = int(root.attrib["height"])
    assert re.findall(r"^([\d.]+)% \{ transform: translateY\(-(\d+)px", svg, re.MULTILINE) == [
        ("0.000", "0"),
        ("25.000", f"{height}"),
        ("50.000", f"{2 * height}"),
    ]
    assert "play 4.00s step-end infinite" in svg
    assert f"#strip {{ transform: translateY(-{height}px) }}" in svg  # where nothing is to move
