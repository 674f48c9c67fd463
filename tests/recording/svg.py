"""Screens of a terminal, and a page, as one animated picture: SVG with a CSS animation and without
any script, as GitHub shows it."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate, groupby
from typing import NamedTuple

CHARACTER_WIDTH, LINE_HEIGHT, MARGIN, TITLE_HEIGHT = 8.4, 18, 14, 30
BACKGROUND, FOREGROUND, FAINT = "#16181d", "#d7dae0", "#7f8896"
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
    """A screen, or a page."""

    seconds: float  # for which it is shown
    rows: tuple[Row, ...] = ()
    page: bytes = b""  # a PNG
    title: str = ""  # of the window

    @property
    def text(self) -> str:
        return "\n".join("".join(cell.character for cell in row).rstrip() for row in self.rows)


def page_size(lines: int, columns: int) -> tuple[float, int]:
    """Width and height of what the window of such a terminal has room for."""
    return columns * CHARACTER_WIDTH + 2 * MARGIN, lines * LINE_HEIGHT + 2 * MARGIN


def animated_svg(frames: Sequence[Frame], description: str, still: int = -1) -> str:
    """The picture; frame `still` of it, where nothing is to move. The first frame is a screen."""
    width, room = page_size(len(frames[0].rows), len(frames[0].rows[0]))
    height = room + TITLE_HEIGHT
    names = row_names(frames)
    strip = "".join(  # the frames are one below the other, and the strip moves up
        f'<g transform="translate(0 {number * height})">{frame_svg(frame, names, width, room)}</g>'
        for number, frame in enumerate(frames)
    )
    seconds = sum(frame.seconds for frame in frames)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" \
width="{width:.0f}" height="{height}" role="img" aria-label="{escape(description)}">
<style>
text {{ font: 14px {FONT}; fill: {FOREGROUND}; white-space: pre }}
#strip {{ transform: translateY(-{range(len(frames))[still] * height}px) }}
@media (prefers-reduced-motion: no-preference) {{
#strip {{ animation: play {seconds:.2f}s step-end infinite }}
}}
@keyframes play {{
{key_frames(frames, height)}
}}
</style>
<defs>
{"".join(f'<g id="{name}">{row_svg(row)}</g>' + chr(10) for row, name in names.items())}</defs>
<clipPath id="window"><rect width="100%" height="100%" rx="8"/></clipPath>
<g clip-path="url(#window)">
<rect width="100%" height="100%" fill="{BACKGROUND}"/>
<g id="strip">{strip}</g>
<circle cx="20" cy="15" r="5" fill="#ef7077"/><circle cx="38" cy="15" r="5" fill="#e5c07b"/>\
<circle cx="56" cy="15" r="5" fill="#98c379"/>
</g>
</svg>
"""


def row_names(frames: Iterable[Frame]) -> dict[Row, str]:
    """Each different row that is not empty, with a name: rows that stay are drawn once."""
    rows = dict.fromkeys(row for frame in frames for row in frame.rows if row_svg(row))
    return {row: f"r{number}" for number, row in enumerate(rows)}


def frame_svg(frame: Frame, names: dict[Row, str], width: float, room: int) -> str:
    title = (
        f'<text x="{width / 2:.0f}" y="20" text-anchor="middle" style="fill:{FAINT}">'
        f"{escape(frame.title)}</text>"
    )
    content = page_svg(frame.page, width, room) if frame.page else rows_svg(frame.rows, names)
    return (title if frame.title else "") + content


def page_svg(page: bytes, width: float, room: int) -> str:
    data = b64encode(page).decode()
    return (
        f'<image y="{TITLE_HEIGHT}" width="{width:.0f}" height="{room}"'
        f' preserveAspectRatio="xMidYMin slice" href="data:image/png;base64,{data}"/>'
    )


def rows_svg(rows: Iterable[Row], names: dict[Row, str]) -> str:
    top = TITLE_HEIGHT + MARGIN
    return "".join(
        f'<use href="#{names[row]}" y="{top + number * LINE_HEIGHT}"/>'
        for number, row in enumerate(rows)
        if row in names
    )


def key_frames(frames: Sequence[Frame], height: int) -> str:
    *starts, total = accumulate((frame.seconds for frame in frames), initial=0.0)
    return "\n".join(
        f"{start / total:.3%} {{ transform: translateY(-{number * height}px) }}"
        for number, start in enumerate(starts)
    )


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
    color = hex_color(style.color, FOREGROUND)
    # Not as attributes: the style sheet, which names the font, overrides those.
    fill = "" if color == FOREGROUND else f"fill:{color};"
    look = fill + ("font-weight:bold" if style.bold else "")
    return (
        f'<text x="{place + begin * CHARACTER_WIDTH:.1f}" y="13"'
        f' textLength="{len(words) * CHARACTER_WIDTH:.1f}"'
        f"{look and f' style="{look}"'}>{escape(words)}</text>"
    )


def hex_color(name: str, default: str) -> str:
    if name == "default":
        return default
    return COLORS.get(name) or f"#{name}"
