"""The variables of this shell that lead Codex to the relay, past it, or nowhere."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from addons.relay_health import LOOPBACK_HOSTS

from ..launcher.environment import BYPASS_VARIABLES, covers_relayed_host
from .codex_checks import CA_VARIABLES, codex_base_url, is_loopback_url
from .context import DoctorContext
from .finding import DoctorFinding, failure, healthy, warning
from .relay_checks import read_certificates

CONNECT_TIMEOUT = 3.0  # s
USE_LAUNCHER = "start Codex with `mitmcodex codex`, which sets it for Codex alone"


class ProxyAddress(NamedTuple):
    variable: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK_HOSTS

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"


def find_proxy(environment: Mapping[str, str], *names: str) -> ProxyAddress | None:
    """The proxy in the first of these variables that is set, in capitals or not. Raises ValueError
    for one that is no URL."""
    for variable in (spelling for name in names for spelling in (name, name.lower())):
        if text := environment.get(variable, "").strip():
            parts = urlsplit(text if "://" in text else f"http://{text}")
            return ProxyAddress(variable, parts.hostname or "", parts.port or 80)
    return None


def check_https_proxy(context: DoctorContext) -> DoctorFinding:
    name = "HTTPS_PROXY"
    try:
        proxy = find_proxy(context.environment, name, "ALL_PROXY")
    except ValueError:
        return failure(name, "its value is no URL", f"unset it, or {USE_LAUNCHER}")
    if not proxy:
        return healthy(name, "not set; `mitmcodex codex` sets it for Codex alone")
    if not accepts_connections(proxy):
        text = f"{proxy.variable} names {proxy.place}, where nothing listens"
        step = f"unset {proxy.variable}"
        if proxy.is_loopback:
            step += f", or start the relay there: `mitmcodex up --port {proxy.port}`"
        return failure(name, text, step)
    if not (proxy.is_loopback and context.is_relay_port(proxy.port)):
        text = f"{proxy.variable} names {proxy.place}: Codex goes past the relay"
        return warning(name, text, USE_LAUNCHER)
    if bypassed := [text for text in bypass_entries(context) if covers_relayed_host(text)]:
        text = f"NO_PROXY has {', '.join(bypassed)}: Codex goes past the relay"
        return failure(name, text, f"take it out of NO_PROXY, or {USE_LAUNCHER}")
    return healthy(name, f"{proxy.variable} names the relay")


def accepts_connections(proxy: ProxyAddress) -> bool:
    try:
        socket.create_connection((proxy.host, proxy.port), timeout=CONNECT_TIMEOUT).close()
    except OSError:
        return False
    return True


def bypass_entries(context: DoctorContext) -> list[str]:
    texts = (context.environment.get(name, "") for name in BYPASS_VARIABLES)
    return [entry.strip() for text in texts for entry in text.split(",") if entry.strip()]


def check_http_proxy(context: DoctorContext) -> DoctorFinding:
    """Codex sends even requests to loopback to HTTP_PROXY (0.169)."""
    name = "HTTP_PROXY"
    try:
        proxy = find_proxy(context.environment, name, "ALL_PROXY")
    except ValueError:
        return failure(name, "its value is no URL", "unset it")
    bypass = set(bypass_entries(context))
    if not proxy or "*" in bypass or "127.0.0.1" in bypass:
        return healthy(name, "does not touch this machine's own addresses")
    text = f"{proxy.variable} names {proxy.place}, also for http://127.0.0.1"
    step = "set NO_PROXY=127.0.0.1,localhost"
    base_url = codex_base_url(context.readable_config)
    if is_loopback_url(base_url):
        return failure(name, f"{text}, where Codex looks for the relay", step)
    return warning(name, text, step)


def check_ca_variables(context: DoctorContext) -> DoctorFinding:
    """Whether Codex, started in this shell, accepts the relay's certificates."""
    name, ca_file = CA_VARIABLES[0], context.ca_file
    variable = next((each for each in CA_VARIABLES if context.environment.get(each)), "")
    uses_relay = leads_to_relay(context)
    own_certificates = readable_certificates(ca_file)
    if not variable:
        if not uses_relay:
            return healthy(name, "not set; `mitmcodex codex` sets it for Codex alone")
        text = "not set, and HTTPS_PROXY names the relay: Codex does not trust it"
        return failure(name, text, f"set {name}={ca_file}, or use `mitmcodex codex`")
    path = Path(context.environment[variable]).expanduser()
    if not (certificates := readable_certificates(path)):
        text = f"{variable} names {path}, which holds no certificate"
        return failure(name, text, f"set {variable}={ca_file}, or unset it")
    if uses_relay and own_certificates and own_certificates[0] not in certificates:
        text = f"{variable} names {path}, which lacks the relay's authority"
        return failure(name, text, f"set {name}={ca_file}, or use `mitmcodex codex`")
    return healthy(name, f"{variable} names {path}")


def readable_certificates(path: Path) -> list[bytes]:
    """Each certificate of the file, in DER; none if it cannot be read."""
    try:
        return read_certificates(path)
    except (OSError, ValueError):
        return []


def leads_to_relay(context: DoctorContext) -> bool:
    try:
        proxy = find_proxy(context.environment, "HTTPS_PROXY", "ALL_PROXY")
    except ValueError:
        return False
    return bool(proxy and proxy.is_loopback and context.is_relay_port(proxy.port))
