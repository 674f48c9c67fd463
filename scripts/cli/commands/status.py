"""`mitmcodex status`"""

from dataclasses import asdict
from typing import Annotated

import typer

from ..console import print_json, print_line
from ..running_relay import NOT_RUNNING, find_running_relay

NOT_RUNNING_STATUS = 3  # exit status, as `systemctl status` has it


def show_status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the relay.")] = None,
) -> None:
    """Show whether a relay runs, where, and which provider serves."""
    relay = find_running_relay(port)
    if as_json:
        started = asdict(relay.started) if relay and relay.started else None
        print_json(
            {"running": True, "port": relay.port, **relay.health, "started": started}
            if relay
            else {"running": False}
        )
    elif relay:
        print_line(f"The relay runs on {relay.base_url}: {relay.health.get('upstream')}")
    else:
        print_line(f"{NOT_RUNNING}; start it with `mitmcodex up --detach`")
    if not relay:
        raise typer.Exit(NOT_RUNNING_STATUS)
