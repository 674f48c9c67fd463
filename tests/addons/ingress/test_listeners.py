"""The listeners of relay_port and relay_ports follow the settings."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from addons.config.addon import Config
from addons.ingress.addon import Ingress
from addons.ingress.listeners import can_listen, listen_addresses
from addons.launch import available_port
from tests.addons.proxy import bounded, proxy

ROOT = Path(__file__).parents[3]


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


@bounded
async def test_only_listeners_that_take_http_are_the_relays_addresses() -> None:
    socks, regular = available_port(0), available_port(0)
    modes = [f"socks5@127.0.0.1:{socks}", f"regular@127.0.0.1:{regular}"]
    async with proxy(Config(), Ingress(), mode=modes) as (master, _):
        await wait_for_ports(master, {socks, regular}, set())
        assert listen_addresses() == [("127.0.0.1", regular)]


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which another program listens."""
    server = "import socket; s = socket.create_server(('127.0.0.1', 0));"
    server += "print(s.getsockname()[1], flush=True); input()"
    command = [sys.executable, "-c", server]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.kill()


def test_used_port_is_named_in_the_log(taken_port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert not can_listen(taken_port)
    assert f"cannot listen on 127.0.0.1:{taken_port}: " in caplog.text
    assert "choose another port: relay_port=" in caplog.text


@pytest.mark.parametrize("option", ["--listen-port", "--web-port"])
def test_taken_port_of_mitmproxy_ends_the_start_with_one_line(
    option: str, taken_port: int, tmp_path: Path
) -> None:
    program = "mitmweb" if option == "--web-port" else "mitmdump"
    ports = {"--listen-port": str(available_port(0)), option: str(taken_port)}
    command = [Path(sys.executable).with_name(program), "-s", ROOT / "addons" / "relay.py"]
    command += ["--set", f"confdir={tmp_path}", *(text for pair in ports.items() for text in pair)]
    done = subprocess.run(
        [*command, *(["--no-web-open-browser"] if program == "mitmweb" else [])],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    loading, fault = done.stdout.splitlines()
    assert "Loading script" in loading
    assert f":{taken_port}: " in fault and "has it; stop that program" in fault
    choice = "--web-port" if program == "mitmweb" else "-p"
    assert re.search(rf"choose another port: {choice} \d+$", fault)
