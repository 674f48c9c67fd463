"""The listeners of relay_port and relay_ports follow the settings."""

import asyncio
import socket
from typing import Any

import pytest

from addons.config.addon import Config
from addons.ingress.addon import Ingress
from addons.ingress.listeners import can_listen
from addons.launch import available_port
from tests.addons.proxy import bounded, proxy


async def wait_for_ports(master: Any, wanted_ports: set[int], other_ports: set[int]) -> None:
    """Wait until the proxy listens on the first ports, and on none of the others."""
    server = master.addons.get("proxyserver")
    while True:
        ports = {address[1] for address in server.listen_addrs()}
        if wanted_ports <= ports and not other_ports & ports:
            return
        await asyncio.sleep(0.005)


@bounded
async def test_listeners_follow_the_settings() -> None:
    first, second = available_port(0), available_port(0)
    async with proxy(Config(), Ingress(), relay_port=str(first)) as (master, own_port):
        await wait_for_ports(master, {own_port, first}, {second})
        master.options.update(relay_port=str(second))
        await wait_for_ports(master, {own_port, second}, {first})
        master.options.update(relay_port=None)
        await wait_for_ports(master, {own_port}, {first, second})


def test_used_port_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not can_listen(port)
    assert f"cannot listen on 127.0.0.1:{port}" in caplog.text
