"""Connections whose handler has ended without closing them."""

import asyncio
from types import SimpleNamespace
from typing import Any

from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.proxy import events
from mitmproxy.test import tflow

from addons.transport.connection_cleanup import close_leftover


class Handler:
    """What the function uses of mitmproxy's `ConnectionHandler`."""

    def __init__(self, *connections: Any) -> None:
        self.closed: list[Any] = []
        self.reported: list[Any] = []
        self.transports = {
            connection: SimpleNamespace(
                writer=SimpleNamespace(close=lambda each=connection: self.closed.append(each))
            )
            for connection in connections
        }

    async def server_event(self, event: events.ConnectionClosed) -> None:
        self.reported.append(event.connection)


def connections() -> tuple[Client, Server]:
    flow = tflow.tflow()
    flow.server_conn.state = ConnectionState.OPEN
    return flow.client_conn, flow.server_conn


def test_leftover_is_closed_once_and_its_end_is_reported() -> None:
    client, server = connections()
    handler = Handler(client, server)
    for _ in range(2):
        asyncio.run(close_leftover({client.id: handler}, client, server))
    assert handler.closed == handler.reported == [server]
    assert not server.connected and list(handler.transports) == [client]


def test_connection_that_mitmproxy_has_closed_is_left_alone() -> None:
    client, server = connections()
    handler = Handler(client)
    asyncio.run(close_leftover({client.id: handler}, client, server))
    asyncio.run(close_leftover({}, client, server))
    assert not handler.closed and not handler.reported and server.connected
