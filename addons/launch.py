"""The relay from Python, as a process of its own:

from addons.launch import start

with start(port=4446, upstream="https://api.deepseek.com/v1", api_key="sk-…") as relay:
    client = OpenAI(base_url=relay.url, api_key="none")
"""

import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from addons.config.settings import ENV, FIELDS
from addons.identity import MARK

SCRIPT = Path(__file__).with_name("relay.py")
TAIL = 4000  # characters of the log that an error shows
TRIES = 3  # at a free port, which somebody else may take first
GRACE = 10.0  # s for a relay that was asked to end


class NotStarted(RuntimeError):
    """The relay does not answer; the message has the end of its log."""


class Relay(subprocess.Popen[bytes]):
    """The process: `terminate()` ends it, and so does leaving its `with`."""

    port: int
    log: Path
    mark: str  # by which it is known from others

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stop(self) -> None:
        """End it and wait for that, at most 10 s."""
        self.terminate()
        try:
            self.wait(GRACE)
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
    **settings: Any,
) -> Relay:
    """Start the relay on 127.0.0.1 and wait until it answers there, at most `patience` s.

    `port` 0 takes a free one. `settings` are the options without `relay_`; they travel in the
    environment, where no list of processes shows them. Raises NotStarted with the log's tail.
    """
    if strange := settings.keys() - FIELDS.keys():
        raise TypeError(f"{min(strange)} is no setting; there are: {', '.join(sorted(FIELDS))}")
    log = log or Path(tempfile.mkdtemp(prefix="codex-relay-")) / "relay.log"
    said = {name: value for name, value in settings.items() if value is not None}
    given = {f"{ENV}{name.upper()}": text(value) for name, value in said.items()}
    given = {**(os.environ if environment is None else environment), **given}
    command = [beside_python(program), "-s", str(SCRIPT), "--listen-host", "127.0.0.1", *arguments]
    for tries in range(TRIES, 0, -1):
        relay = launched(command, bindable(port), log, given)
        try:
            wait(relay, patience)
        except BaseException as error:
            relay.stop()
            if port or tries == 1 or not (isinstance(error, NotStarted) and taken(relay.port)):
                raise
        else:
            break
    return relay


def launched(command: Sequence[str], port: int, log: Path, environment: Mapping[str, str]) -> Relay:
    mark = secrets.token_hex(8)
    with log.open("ab") as output:
        relay = Relay(
            [*command, "--listen-port", str(port)],
            env={**environment, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    relay.port, relay.log, relay.mark = port, log, mark
    return relay


def taken(port: int) -> bool:
    """Whether somebody else was faster."""
    try:
        return bindable(port) != port
    except NotStarted:
        return True


def text(value: Any) -> str:
    """A setting as its variable has it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ",".join(f"{name}:{text(one)}" for name, one in value.items())
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def wait(relay: Relay, patience: float) -> None:
    end = time.monotonic() + patience
    while relay.poll() is None and time.monotonic() < end:
        if answers(relay):
            return
        time.sleep(0.05)
    why = f"ended with {relay.returncode}" if relay.returncode is not None else "does not answer"
    tail = relay.log.read_text("utf-8", "replace")[-TAIL:]
    raise NotStarted(f"the relay on port {relay.port} {why}; its log:\n{tail}")


def answers(relay: Relay) -> bool:
    """Whether it is there, and it is this one."""
    # Not urllib, which would ask a proxy that the environment names.
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=5)
    try:
        connection.request("GET", "/health")
        told = json.loads(connection.getresponse().read())
        return isinstance(told, dict) and told.get("mark") == relay.mark
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def bindable(port: int) -> int:
    """The port, if nobody else would answer there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise NotStarted(f"port {port} cannot be had: {error.strerror}") from None
        found: int = probe.getsockname()[1]
    return found


def beside_python(program: str) -> str:
    """The program of the environment that runs us, else that on PATH."""
    found = shutil.which(program, path=Path(sys.executable).parent) or shutil.which(program)
    if found is None:
        raise NotStarted(f"there is no program {program!r}")
    return found
