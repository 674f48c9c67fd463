"""Which relay runs: the one that `mitmcodex up` has started, or any other on the usual port.

`mitmcodex up` writes its relay into a file of the user's state folder. The file may be older than
the last crash or the last start of the machine: it counts only while the process that it names has
the mark that it names."""

import http.client
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from addons.identity import MARK_VARIABLE
from addons.private_files import write_private_bytes
from addons.user_folders import state_folder

from .errors import CommandFailed

DEFAULT_PORT = 8080
HEALTH_TIMEOUT = 3.0  # s
NOT_RUNNING = "no relay runs"


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
        return f"http://127.0.0.1:{self.port}"

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
    """Replace the file in one step, as another command may read it at any time."""
    temporary = state_path().with_suffix(".new")
    write_private_bytes(temporary, json.dumps(asdict(relay)).encode())
    os.replace(temporary, state_path())


def forget_started_relay() -> None:
    for path in (state_path(), web_page_path()):
        path.unlink(missing_ok=True)


def read_started_relay() -> StartedRelay | None:
    """The relay of the last `mitmcodex up`, if its process still runs."""
    try:
        relay = StartedRelay(**json.loads(state_path().read_text("utf-8")))
        return relay if relay.is_alive else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def find_running_relay(port: int | None = None) -> RunningRelay | None:
    """The relay on this port; by default that of `mitmcodex up`, else the one on the usual port."""
    started = read_started_relay()
    if started and port in (None, started.port) and (health := read_health(started.port)):
        return RunningRelay(started.port, health, started)
    port = port or DEFAULT_PORT
    return RunningRelay(port, health) if (health := read_health(port)) else None


def require_running_relay(port: int | None = None) -> RunningRelay:
    """Raises CommandFailed if none runs."""
    if relay := find_running_relay(port):
        return relay
    place = f" on port {port}" if port else ""
    raise CommandFailed(f"{NOT_RUNNING}{place}", "start it with `mitmcodex up --detach`")


def wait_for_answer(started: StartedRelay, patience: float) -> RunningRelay | None:
    """The relay as soon as it answers; None if it ends, or does not answer within `patience` s."""
    deadline = time.monotonic() + patience
    while started.is_alive and time.monotonic() < deadline:
        if (health := read_health(started.port)) and health.get("mark") == started.mark:
            return RunningRelay(started.port, health, started)
        time.sleep(0.05)
    return None


def read_health(port: int, key: str = "") -> dict[str, Any] | None:
    """What the relay on this port of this machine says of itself; None if none answers.

    `key`: of `relay_client_key`; where there are such keys, it says more with one."""
    # Not urllib, which would use a proxy that the environment names.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_TIMEOUT)
    try:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        connection.request("GET", "/health", headers=headers)
        health = json.loads(connection.getresponse().read(1 << 20))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    is_relay = isinstance(health, dict) and health.get("status") == "ok" and "version" in health
    return health if is_relay else None
