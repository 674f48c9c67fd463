import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

from scripts.cli.app import COMMANDS, PANELS
from scripts.cli.command_group import CommandPlace, read_summary, wrap_help

LINE = 80  # columns of a common terminal


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_where_the_table_says(name: str) -> None:
    place = COMMANDS[name]
    command = place.load_command(name)
    assert command.name == name and place.panel in PANELS
    summary = place.summary()
    assert command.help.startswith(summary) and summary.endswith(".")
    width = max(map(len, COMMANDS)) + len("    ")
    assert len(summary) <= LINE - width, "the help of mitmcodex has one line for each command"


def test_help_loads_no_command() -> None:
    before = set(sys.modules)
    assert CommandPlace(PANELS[0], "status:show_status").summary().startswith("Show whether")
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "source",
    [
        'def other(): ...\ndef run() -> None:\n    """Run it.\n\n    Text.\n    """\n',
        'run = typer.Typer(no_args_is_help=True, help="Run it.\\nText.")\n',
    ],
)
def test_summary_is_the_first_line(source: str) -> None:
    assert read_summary(source, "run") == "Run it."
    with pytest.raises(ValueError, match="no 'walk'"):
        read_summary(source, "walk")


def test_paragraphs_are_wrapped_and_examples_stay() -> None:
    text = """First line.

    A paragraph that is
    long.

    Examples:
      mitmcodex up   with   spaces
      mitmcodex down
    """
    assert wrap_help(text, 12).split("\n") == [
        *("First line.", "", "A paragraph", "that is", "long.", ""),
        *("Examples:", "  mitmcodex up   with   spaces", "  mitmcodex down"),
    ]


def test_help_of_each_command_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    app = import_module("scripts.cli.app").app
    for name in COMMANDS:
        status = app([name, "--help"], prog_name="mitmcodex", standalone_mode=False)
        lines = capsys.readouterr().out.splitlines()
        assert status in (0, None) and len(lines) <= 45, f"{name}: {len(lines)} lines"
        assert all(len(line) <= 100 for line in lines), name
    assert isinstance(app, typer.Typer) and Path(import_module("scripts.cli").__file__).exists()
