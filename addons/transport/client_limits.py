"""What a client may send before the relay refuses it: `ingress` sets the limits here, and
`client_connections` and `relay_stream` keep them while bytes arrive."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy.connection import Connection
from mitmproxy.http import HTTPFlow

BODY_LIMIT_ATTRIBUTE = "relay_body_limit"  # of the flow itself: its metadata holds plain data only


@dataclass(frozen=True)
class ClientLimits:
    """The limits of every connection."""

    head_bytes: int = 128 << 10  # of the request line and all header lines
    # Of bodies that are read to their end although their head was refused, so that the connection
    # stays open, and of requests that follow one before its reply.
    surplus_bytes: int = 1 << 20


@dataclass(frozen=True)
class BodyLimit:
    """The limit of one request's body."""

    max_bytes: int
    refuse: Callable[[], None]  # gives the flow its reply; called once, past the limit


_limits = ClientLimits()
# Clients that send a request or could send one → monotonic time of their last progress.
_waiting_clients: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()


def set_client_limits(limits: ClientLimits) -> None:
    global _limits
    _limits = limits


def client_limits() -> ClientLimits:
    """The limits in force."""
    return _limits


def limit_body(flow: HTTPFlow, limit: BodyLimit) -> None:
    """Bound the flow's request body; at the latest in its `requestheaders` hook."""
    vars(flow)[BODY_LIMIT_ATTRIBUTE] = limit


def body_limit(flow: HTTPFlow) -> BodyLimit | None:
    limit: BodyLimit | None = vars(flow).get(BODY_LIMIT_ATTRIBUTE)
    return limit


def mark_progress(client: Connection) -> None:
    """The client waits for nothing from us, and has just connected or sent a piece of a body."""
    _waiting_clients[client] = time.monotonic()


def mark_waiting(client: Connection) -> None:
    """The client has no request under way. Pieces of a head are no progress."""
    if client not in _waiting_clients:
        mark_progress(client)


def mark_served(client: Connection) -> None:
    """The client waits for a reply, or its bytes are passed on."""
    _waiting_clients.pop(client, None)


def idle_clients(seconds: float) -> list[Connection]:
    """The clients that have made no progress for so long."""
    limit = time.monotonic() - seconds
    return [client for client, since in list(_waiting_clients.items()) if since < limit]


def close_client(proxy_server: Any, client: Connection) -> None:
    """Close a connection of mitmproxy's addon `proxyserver`, as if the client had gone."""
    handler = proxy_server.connections.get(client.id)
    transport = handler.transports.get(client) if handler else None
    if transport and transport.handler:
        transport.handler.cancel("idle")
    mark_served(client)
