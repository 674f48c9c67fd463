"""`mitmcodex run`"""

from typing import Annotated

import typer

from ..launcher.any_program import run_any_program


def start_program(
    command: Annotated[list[str], typer.Argument(metavar="PROGRAM", hidden=True)],
    by_proxy: Annotated[
        bool, typer.Option("--proxy", help="Set the proxy and its certificate instead.")
    ] = False,
    port: Annotated[int | None, typer.Option(help="Port of a relay that runs.")] = None,
) -> None:
    """Run a program through the relay, by OPENAI_BASE_URL or by proxy.

    OPENAI_BASE_URL, OPENAI_API_BASE and OPENAI_API_KEY lead it to the relay that runs, or to one
    that starts and ends with it. Your own OPENAI_API_KEY is not given to the program.

    Examples:
      mitmcodex run -- aider --model openai/deepseek-chat
      mitmcodex run --proxy -- node agent.mjs
    """
    raise typer.Exit(run_any_program(command, port, by_proxy=by_proxy))
