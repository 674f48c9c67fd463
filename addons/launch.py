"""Start the relay from Python, in a process of its own:

from addons.launch import start

with start(port=4446, upstream="https://api.deepseek.com/v1", api_key="sk-…") as relay:
    client = OpenAI(base_url=relay.url, api_key="none")
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from addons.config import SETTING_NAMES, VARIABLE_PREFIX, setting_text
from addons.identity import MARK_VARIABLE, PARENT_VARIABLE
from addons.port_holder import bind_fault, free_port
from addons.private_files import open_private
from addons.relay_health import LOOPBACK, read_health

SCRIPT = Path(__file__).with_name("relay.py")
LOG_TAIL = 4000  # characters of the log in an error's message
POLL_INTERVAL = 0.05  # s
PORT_ATTEMPTS = 3  # with port 0: another program may take the free port before the relay does
STOP_TIMEOUT = 10.0  # s that a terminated relay has to end
LOOPBACK_ARGUMENTS = ("--listen-host", LOOPBACK)

# How a process gets away from the terminal of the one that starts it.
if sys.platform == "win32":
    DETACHED: dict[str, Any] = {
        "creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    }
else:
    DETACHED = {"start_new_session": True}


class NotStarted(RuntimeError):
    """The relay could not be started; the message says why, with the end of the log, if any."""


class RelayProcess(subprocess.Popen[bytes]):
    """A running relay. `terminate()` ends it, and so does the end of a `with` statement."""

    port: int
    log: Path
    mark: str  # random; `/health` shows it, so that another relay on the port is not taken for this

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stop(self) -> None:
        """End the relay and wait until it has ended. After STOP_TIMEOUT it is killed."""
        self.terminate()
        try:
            self.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        super().__exit__(kind, error, trace)


def start(
    port: int = 0,
    *,
    patience: float = 30.0,
    program: str = "mitmdump",
    arguments: Sequence[str] = (),
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    ends_with_caller: bool = False,
    **settings: Any,
) -> RelayProcess:
    """Start the relay on 127.0.0.1 and wait until it answers there, at most `patience` s.

    `port`: 0 for a free one. `environment`: instead of this process's own. `settings`: the options
    without `relay_`; the relay gets them in its environment, as lists of processes show arguments.
    `ends_with_caller`: the relay ends a second after this process, even if that is killed, and not
    by a Ctrl-C in its terminal.
    Raises NotStarted.
    """
    if unknown := settings.keys() - set(SETTING_NAMES):
        names = ", ".join(sorted(SETTING_NAMES))
        raise TypeError(f"{min(unknown)} is not a setting; there are: {names}")
    log = log or Path(tempfile.mkdtemp(prefix="mitmcodex-")) / "relay.log"
    inherited = os.environ if environment is None else environment
    variables = {**inherited, **setting_variables(settings)}
    if ends_with_caller:
        variables[PARENT_VARIABLE] = str(os.getpid())
    command = [find_program(program), "-s", str(SCRIPT), *LOOPBACK_ARGUMENTS, *arguments]
    process_options = DETACHED if ends_with_caller else {}
    for attempts_left in range(PORT_ATTEMPTS, 0, -1):
        relay = launch_process(command, available_port(port), log, variables, **process_options)
        try:
            wait_until_ready(relay, patience)
        except BaseException as error:
            relay.stop()
            has_lost_port = isinstance(error, NotStarted) and bind_fault(LOOPBACK, relay.port)
            if port or attempts_left == 1 or not has_lost_port:
                raise
        else:
            break
    return relay


def launch_process(
    command: Sequence[str],
    port: int,
    log: Path,
    environment: Mapping[str, str],
    **process_options: Any,
) -> RelayProcess:
    """Start the process. `process_options` are those of subprocess.Popen."""
    mark = secrets.token_hex(8)
    with open(log, "ab", opener=open_private) as output:
        relay = RelayProcess(
            [*command, "--listen-port", str(port)],
            env={**environment, MARK_VARIABLE: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **process_options,
        )
    relay.port, relay.log, relay.mark = port, log, mark
    return relay


def setting_variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables for these settings, without those that are None."""
    return {
        f"{VARIABLE_PREFIX}{name.upper()}": setting_text(value)
        for name, value in settings.items()
        if value is not None
    }


def wait_until_ready(relay: RelayProcess, patience: float) -> None:
    """Raises NotStarted if the relay ends, or does not answer within `patience` s."""
    deadline = time.monotonic() + patience
    while relay.poll() is None and time.monotonic() < deadline:
        if is_ready(relay):
            return
        time.sleep(POLL_INTERVAL)
    status = relay.returncode
    reason = f"ended with {status}" if status is not None else "does not answer"
    tail = relay.log.read_text("utf-8", "replace")[-LOG_TAIL:]
    log = f"its log:\n{tail}" if tail.strip() else f"its log, {relay.log}, is empty"
    raise NotStarted(f"the relay on port {relay.port} {reason}; {log}")


def is_ready(relay: RelayProcess) -> bool:
    """Whether a relay answers on the port, and it is this one."""
    health = read_health(relay.port)
    return bool(health and health.get("mark") == relay.mark)


def available_port(port: int) -> int:
    """The port, or a free one for 0. Raises NotStarted if the port cannot be used."""
    if fault := port and bind_fault(LOOPBACK, port):
        raise NotStarted(f"port {port} is not available: {fault}")
    return port or free_port(LOOPBACK)


def find_program(program: str) -> str:
    """The program's path: in the folder of this Python, or else on PATH. Raises NotStarted."""
    path = shutil.which(program, path=Path(sys.executable).parent) or shutil.which(program)
    if path is None:
        raise NotStarted(f"there is no program {program!r}")
    return path
