"""The table of commands, and what happens around each of them."""

import os
import sys
import traceback

import typer

from addons.identity import VERSION

from .command_group import CommandPlace, lazy_group
from .errors import INTERRUPTED, CommandFailed

DEBUG = "--debug"

PANELS = START, CODEX, CHECK, ACCOUNTS, OTHERS = (
    *("Start and stop", "Codex and other programs", "Look and check"),
    *("Accounts and costs", "Everything else"),
)
# Arguments of these commands go on to another program, as they are.
PASS_ON = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "allow_interspersed_args": False,
}
# Name → heading in the help, and `module:name` in the package `commands`: a function, whose
# docstring is the help, or a typer.Typer(help="…") with commands of its own.
COMMANDS = {
    "setup": CommandPlace(START, "setup:set_up"),
    "up": CommandPlace(START, "up:start_relay"),
    "down": CommandPlace(START, "down:end_relay"),
    "status": CommandPlace(START, "status:show_status"),
    "logs": CommandPlace(START, "logs:show_logs"),
    "open": CommandPlace(START, "open:open_relay_page"),
    "codex": CommandPlace(CODEX, "codex:start_codex", PASS_ON),
    "run": CommandPlace(CODEX, "run:start_program", PASS_ON),
    "try": CommandPlace(CODEX, "try_prompt:try_prompt"),
    "config": CommandPlace(CODEX, "config:config_commands"),
    "probe": CommandPlace(CHECK, "probe:probe_endpoint"),
    "doctor": CommandPlace(CHECK, "doctor:examine_setup"),
    "models": CommandPlace(CHECK, "models:show_models"),
    "providers": CommandPlace(CHECK, "providers:show_providers"),
    "accounts": CommandPlace(ACCOUNTS, "accounts:show_accounts"),
    "login": CommandPlace(ACCOUNTS, "accounts:log_in"),
    "logout": CommandPlace(ACCOUNTS, "accounts:log_out"),
    "usage": CommandPlace(ACCOUNTS, "usage:show_usage"),
    "case": CommandPlace(OTHERS, "case:case_commands"),
    "service": CommandPlace(OTHERS, "service:service_commands"),
    "completion": CommandPlace(OTHERS, "completion:print_completion"),
    "script": CommandPlace(OTHERS, "script:print_script_path"),
    "uninstall": CommandPlace(OTHERS, "uninstall:uninstall_all"),
}

app = typer.Typer(
    name="mitmcodex",
    cls=lazy_group(COMMANDS, PANELS),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"mitmcodex {VERSION}")
        raise typer.Exit


@app.callback()
def start_command(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=print_version, is_eager=True, help="Print the version."
    ),
    debug: bool = typer.Option(False, DEBUG, help="Show where an unexpected error arises."),
) -> None:
    """Codex on any model, and any client on a ChatGPT account.

    `mitmcodex COMMAND --help` shows the options of a command, with examples.
    """
    if not context.invoked_subcommand:
        from .console import print_line  # late, as are the commands
        from .next_step import next_step_lines

        for line in next_step_lines():
            print_line(line)


def main() -> int:
    """Run the command of `sys.argv`; the exit status of the process."""
    try:
        status = app(prog_name="mitmcodex", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except Exception as error:
        return report_failure(error)
    return status if isinstance(status, int) else 0


def report_failure(error: Exception) -> int:
    """Print it in two lines: what went wrong, and what the user can do. Returns the exit status."""
    from .console import print_failure  # late: Rich takes time, and most commands do not fail

    if DEBUG in sys.argv:
        traceback.print_exception(error)
    failure = failure_from(error)
    print_failure(failure)
    return failure.status


def failure_from(error: Exception) -> CommandFailed:
    match error:
        case CommandFailed():
            return error
        case typer.TyperException():
            return argument_failure(error)
        case OSError(filename=str(path), strerror=str(why)):
            return CommandFailed(
                f"{path}: {why}", "see that you may write there, and that the disk is not full"
            )
        case RuntimeError() if "home directory" in str(error):  # of pathlib and platformdirs
            return CommandFailed("this user has no home folder", "set the variable HOME")
    from addons.launch import NotStarted  # late: it loads the relay's settings

    from .relay_process.start import start_fault

    if isinstance(error, NotStarted):
        return start_fault(error)
    summary = f"mitmcodex itself has failed: {type(error).__name__}: {error}"
    return CommandFailed(summary, f"`mitmcodex {DEBUG} …` shows where; please report that")


def argument_failure(error: typer.TyperException) -> CommandFailed:
    """The failure for wrong arguments."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    command = context.command_path if context else app.info.name
    help_line = f"`{command} --help` shows what it takes"
    return CommandFailed(message[:1].lower() + message[1:], help_line, status=error.exit_code)
