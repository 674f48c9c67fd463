"""Whether a port is free, which program holds it if not, and what the user can do."""

import os
import socket
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import psutil

ATTEMPTS = 100  # ports that `next_free_port` tries
ROOT_USER = 0
# Linux shows the user of every socket here; psutil shows the processes of our own user only.
SOCKET_TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")
LISTENING = "0A"  # the state in these tables
# Whoever listens at one of them gets connections to 127.0.0.1.
REACHING_ADDRESSES = frozenset({"127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"})  # noqa: S104 - compared only


def bind_fault(host: str, port: int) -> str:
    """Why no program can listen at this address, in the system's words; "" if one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name == "posix":  # on Windows, the option would let two programs share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def free_port(host: str) -> int:
    """A port that is free now, of the system's choice. Raises OSError."""
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def next_free_port(port: int, others: Collection[int] = (), host: str = "127.0.0.1") -> int | None:
    """The first free port after this one that is not among the others; None if none is near."""
    following = range(port + 1, min(port + 1 + ATTEMPTS, 65_536))
    free = (each for each in following if each not in others and not bind_fault(host, each))
    return next(free, None)


def port_holder(port: int) -> str:
    """`ollama (pid 4711)`: the program that listens on this port of this machine; "" if the system
    does not tell, as with programs of other users."""
    try:
        pid = next(listening_processes(port), None)
        return f"{psutil.Process(pid).name()} (pid {pid})" if pid else ""
    except (psutil.Error, OSError):
        return ""


def has_own_listener(port: int) -> bool:
    """Whether only programs of this user and of the administrator listen on this port of 127.0.0.1.

    Any user can listen on a free port, and answer there as a relay would. If the system does not
    tell whose programs listen, they count as another user's."""
    if sys.platform == "linux":
        users = listening_users(port)
        return bool(users) and users <= {os.geteuid(), ROOT_USER}
    try:
        own_name = psutil.Process().username()
        names = {psutil.Process(pid).username() for pid in listening_processes(port)}
    except (psutil.Error, OSError):
        return False
    return names == {own_name}


def listening_users(port: int) -> set[int]:
    """The ids of the users whose sockets get connections to this port of 127.0.0.1 (Linux)."""
    users = set[int]()
    for table in SOCKET_TABLES:
        try:
            rows = [line.split() for line in table.read_text("ascii").splitlines()[1:]]
        except OSError:  # without IPv6, or where the system hides them
            continue
        for _, local_address, _, state, *fields in rows:
            address, _, port_text = local_address.partition(":")
            is_reached = int(port_text, 16) == port and address_text(address) in REACHING_ADDRESSES
            if state == LISTENING and is_reached:
                users.add(int(fields[3]))
    return users


def address_text(address: str) -> str:
    """`127.0.0.1` for the `0100007F` of a table: words of four bytes in the machine's order."""
    words = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(word.to_bytes(4, sys.byteorder) for word in words))


def listening_processes(port: int) -> Iterator[int]:
    """The ids of the processes that get connections to this port, as far as the system tells.

    Raises psutil.Error and OSError."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:  # macOS shows them process by process, and our own only
        yield from (each.pid for each in psutil.process_iter() if is_held_by(each, port))
        return
    yield from (each.pid for each in connections if each.pid and is_listener(each, port))


def is_held_by(process: psutil.Process, port: int) -> bool:
    """Whether the process listens on the port, as far as the system tells."""
    try:
        return any(is_listener(each, port) for each in process.net_connections("tcp"))
    except (psutil.Error, OSError):
        return False


def is_listener(connection: Any, port: int) -> bool:
    is_listening: bool = connection.status == psutil.CONN_LISTEN
    return is_listening and connection.laddr.port == port


def taken_port_fault(host: str, port: int, option: str) -> str:
    """One sentence on a port that another program holds, with the next step; "" if none does.

    `option`: what sets the port, up to the number, as in `-p `."""
    fault = bind_fault(host, port)
    if not fault or is_held_by(psutil.Process(), port):
        return ""
    return (
        f"mitmcodex cannot listen on {host or '*'}:{port}: {holder_words(port, fault)};"
        f" stop that program, or choose another port: {option}{next_free_port(port) or port}"
    )


def holder_words(port: int, fault: str) -> str:
    """`ollama (pid 4711) has it`; the system's words for the fault if the holder is not known."""
    holder = port_holder(port)
    return f"{holder} has it" if holder else fault[:1].lower() + fault[1:]
