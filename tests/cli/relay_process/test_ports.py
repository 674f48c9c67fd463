import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from scripts.cli.errors import CommandFailed
from scripts.cli.relay_process.ports import choose_port, require_port


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_next_free_port_replaces_a_taken_one(taken_port: int) -> None:
    choice = choose_port(taken_port, [taken_port + 1])
    assert choice.port > taken_port + 1
    assert f"(pid {os.getpid()}) has it): the relay takes {choice.port}." in choice.note
    assert choose_port(choice.port).note == ""


def test_port_of_another_purpose_is_left_to_it(taken_port: int) -> None:
    choice = choose_port(taken_port, [taken_port], "mitmweb's page")
    assert choice.port != taken_port and "taken by the relay" in choice.note


def test_wanted_port_is_never_replaced(taken_port: int) -> None:
    with pytest.raises(CommandFailed, match=f"port {taken_port} cannot be used: .*{os.getpid()}"):
        require_port(taken_port)


def test_end_of_the_ports_is_no_crash() -> None:
    with socket.socket() as probe:
        with contextlib.suppress(OSError):  # another program has it
            probe.bind(("127.0.0.1", 65_535))
        with pytest.raises(CommandFailed, match="no port from 65535 is free"):
            choose_port(65_535)
