"""What a client may send before the relay refuses it: `ingress` sets the limits here, and
`client_connections` and `relay_stream` keep them while bytes arrive."""

from collections.abc import Callable
from dataclasses import dataclass

from mitmproxy.http import HTTPFlow

BODY_LIMIT_ATTRIBUTE = "relay_body_limit"  # of the flow itself: its metadata holds plain data only


@dataclass(frozen=True)
class ClientLimits:
    """The limits of every connection."""

    head_bytes: int = 128 << 10  # of the request line and all header lines
    # Of bodies that are read to their end although their head was refused, so that the connection
    # stays open.
    surplus_bytes: int = 1 << 20


@dataclass(frozen=True)
class BodyLimit:
    """The limit of one request's body."""

    max_bytes: int
    refuse: Callable[[], None]  # gives the flow its reply; called once, past the limit
    # Whether there is room for a body of this size; if not, the flow has its reply.
    hold: Callable[[int], bool] = lambda size: True

    def admit_size(self, size: int) -> bool:
        """Whether the body may grow to this size; if not, the flow has its reply."""
        if size > self.max_bytes:
            self.refuse()
            return False
        return self.hold(size)


_limits = ClientLimits()


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
