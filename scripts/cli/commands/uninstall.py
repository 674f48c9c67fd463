"""`mitmcodex uninstall`"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..codex_config.changes import undo_block
from ..codex_config.record import ConfigRecord, all_records
from ..console import messages, print_failure, print_line, print_note
from ..errors import CommandFailed
from ..relay_process.stop import end_started_relay
from ..removal.inventory import OwnData, own_data
from ..removal.steps import installed_service, package_removal, remove_data
from ..running_relay import find_running_relay, forget_started_relay, read_started_relay
from ..service.manager import remove_service


def uninstall_all(
    data: Annotated[
        bool, typer.Option("--data", help="Remove relay.toml, logins, stores, logs and keys, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Undo what mitmcodex has done on this machine.

    Your data stays unless you ask for its removal. The last line says how to remove the package.

    Examples:
      mitmcodex uninstall --dry-run
      mitmcodex uninstall --data --yes
    """
    with messages.status("Looking, also in the system's keyring …"):
        changes, found_data = pending_changes(), own_data(os.environ)
    can_ask = sys.stdin.isatty() and not yes
    show_plan(changes, found_data, data)
    if dry_run:
        return
    if not (yes or can_ask):
        raise CommandFailed("uninstall cannot ask without a terminal", "pass --yes")
    if can_ask and changes:
        typer.confirm("Undo these?", default=True, abort=True, err=True)
    if can_ask and found_data.lines and not data:
        data = typer.confirm("Remove the data, too?", default=False, err=True)
    undo_changes()
    if data:
        warn_of_foreign_relay()
        remove_data(found_data)
        if found_data.lines:
            print_line("Removed the data.")
    print_line(f"Last step: {package_removal()}")


def pending_changes() -> list[str]:
    """What mitmcodex has changed or started, for people."""
    changes = []
    if service := installed_service():
        changes.append(f"stop the service and remove {service.path}")
    if relay := read_started_relay():
        changes.append(f"end the relay on port {relay.port}")
    return changes + [f"take the relay's lines out of {record.path}" for record in all_records()]


def show_plan(changes: list[str], found_data: OwnData, with_data: bool) -> None:
    for change in changes or ["nothing to undo"]:
        print_line(f"  {change}")
    for line in found_data.lines:
        print_line(f"  {'remove' if with_data else 'keep'} {line}")
    for place in found_data.other_places:
        print_line(f"  keep {place}, which you have chosen yourself")
    if found_data.keyring_fault:
        print_note(f"Keys may be left in the keyring: {found_data.keyring_fault}.", "yellow")
    if (ca_folder := Path.home() / ".mitmproxy").is_dir():
        print_line(f"  keep {ca_folder}: it is mitmproxy's, and others may use it")


def undo_changes() -> None:
    """Raises CommandFailed if something is left, after all that can be undone."""
    failed_steps = 0
    for undo_step in (stop_service, stop_relay, *map(block_removal, all_records())):
        try:
            undo_step()
        except CommandFailed as failure:
            print_failure(failure)
            failed_steps += 1
    if failed_steps:
        raise CommandFailed("not all could be undone, so the data stays", "mend it, and try again")


def stop_service() -> None:
    if service := installed_service():
        remove_service(service)
        print_line("Removed the service.")


def stop_relay() -> None:
    if relay := read_started_relay():
        print_line(f"{end_started_relay(relay)}.".capitalize())
    forget_started_relay()


def block_removal(record: ConfigRecord) -> Callable[[], None]:
    """The step that takes the relay's lines out of this config.toml."""

    def remove_block() -> None:
        undo_block(record.path)
        print_line(f"{record.path} is without the relay's lines again.")

    return remove_block


def warn_of_foreign_relay() -> None:
    if relay := find_running_relay():
        print_note(
            f"A relay that `mitmcodex up` has not started runs at {relay.origin}: end it, or it "
            "writes new data.",
            "yellow",
        )
