"""Ends connections that mitmproxy leaves half open.

In mitmproxy 12.2 the handler of a connection ends at once if it is told to close the connection
while it waits for its turn to pass on data, and if it cannot read for lack of memory. It neither
closes its socket then nor reports the end: the other side would be left waiting, and so would the
stream.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from collections.abc import Mapping
from typing import Any

from mitmproxy.connection import Client, Connection, ConnectionState
from mitmproxy.proxy import events


async def close_leftover(
    handlers: Mapping[Any, Any], client: Client, connection: Connection
) -> None:
    """End a connection whose handler has ended: the client's own, or one to an upstream.

    `handlers`: those of mitmproxy's connections, by the id of the client.
    """
    handler = handlers.get(client.id)
    leftover = handler and handler.transports.get(connection)
    if handler and leftover and leftover.writer:
        del handler.transports[connection]
        leftover.writer.close()
        connection.state = ConnectionState.CLOSED
        await handler.server_event(events.ConnectionClosed(connection))
