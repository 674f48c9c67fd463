"""Which program holds a port."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from addons.port_holder import bind_fault, next_free_port, port_holder, taken_port_fault

SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_program() -> Iterator[tuple[int, int]]:
    """The port and the pid of another program that listens."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield int(process.stdout.readline()), process.pid
        process.kill()


def test_taken_port_names_its_holder_and_a_free_port(other_program: tuple[int, int]) -> None:
    port, pid = other_program
    assert port_holder(port).endswith(f" (pid {pid})")
    fault = taken_port_fault("127.0.0.1", port, "-p ")
    assert fault.startswith(f"mitmcodex cannot listen on 127.0.0.1:{port}: ")
    assert f"(pid {pid}) has the port; stop that program, or choose another port: -p " in fault
    free_port = int(fault.rpartition(" ")[2])
    assert free_port > port and bind_fault("127.0.0.1", free_port) == ""
    assert f"cannot listen on *:{port}: " in taken_port_fault("", port, "-p ")


def test_free_port_and_our_own_have_no_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert bind_fault("127.0.0.1", port)
        assert taken_port_fault("127.0.0.1", port, "-p ") == ""  # as when a script is loaded again
        assert port_holder(port).endswith(f"(pid {os.getpid()})")
    assert taken_port_fault("127.0.0.1", port, "-p ") == "" == port_holder(port)


def test_fault_of_another_kind_keeps_the_systems_words() -> None:
    fault = taken_port_fault("192.0.2.1", 8080, "-p ")  # of no machine
    assert fault.startswith("mitmcodex cannot listen on 192.0.2.1:8080: ")
    assert "pid" not in fault


def test_ports_end_at_65535() -> None:
    assert next_free_port(65_535) == 65_535
