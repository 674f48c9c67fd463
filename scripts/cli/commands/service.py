"""`mitmcodex service install`, `uninstall` and `status`"""

import os
from typing import Annotated

import typer

from ..console import print_json, print_line, print_note
from ..errors import NOT_RUNNING_STATUS
from ..service.manager import (
    install_service,
    left_out_variables,
    remove_service,
    service_state,
    user_service_plan,
)

service_commands = typer.Typer(
    help="Run the relay as a service, started at login.", no_args_is_help=True
)


@service_commands.command("install")
def install_user_service(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the file, and change nothing.")
    ] = False,
) -> None:
    """Install the service, and start it now and at each login.

    Put settings and keys into relay.toml: a service does not see your shell's variables.

    Examples:
      mitmcodex service install --dry-run
      mitmcodex service install
    """
    plan = user_service_plan()
    if names := left_out_variables(os.environ):
        print_note(
            f"The service will not see {', '.join(names)}: write it into relay.toml instead."
        )
    if dry_run:
        print_note(f"{plan.path} would be:")
        print_line(decode_file(plan.content).rstrip())
        return
    install_service(plan)
    print_line(f"The service is installed and started: {plan.path}")
    print_line(f"Its log: {plan.log_hint}")
    for note in plan.notes:
        print_line(note)


@service_commands.command("uninstall")
def uninstall_user_service() -> None:
    """Stop the service and remove its file."""
    plan = user_service_plan()
    if remove_service(plan):
        print_line(f"The service is stopped, and {plan.path} is removed.")
    else:
        print_line(f"No service is installed: there is no {plan.path}.")


@service_commands.command("status")
def show_service(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show whether the service is installed, and whether it runs."""
    plan = user_service_plan()
    state = service_state(plan)
    if as_json:
        print_json(
            {
                "installed": state.is_installed,
                "running": state.is_running,
                "system": state.system,
                "file": str(state.path),
            }
        )
    elif not state.is_installed:
        print_line("No service is installed; install it with `mitmcodex service install`")
    else:
        print_line(f"The service {'runs' if state.is_running else 'is stopped'}: {state.path}")
        print_line(f"Its log: {plan.log_hint}")
    if not state.is_running:
        raise typer.Exit(NOT_RUNNING_STATUS)


def decode_file(content: bytes) -> str:
    """Windows' task is in UTF-16, with its mark at the beginning."""
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
