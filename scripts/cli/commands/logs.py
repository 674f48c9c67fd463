"""`mitmcodex logs`"""

from typing import Annotated, TextIO

import typer

from ..console import print_line, print_note
from ..errors import CommandFailed
from ..relay_process.log import follow_lines, last_lines, log_path
from ..running_relay import StartedRelay, read_started_relay


def show_logs(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new lines as they come, until Ctrl-C.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines.")] = 50,
) -> None:
    """Show the log of the relay in the background.

    It has the start report and a line for each exchange. If no relay runs, it is that of the last.

    Examples:
      mitmcodex logs -f
      mitmcodex logs -n 1000 | grep failed
    """
    started = read_started_relay()
    if started and not started.log:
        raise CommandFailed(
            f"the relay on port {started.port} runs in a terminal, and prints its log there",
            "`mitmcodex down`, then `mitmcodex up --detach`, starts it with a log",
        )
    try:
        file = log_path().open(encoding="utf-8", errors="replace", newline="\n")
    except OSError:
        raise CommandFailed(
            "no relay has been started in the background",
            "`mitmcodex up --detach` starts one; others print their log where they were started",
        ) from None
    with file:
        for line in last_lines(file, lines):
            print_line(line)
        if follow and started:
            follow_relay(file, started)


def follow_relay(file: TextIO, relay: StartedRelay) -> None:
    for line in follow_lines(file, lambda: relay.is_alive):
        print_line(line)
    print_note("The relay has ended.")
