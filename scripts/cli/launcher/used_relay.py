"""The relay through which a program runs: the one that runs already, or one for its lifetime."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import httpx2
import psutil

from addons.config import VARIABLE_PREFIX
from addons.launch import is_port_taken, start
from addons.private_files import create_private_folder, write_private_bytes
from addons.user_folders import state_folder

from ..errors import CommandFailed
from ..running_relay import find_running_relay, read_health, require_running_relay
from ..user_settings import owner_key
from .environment import proxy_url

CA_URL = "http://mitm.it/cert/pem"  # mitmproxy itself answers it, to whoever uses it as a proxy
DEFAULT_CA = Path("~/.mitmproxy/mitmproxy-ca-cert.pem")
REQUEST_TIMEOUT = 10.0  # s
FILE_AGE = 86_400.0  # s that the files of an ended process are kept
# A relay for one program opens no ports but its own: `mitmcodex up` may have them.
NO_MORE_PORTS = {f"{VARIABLE_PREFIX}PORT": "", f"{VARIABLE_PREFIX}PORTS": ""}


@dataclass(frozen=True)
class UsedRelay:
    port: int
    key: str  # "" for a relay that asks for none
    log: str  # path; "" if it is not known
    provider_name: str  # in the table of providers
    provider: str  # its title
    upstream: str  # base URL
    model: str  # the default; "" if it is not known
    is_own: bool  # started for one program, and ended with it

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def proxy(self) -> str:
        return proxy_url(self.port, self.key)

    @property
    def summary(self) -> str:
        """One line for people: the provider, and where the log is."""
        served = f"{self.provider}, {self.model}" if self.model else self.provider
        return f"mitmcodex: {served}" + (f" · log: {self.log}" if self.log else "")


@contextmanager
def relay_for_program(port: int | None = None, **settings: Any) -> Iterator[UsedRelay]:
    """The relay on this port, or the one that runs. If none runs, one with these settings starts,
    and ends with the block. Raises CommandFailed and NotStarted."""
    running = require_running_relay(port) if port else find_running_relay()
    if running:
        log = running.started.log if running.started else ""
        yield used_relay(running.port, log, is_own=False)
        return
    log_file = new_log_file()
    environment = {**os.environ, **NO_MORE_PORTS}
    with start(log=log_file, environment=environment, ends_with_caller=True, **settings) as relay:
        used = used_relay(relay.port, str(log_file), is_own=True)
        try:
            yield used
        finally:
            remove_files(used)


def used_relay(port: int, log: str, *, is_own: bool) -> UsedRelay:
    key = owner_key()
    health = read_health(port, key) or {}
    report = health.get("report") or {}  # not by addons.startup, which takes long to load
    return UsedRelay(
        port=port,
        key=key,
        log=log,
        provider_name=str(health.get("provider", "")),
        provider=str(report.get("title") or health.get("provider", "")),
        upstream=str(health.get("upstream", "")),
        model=str(report.get("model", "")),
        is_own=is_own,
    )


def program_folder() -> Path:
    """The folder of what programs need to use the relay, and of the logs of their relays."""
    folder = state_folder() / "programs"
    create_private_folder(folder)
    return folder


def new_log_file() -> Path:
    """The path of this process's log, in a folder without the files of ended processes."""
    folder = program_folder()
    for path in folder.iterdir():
        if time.time() - path.stat().st_mtime > FILE_AGE and not is_in_use(path):
            path.unlink(missing_ok=True)
    return folder / f"relay-{os.getpid()}.log"


def is_in_use(path: Path) -> bool:
    """Whether the process of a log, or else the relay at the port in the file's name, is there."""
    number = path.stem.rpartition("-")[2]
    if not number.isdecimal():
        return False
    is_log = path.suffix == ".log"
    return psutil.pid_exists(int(number)) if is_log else is_port_taken(int(number))


def proxy_request(relay: UsedRelay, url: str) -> bytes:
    """What the relay answers as a proxy. Raises httpx2.HTTPError."""
    with httpx2.Client(proxy=relay.proxy, timeout=REQUEST_TIMEOUT, trust_env=False) as client:
        reply = client.get(url).raise_for_status()
        return reply.content


def save_authority(relay: UsedRelay) -> Path:
    """A file with the certificate authority of the relay. Raises CommandFailed."""
    path = program_folder() / f"ca-{relay.port}.pem"
    try:
        certificate = proxy_request(relay, CA_URL)
    except httpx2.HTTPError:
        certificate = b""
    if b"BEGIN CERTIFICATE" not in certificate:
        default = DEFAULT_CA.expanduser()
        if not default.is_file():
            raise CommandFailed(
                f"the relay on port {relay.port} does not show its certificate authority",
                "start it without mitmproxy's option `onboarding=false`",
            )
        return default
    write_private_bytes(path, certificate)
    return path


def save_bundle(relay: UsedRelay, ca_file: Path, former_file: str = "") -> Path:
    """A file with the relay's authority and those of the former file, or else the public ones, as
    many programs take one file instead of the system's. Raises CommandFailed."""
    former = Path(former_file or certifi.where())
    try:
        others = former.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{former}: {error.strerror}", "correct SSL_CERT_FILE") from None
    path = program_folder() / f"bundle-{relay.port}.pem"
    write_private_bytes(path, ca_file.read_bytes().rstrip() + b"\n" + others)
    return path


def remove_files(relay: UsedRelay) -> None:
    """Remove the files for programs of a relay that ends; its log stays for a day."""
    for path in program_folder().glob(f"*-{relay.port}.*"):
        if not path.name.startswith("relay-"):
            path.unlink(missing_ok=True)
