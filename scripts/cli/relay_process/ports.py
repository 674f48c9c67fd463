"""The ports of a relay that is about to start."""

from collections.abc import Collection
from typing import NamedTuple

from addons.port_holder import bind_fault, holder_words, next_free_port
from addons.relay_health import LOOPBACK

from ..errors import CommandFailed

WEB_PORT = 8081  # mitmweb's own default for its page


class PortChoice(NamedTuple):
    port: int
    note: str = ""  # why it is not the usual one


def require_port(port: int) -> PortChoice:
    """The port that the user wants. Raises CommandFailed if it is taken."""
    if fault := bind_fault(LOOPBACK, port):
        message = f"port {port} cannot be used: {holder_words(port, fault)}"
        raise CommandFailed(message, "end that program, or choose another port with --port")
    return PortChoice(port)


def choose_port(usual: int, others: Collection[int] = (), purpose: str = "the relay") -> PortChoice:
    """The usual port, or the next free one that is not among the others. Raises CommandFailed."""
    if usual not in others and not (fault := bind_fault(LOOPBACK, usual)):
        return PortChoice(usual)
    if (port := next_free_port(usual, others)) is None:
        raise CommandFailed(f"no port from {usual} is free", "choose another with --port")
    reason = "taken by the relay" if usual in others else holder_words(usual, fault)
    return PortChoice(port, f"Port {usual} is not free ({reason}): {purpose} takes {port}.")
