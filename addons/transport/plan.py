"""How the flow of an exchange is relayed: its `RelayPlan`, which `transport` follows."""

from collections.abc import Callable, Mapping
from typing import Protocol

from mitmproxy.http import Headers, HTTPFlow, Request

from translate import Exchange, StreamStart

PLAN_ATTRIBUTE = "relay_plan"  # of the flow itself: its metadata holds plain data only


class RelayPlan(Protocol):
    """One flow's way to its upstream and back. `transport` calls it, in the thread of the proxy.

    The request is read whole before it is sent; a streamed reply reaches the client in chunks.
    """

    exchange: Exchange
    upstream_request: Request  # sent in place of the flow's own, which stays as the client sent it
    silence_limit: float  # s without a byte from the upstream until the attempt counts as dead
    heartbeat_interval: float  # s without a byte to the client until a heartbeat is sent; 0: never

    def credentials(self) -> Mapping[str, str]:
        """The headers with the key, read when an attempt leaves. They are kept off the flow."""

    def start_probe(self, encoding: str) -> Callable[[bytes], StreamStart]:
        """A reader for the first bytes of a reply with this content-encoding.

        It is fed, b"" at the end, until its answer is no longer "pending".
        """

    def retry_delay(self, error: str | None, attempt: int) -> float | None:
        """Seconds until the next attempt at the same upstream; None: no further attempt.

        `error` is a failed connection's; without one, the flow's response is the failure.
        """

    def is_ready(self) -> bool:
        """Whether the next attempt can leave. It waits for at most `silence_limit`."""

    def try_fallback(self, error: str | None) -> bool:
        """Attach the plan for the next candidate to the flow; False if there is no candidate."""

    def stream_headers(self) -> Headers:
        """Those of the streamed reply, for a heartbeat that precedes the upstream's head."""

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
    """Remove the plan of a finished flow. It refers to the flow, so both are freed at once."""
    vars(flow).pop(PLAN_ATTRIBUTE, None)


def plan_of(flow: HTTPFlow) -> RelayPlan | None:
    """The flow's plan, if it is relayed."""
    plan: RelayPlan | None = vars(flow).get(PLAN_ATTRIBUTE)
    return plan
