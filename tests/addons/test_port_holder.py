"""Which program holds a port."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from addons import port_holder as port_holder_module
from addons.port_holder import (
    bind_fault,
    has_own_listener,
    next_free_port,
    port_holder,
    taken_port_fault,
)

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
    assert f"(pid {pid}) has it; stop that program, or choose another port: -p " in fault
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
    assert next_free_port(65_535) is None


SOCKET_ROW = (
    "   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 0 {user} 0"
)


def is_own_with_rows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *rows: tuple[str, str, int]
) -> bool:
    """Whether port 8080 is ours with these rows (address, state, user) in the system's table."""
    texts = [
        SOCKET_ROW.format(address=address, port=8080, state=state, user=user)
        for address, state, user in rows
    ]
    (folder / "tcp").write_text("\n".join(["  sl  local_address ...", *texts]) + "\n")
    tables = (folder / "tcp", folder / "missing")
    monkeypatch.setattr(port_holder_module, "SOCKET_TABLES", tables)
    return has_own_listener(8080)


@pytest.mark.skipif(sys.platform != "linux", reason="tables of Linux")
def test_port_of_another_user_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    def is_own(*rows: tuple[str, str, int]) -> bool:
        return is_own_with_rows(tmp_path, monkeypatch, *rows)

    loopback, anywhere, mapped = "0100007F", "0" * 8, "0000000000000000FFFF00000100007F"
    assert is_own((loopback, "0A", 1000)) and is_own((anywhere, "0A", 0))
    assert not is_own((loopback, "0A", 1001)) and not is_own(("0" * 32, "0A", 1001))
    assert not is_own((loopback, "0A", 1000), (mapped, "0A", 1001))
    # A connection is no listener, and a listener at another address gets nothing of ours.
    assert is_own((loopback, "0A", 1000), (loopback, "01", 1001), ("0A00A8C0", "0A", 1001))
    assert not is_own((loopback, "01", 1000)) and not is_own()


def test_own_port_is_ours_on_every_system(
    other_program: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, pid = other_program
    assert has_own_listener(port) and not has_own_listener(1)

    def refuse(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(sys, "platform", "darwin")
    assert has_own_listener(port)
    monkeypatch.setattr(psutil, "net_connections", refuse)
    assert has_own_listener(port) and not has_own_listener(1)
    assert port_holder(port).endswith(f"(pid {pid})")
    monkeypatch.setattr(psutil.Process, "username", lambda process: str(process.pid))
    assert not has_own_listener(port)
