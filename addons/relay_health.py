"""What a relay says of itself at `/health`, for the programs that start, find and use it.

The program that answers may be any other: its answer is bounded in size and time, and checked."""

import json
import socket
import time
from typing import Any

LOOPBACK = "127.0.0.1"
LOOPBACK_HOSTS = (LOOPBACK, "localhost", "::1")
HEALTH_TIMEOUT = 3.0  # s for the whole answer
HEALTH_LIMIT = 1 << 20  # bytes


def read_health(port: int, key: str = "") -> dict[str, Any] | None:
    """The answer of the relay on this port of this machine; None if none answers.

    `key`: of `relay_client_key`; where there are such keys, the relay says more with one."""
    try:
        head, _, body = fetch_health(port, key).partition(b"\r\n\r\n")
        health = json.loads(body)
    except (OSError, ValueError, RecursionError):
        return None
    is_relay = (
        b" 200 " in head.partition(b"\r\n")[0]
        and isinstance(health, dict)
        and health.get("status") == "ok"
        and isinstance(health.get("version"), str)  # llama.cpp's server says "ok", too
        and isinstance(health.get("uptime"), int | float)
    )
    return health if is_relay else None


def fetch_health(port: int, key: str) -> bytes:
    """The whole reply, with its head. Raises OSError.

    HTTP libraries would use a proxy that the environment names, or bound each read, not all."""
    lines = ["GET /health HTTP/1.1", f"host: {LOOPBACK}:{port}", "connection: close"]
    lines += [f"authorization: Bearer {key}"] if key else []
    deadline = time.monotonic() + HEALTH_TIMEOUT
    reply = bytearray()
    with socket.create_connection((LOOPBACK, port), HEALTH_TIMEOUT) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        while piece := connection.recv(65_536):
            reply += piece
            if len(reply) > HEALTH_LIMIT or time.monotonic() > deadline:
                raise TimeoutError("the answer does not end")
            connection.settimeout(max(0.001, deadline - time.monotonic()))
    return bytes(reply)
