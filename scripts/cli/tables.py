"""Tables: drawn by Rich on a terminal, aligned plain text in a pipe, for `awk` and `grep`."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from .console import output, print_line, visible_text


class Column(NamedTuple):
    title: str
    is_number: bool = False  # aligned to the right


type Cell = str | Text


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    """Text is printed as it is: square brackets are no markup."""
    if output.is_terminal:
        output.print(drawn_table(columns, rows))
    else:
        for line in plain_lines(columns, rows):
            print_line(line)


def drawn_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify = "right" if column.is_number else "left"
        table.add_column(Text(column.title), justify=justify, overflow="fold")  # type: ignore[arg-type]  # a Literal
    for row in rows:
        table.add_row(
            *(Text(visible_text(cell)) if isinstance(cell, str) else cell for cell in row)
        )
    return table


def plain_lines(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """The table as lines: columns two spaces apart, titles in capitals, `-` for an empty cell."""
    titles = [column.title.upper() for column in columns]
    cells = [titles, *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    return [
        "  ".join(
            text.rjust(width) if column.is_number else text.ljust(width)
            for text, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in cells
    ]


def one_line(cell: Cell) -> str:
    return " ".join(visible_text(str(cell)).split()) or "-"
