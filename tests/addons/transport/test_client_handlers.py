"""Connections of clients, counted and closed through mitmproxy's own handlers."""

import asyncio

from mitmproxy.test import tflow

from addons.transport.addon import Transport
from addons.transport.client_handlers import close_client, connection_handlers, count_clients
from addons.transport.idle_clients import idle_clients, mark_waiting
from tests.addons.proxy import PATIENCE, Client, bounded, proxy

AT_ONCE = -1.0  # s: every client that waits has waited for longer


@bounded
async def test_open_connections_are_counted_and_closed() -> None:
    async with proxy(Transport()) as (_, port):
        assert count_clients() == 0
        async with Client.connect(port) as first, Client.connect(port):
            async with asyncio.timeout(PATIENCE):
                while count_clients() < 2:
                    await asyncio.sleep(0.01)
            own_port = first.writer.get_extra_info("sockname")[1]
            [handler] = [
                each
                for each in connection_handlers().values()
                if each.client.peername[1] == own_port
            ]
            close_client(handler.client)
            assert await asyncio.wait_for(first.reader.read(), PATIENCE) == b""
            async with asyncio.timeout(PATIENCE):
                while count_clients() > 1:
                    await asyncio.sleep(0.01)


@bounded
async def test_a_client_without_a_connection_is_only_forgotten() -> None:
    client = tflow.tclient_conn()
    mark_waiting(client)
    async with proxy(Transport()):
        close_client(client)
    assert client not in idle_clients(AT_ONCE)
