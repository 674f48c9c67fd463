"""The listeners of `relay_port` and `relay_ports`, beside mitmproxy's own."""

import asyncio
import logging
import socket
from typing import Any

from mitmproxy import ctx

from addons.config.addon import change, ports
from addons.config.settings import OPTION

OPTIONS = frozenset({f"{OPTION}port", f"{OPTION}ports", f"{OPTION}config"})


class Listeners:
    active = False  # listeners may be added
    modes: tuple[str, ...] = ()  # those that were added

    def configure(self, updated: set[str]) -> None:
        if self.active and not updated.isdisjoint(OPTIONS):
            asyncio.get_running_loop().call_soon(self.listen)

    def running(self) -> None:
        self.active = True
        self.listen()

    def listen(self) -> None:
        """Listen on the ports of the settings too, where mitmproxy does not; on no others more."""
        addons: Any = ctx.master.addons
        others = [mode for mode in ctx.options.mode if mode not in self.modes]
        wanted = {f"regular@127.0.0.1:{port}": port for port in ports()}
        bound = {address[1] for address in addons.get("proxyserver").listen_addrs()}
        modes = tuple(
            mode
            for mode, port in wanted.items()
            if mode in self.modes or (port not in bound and free(port))
        )
        if modes != self.modes:
            self.modes = modes
            change(mode=[*others, *modes])


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            where = f"127.0.0.1:{port} ({error.strerror})"
            logging.error(f"codex-relay cannot listen on {where}; free it or choose another port")
            return False
    return True
