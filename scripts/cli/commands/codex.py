"""`mitmcodex codex`"""

from typing import Annotated

import typer

from ..launcher.codex_program import run_codex


def start_codex(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="CODEX_ARGUMENTS", hidden=True)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of a relay that runs; before Codex's arguments.")
    ] = None,
) -> None:
    """Run Codex through the relay; all arguments are Codex's.

    It uses the relay that runs, or one that starts and ends with it. It works with a ChatGPT login,
    with an API key and without either; your sessions and your configuration stay as they are.

    Examples:
      mitmcodex codex
      mitmcodex codex exec "explain this repository"
      mitmcodex codex resume --last
    """
    raise typer.Exit(run_codex(arguments or [], port))
