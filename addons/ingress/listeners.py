"""The listeners of `relay_port` and `relay_ports`, in addition to mitmproxy's own; and, at the
start, one line for each port of any of them that another program holds."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

from mitmproxy import ctx
from mitmproxy.proxy.mode_specs import (
    ProxyMode,
    RegularMode,
    ReverseMode,
    TransparentMode,
    UpstreamMode,
)

from addons.config import OPTION_PREFIX, additional_ports, current_settings, update_options
from addons.port_holder import taken_port_fault

LISTENER_OPTIONS = frozenset(
    {f"{OPTION_PREFIX}port", f"{OPTION_PREFIX}ports", f"{OPTION_PREFIX}config"}
)
LOOPBACK = "127.0.0.1"
HTTP_MODES = RegularMode, UpstreamMode, ReverseMode, TransparentMode  # unlike SOCKS, DNS …
LISTEN_FAULT = "failed to listen on "  # mitmproxy's words; the address follows

_named_ports: set[int] = set()


class Listeners:
    """Keeps mitmproxy's `mode` option in step with the settings."""

    is_running = False  # listeners may be added
    added_modes: tuple[str, ...] = ()

    def load(self) -> None:
        """Log an error for each of mitmproxy's own ports that is taken. mitmproxy exits after a
        start with errors; `is_named_fault` tells which of its own lines says the same."""
        _named_ports.clear()
        for port, fault in taken_port_faults():
            if fault:
                _named_ports.add(port)
                logging.error(fault)

    def configure(self, updated: set[str]) -> None:
        if self.is_running and not updated.isdisjoint(LISTENER_OPTIONS):
            asyncio.get_running_loop().call_soon(self.update_modes)

    def running(self) -> None:
        self.is_running = True
        self.update_modes()

    def update_modes(self) -> None:
        """Listen on the free ports of the settings, and no longer on those of earlier settings."""
        user_modes = [mode for mode in ctx.options.mode if mode not in self.added_modes]
        port_of_mode = {f"regular@{LOOPBACK}:{port}": port for port in additional_ports()}
        bound_ports = listening_ports()
        modes = tuple(
            mode
            for mode, port in port_of_mode.items()
            if mode in self.added_modes or (port not in bound_ports and can_listen(port))
        )
        if modes != self.added_modes:
            self.added_modes = modes
            update_options(mode=[*user_modes, *modes])


def listen_addresses() -> list[tuple[str, int]]:
    """Hosts and ports on which mitmproxy takes HTTP requests, its own first; none where no
    mitmproxy runs."""
    if not hasattr(ctx, "master"):
        return []
    addons: Any = ctx.master.addons
    proxyserver = addons.get("proxyserver")
    return [
        (host, port)
        for server in (proxyserver.servers if proxyserver else ())
        if isinstance(server.mode, HTTP_MODES)
        for host, port, *_ in server.listen_addrs
    ]


def listening_ports() -> set[int]:
    return {port for _, port in listen_addresses()}


def can_listen(port: int) -> bool:
    """Whether the port is free. If not, the log gets an error."""
    if fault := taken_port_fault(LOOPBACK, port, port_setting(port)):
        logging.error(fault)
    return not fault


def port_setting(port: int) -> str:
    """The setting that opens this port, up to the number."""
    names = (name for name, number in current_settings().ports if number == port)
    name = next(names, None)
    return f"{OPTION_PREFIX}ports={name}:" if name else f"{OPTION_PREFIX}port="


def taken_port_faults() -> Iterator[tuple[int, str]]:
    """Each of mitmproxy's own ports, and why it cannot be used; "" if it can."""
    options = ctx.options
    for text in options.mode if options.server else ():
        try:
            mode = ProxyMode.parse(text)
        except ValueError:  # mitmproxy refuses it itself
            continue
        port = mode.listen_port(options.listen_port)
        if port and mode.transport_protocol == "tcp":
            yield port, taken_port_fault(mode.listen_host(options.listen_host), port, "-p ")
    if hasattr(ctx.master, "app"):  # mitmweb
        web_port = options.web_port
        yield web_port, taken_port_fault(options.web_host, web_port, "--web-port ")


def is_named_fault(record: logging.LogRecord) -> bool:
    """Whether mitmproxy says in this record that it failed at a port which we have named."""
    _, _, words = record.getMessage().partition(LISTEN_FAULT)
    port = words.partition(" ")[0].rpartition(":")[2]
    return port.isdecimal() and int(port) in _named_ports
