"""Starts the relay of `mitmcodex up`: in the terminal, or in the background."""

import contextlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from filelock import FileLock, Timeout

from addons.config import ConfigFile
from addons.identity import MARK_VARIABLE
from addons.launch import (
    DETACHED,
    SCRIPT,
    NotStarted,
    find_program,
    launch_process,
    wait_until_ready,
)
from addons.private_files import create_private_folder
from addons.relay_health import read_health
from addons.user_folders import state_folder

from ..errors import CommandFailed
from ..running_relay import (
    RunningRelay,
    StartedRelay,
    forget_started_relay,
    save_started_relay,
)
from .fingerprints import setting_fingerprints
from .log import begin_log

START_PATIENCE = 30.0  # s until a relay answers
REPORT_PATIENCE = 10.0  # s until it has asked its upstream, too
LOCK_PATIENCE = START_PATIENCE + REPORT_PATIENCE + 5
# What mitmproxy says around the reason for which it does not start.
LOG_TIME = re.compile(r"^\[[\d:.]+\] ")
LOG_NOISE = ("Loading script ", "Errors logged during startup", "Error logged during startup")


@dataclass(frozen=True)
class RelayStart:
    """What is started."""

    program: str  # mitmdump or mitmweb
    port: int
    arguments: tuple[str, ...]  # of the program
    environment: Mapping[str, str]  # with the settings
    file: ConfigFile

    def relay_command(self) -> list[str]:
        """Raises NotStarted."""
        return [find_program(self.program), "-s", str(SCRIPT), *self.arguments]

    def started_relay(self, pid: int, mark: str, log: str = "") -> StartedRelay:
        """What is noted about the relay once it has a process."""
        settings = setting_fingerprints(self.file, self.environment, mark)
        return StartedRelay(pid, self.port, self.program, mark, log, settings)


@contextlib.contextmanager
def start_lock() -> Iterator[None]:
    """One start at a time: two at once would be two relays. Raises CommandFailed."""
    create_private_folder(state_folder())
    try:
        with FileLock(state_folder() / "relay.lock", timeout=LOCK_PATIENCE, mode=0o600):
            yield
    except Timeout:
        raise CommandFailed(
            "another `mitmcodex up` has been starting a relay for a long time",
            "end it, and try again",
        ) from None


def run_in_terminal(order: RelayStart) -> NoReturn:
    """Become the relay: signals and the terminal are its own. Raises NotStarted and OSError."""
    mark = secrets.token_hex(8)
    command = [*order.relay_command(), "--listen-port", str(order.port)]
    environment = {**order.environment, MARK_VARIABLE: mark}
    if os.name == "posix":
        save_started_relay(order.started_relay(os.getpid(), mark))
        os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted
    with subprocess.Popen(command, env=environment) as process:
        save_started_relay(order.started_relay(process.pid, mark))
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # the relay gets Ctrl-C as well
                sys.exit(process.wait())


def start_in_background(order: RelayStart) -> RunningRelay:
    """Start the relay in a process of its own that outlives the terminal, and wait until it
    answers. Raises NotStarted, with the end of the log, and OSError."""
    log = begin_log()
    command = order.relay_command()
    process = launch_process(command, order.port, log, order.environment, **DETACHED)
    started = order.started_relay(process.pid, process.mark, str(log))
    try:
        save_started_relay(started)  # at once, so that `mitmcodex down` can end it
        wait_until_ready(process, START_PATIENCE)
        health = read_health(order.port)
        if health is None:
            raise NotStarted(f"the relay on port {order.port} has ended; {log} says why")
    except BaseException:
        process.stop()
        forget_started_relay()
        raise
    return RunningRelay(order.port, health, started)


def start_fault(failure: NotStarted) -> CommandFailed:
    """The relay's own lines, without those of mitmproxy around them."""
    reason, *lines = str(failure).splitlines()
    texts = [LOG_TIME.sub("", line) for line in lines]
    faults = [text for text in texts if text.strip() and not text.startswith(LOG_NOISE)]
    message = "\n       ".join(faults) if faults else reason
    return CommandFailed(f"the relay does not start: {message}", "correct that, and try again")
