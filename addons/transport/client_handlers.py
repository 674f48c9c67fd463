"""mitmproxy's handlers of the connections of clients; each also has those to the upstreams.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx
from mitmproxy.connection import Connection

from addons.transport.idle_clients import mark_served

if TYPE_CHECKING:  # `Transport` reports a mitmproxy without this name
    from mitmproxy.proxy.server import ConnectionHandler


def connection_handlers() -> "Mapping[Any, ConnectionHandler]":
    """The handlers by the id of the client."""
    proxyserver: Any = ctx.master.addons.get("proxyserver")  # type: ignore[no-untyped-call]
    handlers: Mapping[Any, ConnectionHandler] = proxyserver.connections
    return handlers


def count_clients() -> int:
    """How many connections clients have open."""
    return len(connection_handlers())


def close_client(client: Connection) -> None:
    """Close the client's connection, as if the client had gone."""
    handler = connection_handlers().get(client.id)
    transport = handler.transports.get(client) if handler else None
    if transport and transport.handler:
        transport.handler.cancel("idle")
    mark_served(client)
