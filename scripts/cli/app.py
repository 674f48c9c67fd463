"""The table of commands, and what happens around each of them."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from addons.identity import VERSION
from addons.launch import NotStarted

from .commands.script import print_script_path
from .commands.status import show_status
from .console import output, print_failure
from .errors import CommandFailed

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it

START, CODEX, CHECK, ACCOUNTS, OTHERS = (
    *("Start and stop", "Codex and other programs", "Look and check"),
    *("Accounts and costs", "Everything else"),
)
# Name → panel of the help, function. The first line of its docstring is its help.
COMMANDS: dict[str, tuple[str, Callable[..., Any]]] = {
    "status": (START, show_status),
    "script": (OTHERS, print_script_path),
}
# Arguments of these commands go on to another program, as they are.
PASS_ON = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "allow_interspersed_args": False,
}
PASSING_COMMANDS = frozenset({"codex", "run"})

app = typer.Typer(
    name="mitmcodex",
    help="Codex on any model, and any client on a ChatGPT account.",
    no_args_is_help=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def print_version(is_asked: bool) -> None:
    if is_asked:
        output.print(f"mitmcodex {VERSION}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start_command(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=print_version, is_eager=True),
) -> None:
    """Codex on any model, and any client on a ChatGPT account."""


for name, (panel, function) in COMMANDS.items():
    settings = PASS_ON if name in PASSING_COMMANDS else {}
    app.command(name, rich_help_panel=panel, context_settings=settings)(function)


def main() -> int:
    """Run the command of `sys.argv`; the exit status of the process."""
    try:
        app(standalone_mode=True)
    except CommandFailed as failure:
        print_failure(failure)
        return failure.status
    except NotStarted as failure:
        print_failure(CommandFailed(str(failure)))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


if __name__ == "__main__":
    sys.exit(main())
