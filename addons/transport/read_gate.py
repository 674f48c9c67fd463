"""Stops reading from a client while the relay holds enough of what it has sent too early.

A client may send its next request before it has the reply to the last one. The relay keeps the
beginning of it, and leaves the rest to TCP's flow control until the reply has ended.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy.connection import Client, Connection

_gates: WeakKeyDictionary[Connection, asyncio.Event] = WeakKeyDictionary()


class GatedReader:
    """The reader of a connection; it reads while its gate is open."""

    def __init__(self, reader: Any, gate: asyncio.Event) -> None:
        self._reader, self._gate = reader, gate

    async def read(self, size: int) -> bytes:
        await self._gate.wait()
        data: bytes = await self._reader.read(size)
        return data


def install_gate(handlers: Mapping[Any, Any], client: Client) -> None:
    """Put a gate in front of a client that has just connected, before mitmproxy reads from it.

    `handlers`: those of mitmproxy's connections, by the id of the client.
    """
    handler = handlers.get(client.id)
    transport = handler.transports.get(client) if handler else None
    if transport:
        gate = _gates[client] = asyncio.Event()
        gate.set()
        transport.reader = GatedReader(transport.reader, gate)


def set_reading(client: Connection, is_wanted: bool) -> None:
    """Read on from this client, or let it wait."""
    gate = _gates.get(client)
    if gate and is_wanted:
        gate.set()
    elif gate:
        gate.clear()
