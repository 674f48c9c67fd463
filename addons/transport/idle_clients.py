"""Which clients are idle: they could send a request, or are in the middle of one, and make no
progress. `client_connections` marks them; `ingress` closes those that are idle for too long."""

import time
from weakref import WeakKeyDictionary

from mitmproxy.connection import Connection

# Clients that send a request or could send one → monotonic time of their last progress.
_waiting_clients: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()


def mark_progress(client: Connection) -> None:
    """The client waits for nothing from us, and has just connected or sent a piece of a body."""
    _waiting_clients[client] = time.monotonic()


def mark_waiting(client: Connection) -> None:
    """The client has no request under way. Pieces of a head are no progress."""
    if client not in _waiting_clients:
        mark_progress(client)


def mark_served(client: Connection) -> None:
    """The client waits for a reply, its bytes are passed on, or it is gone."""
    _waiting_clients.pop(client, None)


def idle_clients(seconds: float) -> list[Connection]:
    """The clients that have made no progress for so long."""
    limit = time.monotonic() - seconds
    return [client for client, since in list(_waiting_clients.items()) if since < limit]
