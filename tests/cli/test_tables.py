"""Tables for people, and for the programs behind a pipe."""

import io

from rich.console import Console

from scripts.cli.tables import Column, drawn_table, plain_lines

COLUMNS = (Column("name"), Column("tokens", is_number=True), Column("note"))


def test_columns_are_aligned_in_a_pipe() -> None:
    rows = [("a", "1", "two\n\x1blines"), ("longer", "1,000", "")]
    assert plain_lines(COLUMNS, rows) == [
        "NAME    TOKENS  NOTE",
        "a            1  two \\x1blines",
        "longer   1,000  -",
    ]
    assert plain_lines(COLUMNS, []) == ["NAME  TOKENS  NOTE"]


def test_brackets_are_no_markup() -> None:
    output = io.StringIO()
    Console(file=output, force_terminal=True, width=60).print(
        drawn_table(COLUMNS, [("[red]x[/red]", "1", "\x1b[2J")])
    )
    assert "\x1b[2J" not in output.getvalue()
    assert "[red]x[/red]" in output.getvalue()
