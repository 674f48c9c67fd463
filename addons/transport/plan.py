"""The `RelayPlan` of a flow, by which `transport` relays it."""

from collections.abc import Callable, Mapping
from typing import Protocol

from mitmproxy.http import Headers, HTTPFlow, Request

from translate import Exchange, StreamStart

PLAN_ATTRIBUTE = "relay_plan"  # of the flow itself: its metadata holds plain data only


class RelayPlan(Protocol):
    """How a flow is relayed to its upstream. `transport` calls it in the thread of the proxy.

    The request is read whole before it is sent; a streamed reply reaches the client in chunks.
    """

    exchange: Exchange
    upstream_request: Request  # sent in place of the flow's own, which is not changed
    reply_limit: int  # bytes of the body of a reply, decoded
    silence_limit: float  # s without a byte from the upstream until the attempt counts as dead
    heartbeat_interval: float  # s without a byte to the client until a heartbeat is sent; 0: never

    def credentials(self) -> Mapping[str, str]:
        """The headers with the key, read as each attempt is sent; never put on the flow."""

    def start_probe(self) -> Callable[[bytes], StreamStart]:
        """A function that reads the start of a reply.

        `transport` calls it with each piece, and with b"" at the end, until it returns anything but
        "pending".
        """

    def retry_delay(self, error: str | None, attempt: int) -> float | None:
        """Seconds until the next attempt at the same upstream; None: no further attempt. It may set
        another `upstream_request` for that attempt.

        `error` is that of a failed connection; without one, the flow's response is the failure.
        """

    def is_ready(self) -> bool:
        """Whether the next attempt can be sent. `transport` waits for that for at most
        `silence_limit` after the pause. It may set another `upstream_request`, too."""

    async def try_fallback(self) -> None:
        """Attach the plan for the next candidate to the flow, if there is one. The stream waits
        for it; the event loop does not.

        The flow's response is the failure; without one, the connection failed.
        """

    def is_writing(self) -> bool:
        """Whether the response is being stored. The client gets the end of its reply after that."""

    async def finish_write(self) -> None:
        """Wait until the response is stored, or cannot be; for a bounded time."""

    def stream_headers(self) -> Headers:
        """The headers of the streamed reply, for a heartbeat that precedes the upstream's head."""

    def relay_headers(self) -> Mapping[str, str]:
        """The relay's headers for a reply that the transport writes in place of the upstream's."""

    def on_client_bytes(self, data: bytes) -> None:
        """Called for each piece of a streamed reply that the client gets."""

    def on_upstream_bytes(self, data: bytes) -> None:
        """Called for each piece of a streamed reply that the upstream sends."""


def attach_plan(flow: HTTPFlow, plan: RelayPlan) -> None:
    """Let `transport` relay the flow by this plan; at the latest in the flow's `request` hook."""
    # Not in a WeakKeyDictionary: a plan that refers to its flow would keep both for ever.
    vars(flow)[PLAN_ATTRIBUTE] = plan


def detach_plan(flow: HTTPFlow) -> None:
    """Remove the plan of a finished flow. The plan refers to the flow, and without this cycle both
    are freed at once."""
    vars(flow).pop(PLAN_ATTRIBUTE, None)


def plan_of(flow: HTTPFlow) -> RelayPlan | None:
    """The flow's plan, if it is relayed."""
    plan: RelayPlan | None = vars(flow).get(PLAN_ATTRIBUTE)
    return plan
