"""`mitmcodex status`"""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ..console import print_json, print_line, short_path
from ..errors import NOT_RUNNING_STATUS
from ..running_relay import RunningRelay, absence_fault, find_running_relay


def show_status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the relay.")] = None,
) -> None:
    """Show whether a relay runs, where, and which provider serves.

    The exit status is 3 if none runs.

    Examples:
      mitmcodex status
      mitmcodex status --json | jq .exchanges
    """
    relay = find_running_relay(port)
    if not relay:
        if as_json:
            print_json({"running": False})
        else:
            fault = absence_fault(port)
            print_line(f"{fault.message}; {fault.next_step}")
        raise typer.Exit(NOT_RUNNING_STATUS)
    if as_json:
        print_json(status_facts(relay))
        return
    for line in status_lines(relay):
        print_line(line)


def status_facts(relay: RunningRelay) -> dict[str, Any]:
    """The status for programs: what `/health` says, and more."""
    from ..listings.relay_activity import read_activity

    activity = read_activity(relay)
    started = relay.started
    return {
        "running": True,
        "port": relay.port,
        **relay.health,
        "process": started.pid if started else None,
        "program": started.program if started else None,
        "log": started.log or None if started else None,
        "exchanges": activity.exchanges,
        "accounts": [account["email"] or account["id"] for account in activity.accounts],
    }


def status_lines(relay: RunningRelay) -> Iterator[str]:
    from addons.start_report import labelled_line

    from ..listings.relay_activity import read_activity
    from ..start_report import relay_lines

    activity = read_activity(relay)
    yield from relay_lines(relay)
    if activity.accounts:
        names = ", ".join(account["email"] or account["id"] for account in activity.accounts)
        yield labelled_line("accounts", names)
    process = f"process {relay.started.pid}, " if relay.started else ""
    yield labelled_line(
        "running", f"{process}for {activity.duration_text}, {activity.exchanges_text}"
    )
    if relay.started and relay.started.log:
        yield labelled_line("log", short_path(relay.started.log))
