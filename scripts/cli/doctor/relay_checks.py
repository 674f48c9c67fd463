"""The relay: its settings, whether it runs, its ports, and its certificate authority."""

import base64
import re
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from addons.identity import VERSION
from addons.port_holder import bind_fault, port_holder
from addons.relay_health import LOOPBACK

from ..errors import CommandFailed
from ..relay_process.fingerprints import changed_settings, setting_fingerprints
from ..running_relay import DEFAULT_PORT, RunningRelay
from ..user_settings import owner_key
from .context import DoctorContext
from .finding import DoctorFinding, failure, healthy, warning

INTERCEPTED_HOST = "chatgpt.com"
PEM_CERTIFICATE = re.compile(f"{ssl.PEM_HEADER}.*?{ssl.PEM_FOOTER}", re.DOTALL)
HANDSHAKE_TIMEOUT = 10.0  # s for each step
HEAD_LIMIT = 65_536  # bytes
RESTART = "restart the relay: `mitmcodex down`, then `mitmcodex up --detach`"
START = "start it: `mitmcodex up --detach`"


def check_settings(context: DoctorContext) -> DoctorFinding:
    if not context.user:
        return failure("settings", context.settings_fault, "correct it: no relay starts with it")
    path = context.user.file.path
    return healthy("settings", str(path) if path.is_file() else "from the environment alone")


def check_relay(context: DoctorContext) -> DoctorFinding:
    if not (relay := context.relay):
        return warning("relay", "none runs", f"{START}, or let `mitmcodex codex` start one")
    version = relay.health.get("version")
    if version != VERSION:
        text = f"version {version} runs on {relay.origin}, and this is {VERSION}"
        return warning("relay", text, RESTART)
    return healthy("relay", f"{version} on {relay.origin}")


def check_relay_settings(context: DoctorContext) -> DoctorFinding | None:
    relay, user = context.relay, context.user
    if not (relay and relay.started and user):
        return None
    started = relay.started
    ours = setting_fingerprints(user.file, context.environment, started.mark)
    if names := changed_settings(ours, started.settings):
        text = f"the relay runs with other settings than yours: {', '.join(names)}"
        return warning("relay settings", text, RESTART)
    return healthy("relay settings", "those with which the relay runs")


def check_ports(context: DoctorContext) -> DoctorFinding:
    """The relay's own port, if no relay runs, and those of its settings."""
    own = [] if context.relay else [DEFAULT_PORT]
    settings = context.user.settings if context.user else None
    extra = (
        [port for port in (settings.port, *dict(settings.ports).values()) if port]
        if settings
        else []
    )
    for port in (*own, *extra):
        if bind_fault(LOOPBACK, port) and not context.is_relay_port(port):
            text = f"{port} is taken by {port_holder(port) or 'another program'}"
            if port in extra:
                return failure("ports", text, "end that program, or change `ports` in relay.toml")
            return warning("ports", text, "end it, or let `mitmcodex up` take the next free port")
    return healthy("ports", "free" if own else "the relay's own")


def check_authority(context: DoctorContext) -> DoctorFinding:
    """The file with the certificate of the relay's authority."""
    name, path = "certificate authority", context.ca_file
    if not path.is_file():
        if not context.relay:
            return warning(
                name, f"there is no {path} yet", "the first start makes it: `mitmcodex up --detach`"
            )
        return failure(name, f"there is no {path}", missing_authority_step(context.relay, path))
    try:
        certificate = x509.load_der_x509_certificate(read_certificates(path)[0])
    except (OSError, ValueError) as error:
        return failure(name, f"{path} cannot be read: {error}", renewal_step(path))
    end = certificate.not_valid_after_utc
    if end < datetime.now(UTC):
        return failure(name, f"{path} expired on {end:%Y-%m-%d}", renewal_step(path))
    return healthy(name, f"{path}, valid until {end:%Y-%m-%d}")


def missing_authority_step(relay: RunningRelay, path: Path) -> str:
    if path.with_name("mitmproxy-ca.pem").is_file():
        return f"fetch it from the relay: curl -x {relay.origin} -o {path} http://mitm.it/cert/pem"
    return RESTART


def renewal_step(path: Path) -> str:
    return f"remove {path.parent}/mitmproxy-ca*, and {RESTART}"


def read_certificates(path: Path) -> list[bytes]:
    """Each certificate of the file, in DER. Raises OSError, and ValueError if there is none."""
    texts = PEM_CERTIFICATE.findall(path.read_text("latin-1"))
    if not texts:
        raise ValueError("no certificate is in it")
    return [ssl.PEM_cert_to_DER_cert(text) for text in texts]


def check_handshake(context: DoctorContext) -> DoctorFinding | None:
    """A TLS handshake through the relay, as Codex makes it."""
    if not (context.relay and context.ca_file.is_file()):
        return None
    name = "interception"
    try:
        shake_hands(context.relay, context.ca_file)
    except ssl.SSLCertVerificationError:
        text = f"the relay signs with another authority than {context.ca_file}"
        return failure(name, text, RESTART)
    except (OSError, CommandFailed) as error:
        text = f"no TLS with {INTERCEPTED_HOST} through the relay: {error}"
        return failure(name, text, "look at `mitmcodex logs`")
    return healthy(name, f"the relay's certificate for {INTERCEPTED_HOST} is accepted")


def shake_hands(relay: RunningRelay, ca_file: Path) -> None:
    """Raises OSError, of which the errors of TLS are a kind, and CommandFailed."""
    context = ssl.create_default_context(cafile=str(ca_file))
    address = LOOPBACK, relay.port
    with socket.create_connection(address, timeout=HANDSHAKE_TIMEOUT) as connection:
        connection.sendall(connect_head(owner_key()))
        # The relay sends its head in one piece, and nothing more before the handshake.
        head, end, _ = connection.recv(HEAD_LIMIT).partition(b"\r\n\r\n")
        if not end or b" 200 " not in head.partition(b"\r\n")[0]:
            status_line = head.partition(b"\r\n")[0].decode("latin-1")
            raise OSError(f"it answers {status_line!r} to CONNECT")
        with context.wrap_socket(connection, server_hostname=INTERCEPTED_HOST):
            pass


def connect_head(key: str) -> bytes:
    token = base64.b64encode(f"relay:{key}".encode()).decode()
    login = f"Proxy-Authorization: Basic {token}\r\n" if key else ""
    host = f"{INTERCEPTED_HOST}:443"
    return f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{login}\r\n".encode()
