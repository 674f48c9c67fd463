"""`mitmcodex case new` and `case list`"""

from pathlib import Path
from typing import Annotated

import typer

from ..console import print_line, print_note
from ..listings.capture_file import (
    COLUMNS,
    chosen_exchange,
    exchange_cells,
    read_exchanges,
    write_case,
)
from ..tables import print_table

Capture = Annotated[Path, typer.Argument(help="File of `mitmdump -w`.")]

case_commands = typer.Typer(
    help="Make test cases of recorded exchanges, without their secrets.", no_args_is_help=True
)


@case_commands.command("new")
def make_case(
    capture: Capture,
    folder: Annotated[Path, typer.Argument(help="New folder, tests/cases/PROVIDER/CASE.")],
    flow: Annotated[int | None, typer.Option(help="Number of the exchange.")] = None,
) -> None:
    """Write an exchange of a capture as a case for tests/cases.

    Names, keys, addresses and pictures become placeholders; what people and models said stays.

    Examples:
      mitmcodex up -- -w capture.mitm
      mitmcodex case new capture.mitm tests/cases/deepseek/new-case --flow 2
    """
    for path in write_case(chosen_exchange(capture, flow), folder):
        print_line(str(path))
    print_note("Read these files before you share them. `./scripts/cases` writes what is expected.")


@case_commands.command("list")
def list_exchanges(capture: Capture) -> None:
    """List the exchanges of a capture with their numbers.

    Example: mitmcodex case list capture.mitm
    """
    exchanges = read_exchanges(capture)
    print_table(COLUMNS, [exchange_cells(*numbered) for numbered in enumerate(exchanges, 1)])
