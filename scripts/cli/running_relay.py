"""Which relay runs: the one that `mitmcodex up` has started, or any other on the usual port.

`mitmcodex up` writes its relay into a file of the user's state folder. Nothing is trusted that the
relay's own `/health` does not confirm."""

import http.client
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

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
    log: str = ""  # path; "" for a relay that prints to its terminal
    web: str = ""  # URL of mitmweb's page, with its token; "" for mitmdump


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


def state_path() -> Path:
    return state_folder() / "relay.json"


def save_started_relay(relay: StartedRelay) -> None:
    write_private_bytes(state_path(), json.dumps(asdict(relay)).encode())


def forget_started_relay() -> None:
    state_path().unlink(missing_ok=True)


def read_started_relay() -> StartedRelay | None:
    """The relay of the last `mitmcodex up`, if its process still runs."""
    try:
        relay = StartedRelay(**json.loads(state_path().read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return relay if psutil.pid_exists(relay.pid) else None


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


def read_health(port: int) -> dict[str, Any] | None:
    """What the relay on this port of this machine says of itself; None if none answers."""
    # Not urllib, which would use a proxy that the environment names.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_TIMEOUT)
    try:
        connection.request("GET", "/health")
        health = json.loads(connection.getresponse().read(1 << 20))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    is_relay = isinstance(health, dict) and health.get("status") == "ok" and "version" in health
    return health if is_relay else None
