"""A command on a terminal, and the answers that a user types."""

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMIT = 40.0  # s for the whole dialogue
PROMPT_SETTLES = 0.15  # s; a hidden prompt discards what was typed before it


def hold_dialogue(
    arguments: Sequence[str],
    answers: Sequence[tuple[str, str]],
    environment: Mapping[str, str],
    folder: Path,
) -> tuple[int, str]:
    """The exit status, and all that the terminal has shown. `answers`: what is shown last before
    each answer, and the answer; the character of Ctrl-C goes without Enter."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        command = [sys.executable, "-m", "scripts.cli", *arguments]
        os.execve(sys.executable, command, dict(environment))  # noqa: S606 - in the child
    output, position, pending = b"", 0, list(answers)
    deadline = time.monotonic() + LIMIT
    try:
        while piece := read_terminal(terminal, deadline):
            output += piece
            while pending and (place := output.find(pending[0][0].encode(), position)) >= 0:
                prompt, answer = pending.pop(0)
                position = place + len(prompt)
                time.sleep(PROMPT_SETTLES)
                os.write(terminal, answer.encode() + (b"" if answer == "\x03" else b"\n"))
    finally:
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.close(terminal)
    shown = output.decode().replace("\r\n", "\n")
    assert not pending, f"never shown: {pending[0][0]!r}; shown: {shown}"
    return status, shown


def read_terminal(terminal: int, deadline: float) -> bytes:
    """What the command writes next; b"" at its end, or at the deadline."""
    if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        return b""
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the command has ended
        return b""
