"""What the command prints: results to stdout, everything else to stderr.

Rich obeys NO_COLOR and prints plain text into a pipe."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from .errors import CommandFailed

output = Console(highlight=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """The result of a command with `--json`: one JSON value and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_line(text: str = "", style: str = "") -> None:
    """A line of the result. Text is printed as it is: square brackets are no markup."""
    output.print(Text(text, style=style))


def print_note(text: str, style: str = "dim") -> None:
    """A line about what happens, beside the result."""
    messages.print(Text(text, style=style))


def print_failure(failure: CommandFailed) -> None:
    messages.print(Text("error: ", style="bold red") + Text(failure.message))
    if failure.next_step:
        messages.print(Text("  → ", style="bold") + Text(failure.next_step))
