"""A program in the foreground: the terminal, the pipes and signals are its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from ..errors import CommandFailed

# The terminal sends them to all processes in the foreground.
KEYBOARD_SIGNALS = [signal.SIGINT, *([signal.SIGQUIT] if hasattr(signal, "SIGQUIT") else [])]
ENDING_SIGNALS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
SIGNAL_STATUS = (
    128  # a shell's exit status for a program that a signal has ended: this + the signal
)


def replace_process(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Become the program, where the system can; on others run it, and return its exit status.

    Raises CommandFailed if it cannot be started."""
    if os.name != "posix":
        return run_program(command, environment)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - no shell
    except OSError as error:
        raise not_executable(command[0], error) from None


def run_program(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the program to its end; its exit status as a shell has it. Signals go on to it.

    Raises CommandFailed if it cannot be started."""
    try:
        program = subprocess.Popen(list(command), env=dict(environment))
    except OSError as error:
        raise not_executable(command[0], error) from None
    with program, forwarded_signals(program):
        status = program.wait()
    return status if status >= 0 else SIGNAL_STATUS - status


@contextmanager
def forwarded_signals(program: subprocess.Popen[bytes]) -> Iterator[None]:
    """Within it, signals to this process go on to the program, and this process stays."""

    def forward(number: int, frame: FrameType | None) -> None:
        if number not in KEYBOARD_SIGNALS or not is_in_foreground():
            program.send_signal(number)

    numbers = [*KEYBOARD_SIGNALS, *ENDING_SIGNALS]
    former = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def is_in_foreground() -> bool:
    """Whether the terminal's keys send signals to this process and so to the program, too."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno()) == os.getpgrp()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):  # no terminal, or Windows
        return os.name != "posix"


def not_executable(name: str, error: OSError) -> CommandFailed:
    return CommandFailed(f"{name} cannot be started: {error.strerror}", status=127)
