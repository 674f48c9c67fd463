"""The relay through which a program runs: the one that runs already, or one for its lifetime."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import certifi
import httpx2
import psutil

from addons.config import VARIABLE_PREFIX
from addons.launch import start
from addons.port_holder import bind_fault
from addons.private_files import create_private_folder, write_private_file
from addons.relay_health import LOOPBACK, read_health
from addons.start_report import report_from_json
from addons.user_folders import state_folder

from ..errors import CommandFailed
from ..running_relay import RunningRelay, find_running_relay, require_running_relay
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
    running: RunningRelay
    key: str = field(repr=False)  # "" for a relay that asks for none
    log: str  # path; "" if it is not known
    provider_name: str  # in the table of providers
    provider: str  # its title
    upstream: str  # base URL
    model: str  # the default; "" if it is not known
    is_own: bool  # started for one program, and ended with it

    @property
    def port(self) -> int:
        return self.running.port

    @property
    def base_url(self) -> str:
        return self.running.base_url

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
    if running := require_running_relay(port) if port else find_running_relay():
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
    report = report_from_json(health.get("report"))
    provider_name = str(health.get("provider", ""))
    return UsedRelay(
        running=RunningRelay(port, health),
        key=key,
        log=log,
        provider_name=provider_name,
        provider=report.title if report else provider_name,
        upstream=str(health.get("upstream", "")),
        model=report.model if report else "",
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
        with contextlib.suppress(OSError):  # another command removes them at the same time
            if time.time() - path.stat().st_mtime > FILE_AGE and not is_in_use(path):
                path.unlink()
    return folder / f"relay-{os.getpid()}.log"


def is_in_use(path: Path) -> bool:
    """Whether the process of a log, or else the relay at the port in the file's name, is there."""
    number = path.stem.rpartition("-")[2]
    if not number.isdecimal():
        return False
    is_log = path.suffix == ".log"
    return psutil.pid_exists(int(number)) if is_log else bool(bind_fault(LOOPBACK, int(number)))


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
    write_private_file(path, certificate)  # other programs may be reading it
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
    write_private_file(path, ca_file.read_bytes().rstrip() + b"\n" + others)
    return path


def remove_files(relay: UsedRelay) -> None:
    """Remove the files for programs of a relay that ends; its log stays for a day."""
    for path in program_folder().glob(f"*-{relay.port}.*"):
        if not path.name.startswith("relay-"):
            path.unlink(missing_ok=True)
