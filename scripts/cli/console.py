"""What the command prints: results to stdout, everything else to stderr.

Rich obeys NO_COLOR and prints plain text into a pipe. What providers and other programs have
written goes to the terminal as `visible_text` only."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from .errors import CommandFailed

output = Console(highlight=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False, soft_wrap=True)
USER_INFO = re.compile(r"//.*@")
LINE_LIMIT = 10_000  # characters of a line with something invisible in it


def visible_text(text: str) -> str:
    """The text with an escape such as `\\x1b` for what cannot be seen or would control the
    terminal. Ends of lines stay."""
    return "\n".join(map(visible_line, text.expandtabs(4).split("\n")))


def visible_line(line: str) -> str:
    if line.isprintable():
        return line
    from translate import printable  # late: it takes time, and is rarely needed

    return printable(line, LINE_LIMIT)


def without_password(text: str) -> str:
    """The text without the user name and password of the URL that it is or contains."""
    return USER_INFO.sub("//(hidden)@", text)


def print_json(value: Any) -> None:
    """The result of a command with `--json`: one JSON value and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_line(text: str = "", style: str = "") -> None:
    """A line of the result. Text is printed as it is: square brackets are no markup."""
    output.print(Text(visible_text(text), style=style))


def print_note(text: str, style: str = "dim") -> None:
    """A line about what happens, beside the result."""
    messages.print(Text(visible_text(text), style=style))


def print_failure(failure: CommandFailed) -> None:
    messages.print(Text("error: ", style="bold red") + Text(visible_text(failure.message)))
    if failure.next_step:
        messages.print(Text("  → ", style="bold") + Text(visible_text(failure.next_step)))


def short_path(path: str | Path) -> str:
    """The path with `~` for the user's home."""
    home = Path.home()
    return (
        f"~/{Path(path).relative_to(home).as_posix()}"
        if Path(path).is_relative_to(home)
        else str(path)
    )
