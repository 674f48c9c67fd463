"""Which relay runs: the one that `mitmcodex up` has started, or any other on the usual port.

`mitmcodex up` writes its relay into a file of the user's state folder. The file may be older than
the last crash or the last start of the machine: it counts only while the process that it names has
the mark that it names.

Another user of the machine can listen on a relay's port and answer as it does. Such a relay would
get the user's requests, login and keys: it is used only if a variable says that it is trusted."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from addons.identity import MARK_VARIABLE
from addons.port_holder import has_own_listener
from addons.private_files import write_private_file
from addons.relay_health import LOOPBACK, read_health
from addons.user_folders import state_folder

from .errors import CommandFailed

DEFAULT_PORT = 8080
TRUST_VARIABLE = "MITMCODEX_TRUSTED_PORT"  # the port of another user's relay that may be used
POLL_INTERVAL = 0.05  # s
NOT_RUNNING = "no relay runs"
START_STEP = "start one with `mitmcodex up --detach`"


@dataclass(frozen=True)
class StartedRelay:
    """What `mitmcodex up` notes about the relay that it starts."""

    pid: int
    port: int
    program: str  # mitmdump or mitmweb
    mark: str  # random; the process has it in its environment, and `/health` shows it
    log: str = ""  # path; "" for a relay that prints to its terminal
    settings: Mapping[str, str] = field(default_factory=dict)  # name → fingerprint of its value

    @property
    def is_alive(self) -> bool:
        """Whether its process runs. Another process may have got its number."""
        try:
            return psutil.Process(self.pid).environ().get(MARK_VARIABLE) == self.mark
        except psutil.Error:
            return False


@dataclass(frozen=True)
class RunningRelay:
    """A relay that answers."""

    port: int
    health: dict[str, Any] = field(repr=False)  # what `/health` says
    started: StartedRelay | None = None  # None: something else than `mitmcodex up` has started it

    @property
    def origin(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def base_url(self) -> str:
        """The base URL for clients."""
        return f"{self.origin}/v1"

    @property
    def dashboard(self) -> str:
        return f"{self.origin}/relay/"

    @property
    def web_page(self) -> str:
        """The URL of mitmweb's page, with its token; "" for mitmdump, or if nobody knows it."""
        try:
            return web_page_path().read_text("utf-8").strip() if self.is_web else ""
        except OSError:
            return ""

    @property
    def is_web(self) -> bool:
        return self.started is not None and self.started.program == "mitmweb"


def state_path() -> Path:
    return state_folder() / "relay.json"


def web_page_path() -> Path:
    """The file into which a relay of `mitmcodex up --web` writes the URL of mitmweb's page."""
    return state_folder() / "mitmweb.url"


def save_started_relay(relay: StartedRelay) -> None:
    write_private_file(state_path(), json.dumps(asdict(relay)).encode())


def forget_started_relay() -> None:
    for path in (state_path(), web_page_path()):
        path.unlink(missing_ok=True)


def read_started_relay() -> StartedRelay | None:
    """The relay of the last `mitmcodex up`, if its process still runs."""
    try:
        relay = StartedRelay(**json.loads(state_path().read_text("utf-8")))
        return relay if relay.is_alive else None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def find_running_relay(port: int | None = None) -> RunningRelay | None:
    """The relay on this port; by default that of `mitmcodex up`, else the one on the usual port."""
    started = read_started_relay()
    if started and port in (None, started.port) and (relay := ask_started_relay(started)):
        return relay
    return find_own_relay(port or DEFAULT_PORT)


def find_relay_at(port: int) -> RunningRelay | None:
    """The relay on this port, whoever runs it."""
    return RunningRelay(port, health) if (health := read_health(port)) else None


def find_own_relay(port: int) -> RunningRelay | None:
    """The relay on this port, unless it may be another user's."""
    is_trusted = os.environ.get(TRUST_VARIABLE) == str(port) or has_own_listener(port)
    return find_relay_at(port) if is_trusted else None


def ask_started_relay(started: StartedRelay) -> RunningRelay | None:
    """The relay of `mitmcodex up`; None if it does not answer, or another program has its port."""
    relay = find_own_relay(started.port)
    is_started = relay and relay.health.get("mark") == started.mark
    return replace(relay, started=started) if relay and is_started else None


def require_running_relay(port: int | None = None) -> RunningRelay:
    """Raises CommandFailed if none runs."""
    if relay := find_running_relay(port):
        return relay
    raise absence_fault(port)


def absence_fault(port: int | None = None) -> CommandFailed:
    """Why `find_running_relay` finds none, with the next step."""
    started = read_started_relay()
    if started and port in (None, started.port):
        return hang_fault(started)
    if find_relay_at(number := port or DEFAULT_PORT):  # and yet `find_own_relay` finds none
        return CommandFailed(
            f"no relay of yours runs; the one on port {number} may be another user's",
            f"{START_STEP}, or set {TRUST_VARIABLE}={number} if you trust that one",
        )
    return CommandFailed(f"{NOT_RUNNING} on port {port}" if port else NOT_RUNNING, START_STEP)


def hang_fault(started: StartedRelay) -> CommandFailed:
    place = f"process {started.pid}, port {started.port}"
    return CommandFailed(
        f"the relay of `mitmcodex up` ({place}) runs and does not answer",
        "end it with `mitmcodex down`",
    )


def wait_for_answer(started: StartedRelay, patience: float) -> RunningRelay | None:
    """The relay as soon as it answers; None if it ends, or does not answer within `patience` s."""
    deadline = time.monotonic() + patience
    while started.is_alive and time.monotonic() < deadline:
        if relay := ask_started_relay(started):
            return relay
        time.sleep(POLL_INTERVAL)
    return None
