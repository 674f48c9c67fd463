"""Whether a port is free, which program holds it if not, and what the user can do."""

import os
import socket
from typing import Any

import psutil

ATTEMPTS = 50  # ports that `next_free_port` tries


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


def next_free_port(port: int, host: str = "127.0.0.1") -> int:
    """The first free port after this one; the port itself if none of the next is free."""
    following = range(port + 1, min(port + 1 + ATTEMPTS, 65_536))
    return next((number for number in following if not bind_fault(host, number)), port)


def port_holder(port: int) -> str:
    """`ollama (pid 4711)`: the program that listens on this port of this machine; "" if the system
    does not tell, as with programs of other users."""
    try:
        pids = [each.pid for each in psutil.net_connections("tcp") if is_listener(each, port)]
        return next((f"{psutil.Process(pid).name()} (pid {pid})" for pid in pids if pid), "")
    except (psutil.Error, OSError):
        return ""


def is_held_by_us(port: int) -> bool:
    """Whether this process listens on the port."""
    try:
        return any(is_listener(each, port) for each in psutil.Process().net_connections("tcp"))
    except (psutil.Error, OSError):
        return False


def is_listener(connection: Any, port: int) -> bool:
    is_listening: bool = connection.status == psutil.CONN_LISTEN
    return is_listening and connection.laddr.port == port


def taken_port_fault(host: str, port: int, option: str) -> str:
    """One sentence on a port that another program holds, with the next step; "" if none does.

    `option`: what sets the port, up to the number, as in `-p `."""
    fault = bind_fault(host, port)
    if not fault or is_held_by_us(port):
        return ""
    holder = port_holder(port)
    reason = f"{holder} has the port" if holder else fault[:1].lower() + fault[1:]
    place = f"{host or '*'}:{port}"
    return (
        f"mitmcodex cannot listen on {place}: {reason};"
        f" stop that program, or choose another port: {option}{next_free_port(port)}"
    )
