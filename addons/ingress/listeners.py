"""The listeners of `relay_port` and `relay_ports`, in addition to mitmproxy's own."""

import asyncio
import logging
import socket
from typing import Any

from mitmproxy import ctx

from addons.config import OPTION_PREFIX, additional_ports, update_options

LISTENER_OPTIONS = frozenset(
    {f"{OPTION_PREFIX}port", f"{OPTION_PREFIX}ports", f"{OPTION_PREFIX}config"}
)


class Listeners:
    """Keeps mitmproxy's `mode` option in step with the settings."""

    is_running = False  # listeners may be added
    added_modes: tuple[str, ...] = ()

    def configure(self, updated: set[str]) -> None:
        if self.is_running and not updated.isdisjoint(LISTENER_OPTIONS):
            asyncio.get_running_loop().call_soon(self.update_modes)

    def running(self) -> None:
        self.is_running = True
        self.update_modes()

    def update_modes(self) -> None:
        """Listen on the free ports of the settings, and no longer on those of earlier settings."""
        addons: Any = ctx.master.addons
        user_modes = [mode for mode in ctx.options.mode if mode not in self.added_modes]
        port_of_mode = {f"regular@127.0.0.1:{port}": port for port in additional_ports()}
        bound_ports = {address[1] for address in addons.get("proxyserver").listen_addrs()}
        modes = tuple(
            mode
            for mode, port in port_of_mode.items()
            if mode in self.added_modes or (port not in bound_ports and can_listen(port))
        )
        if modes != self.added_modes:
            self.added_modes = modes
            update_options(mode=[*user_modes, *modes])


def can_listen(port: int) -> bool:
    """Whether the port is free. If not, the log gets an error."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            address = f"127.0.0.1:{port} ({error.strerror})"
            logging.error(f"mitmcodex cannot listen on {address}; free it or choose another port")
            return False
    return True
