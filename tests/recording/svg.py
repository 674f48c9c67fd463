"""Screens of a terminal as one animated picture: SVG with a CSS animation, without any script."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import NamedTuple

CHARACTER_WIDTH, LINE_HEIGHT, MARGIN, TITLE_HEIGHT = 8.4, 18, 14, 30
BACKGROUND, FOREGROUND = "#16181d", "#d7dae0"
COLORS = {
    "black": "#3b4048", "red": "#ef7077", "green": "#98c379", "brown": "#e5c07b",
    "blue": "#6db3f2", "magenta": "#c98ade", "cyan": "#56c2cc", "white": "#d7dae0",
    "brightblack": "#7f8896", "brightred": "#ff8a90", "brightgreen": "#b0dd90",
    "brightbrown": "#f4d590", "brightblue": "#8cc8ff", "brightmagenta": "#dfa8f0",
    "brightcyan": "#7adce5", "brightwhite": "#ffffff",
}  # fmt: skip
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Style(NamedTuple):
    color: str = "default"  # a name of COLORS, or six hexadecimal digits
    background: str = "default"
    bold: bool = False


class Cell(NamedTuple):
    character: str
    style: Style


type Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Frame:
    seconds: float  # for which it is shown
    rows: tuple[Row, ...]


def animated_svg(frames: Sequence[Frame], title: str) -> str:
    """The picture. Where the user wants no animation, it is the last frame."""
    columns, lines = len(frames[0].rows[0]), len(frames[0].rows)
    width = columns * CHARACTER_WIDTH + 2 * MARGIN
    height = lines * LINE_HEIGHT + 2 * MARGIN + TITLE_HEIGHT
    names = row_names(frames)
    step = height + 1  # the frames are one below the other, and the strip moves up
    strip = "".join(
        f'<g transform="translate(0 {number * step})">{frame_rows(frame, names)}</g>'
        for number, frame in enumerate(frames)
    )
    seconds = sum(frame.seconds for frame in frames)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" \
width="{width:.0f}" height="{height}" role="img" aria-label="{escape(title)}">
<style>
text {{ font: 14px {FONT}; fill: {FOREGROUND}; white-space: pre }}
#strip {{ transform: translateY(-{(len(frames) - 1) * step}px) }}
@media (prefers-reduced-motion: no-preference) {{
#strip {{ animation: play {seconds:.2f}s step-end infinite }}
}}
@keyframes play {{
{key_frames(frames, step)}
}}
</style>
<defs>
{"".join(f'<g id="{name}">{row_svg(row)}</g>' + chr(10) for row, name in names.items())}</defs>
<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>
<circle cx="20" cy="17" r="5" fill="#ef7077"/><circle cx="38" cy="17" r="5" fill="#e5c07b"/>\
<circle cx="56" cy="17" r="5" fill="#98c379"/>
<svg y="{TITLE_HEIGHT}" height="{height - TITLE_HEIGHT}"><g id="strip">{strip}</g></svg>
</svg>
"""


def row_names(frames: Sequence[Frame]) -> dict[Row, str]:
    """Each different row that is not empty, with a name: rows that stay are drawn once."""
    rows = dict.fromkeys(row for frame in frames for row in frame.rows if row_svg(row))
    return {row: f"r{number}" for number, row in enumerate(rows)}


def frame_rows(frame: Frame, names: dict[Row, str]) -> str:
    return "".join(
        f'<use href="#{names[row]}" y="{MARGIN + number * LINE_HEIGHT}"/>'
        for number, row in enumerate(frame.rows)
        if row in names
    )


def key_frames(frames: Sequence[Frame], step: int) -> str:
    total, start, lines = sum(frame.seconds for frame in frames), 0.0, list[str]()
    for number, frame in enumerate(frames):
        lines.append(f"{start / total:.3%} {{ transform: translateY(-{number * step}px) }}")
        start += frame.seconds
    return "\n".join(lines)


def row_svg(row: Row) -> str:
    """Runs of one style, each at its column, so that no font shifts what follows."""
    pieces, column = list[str](), 0
    for style, cells in groupby(row, key=lambda cell: cell.style):
        text = "".join(cell.character for cell in cells)
        place, width = MARGIN + column * CHARACTER_WIDTH, len(text) * CHARACTER_WIDTH
        if style.background != "default":
            pieces.append(
                f'<rect x="{place:.1f}" width="{width:.1f}" height="{LINE_HEIGHT}"'
                f' fill="{hex_color(style.background, BACKGROUND)}"/>'
            )
        if text.strip():
            pieces.append(text_svg(text, place, style))
        column += len(text)
    return "".join(pieces)


def text_svg(text: str, place: float, style: Style) -> str:
    """The text without the spaces around it, at its place."""
    begin = len(text) - len(text.lstrip())
    words = text.strip()
    color = "" if style.color == "default" else f' fill="{hex_color(style.color, FOREGROUND)}"'
    styled = f' style="fill:{hex_color(style.color, FOREGROUND)}"' if color else ""
    weight = ' font-weight="bold"' if style.bold else ""
    return (
        f'<text x="{place + begin * CHARACTER_WIDTH:.1f}" y="13"'
        f' textLength="{len(words) * CHARACTER_WIDTH:.1f}"{weight}{styled}>{escape(words)}</text>'
    )


def hex_color(name: str, default: str) -> str:
    if name == "default":
        return default
    return COLORS.get(name) or f"#{name}"
