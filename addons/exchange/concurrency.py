"""How many exchanges run at the same time: in all, and for each client."""

from weakref import WeakKeyDictionary

from mitmproxy.http import HTTPFlow

from addons.config import current_settings
from addons.ingress import client_identity, refuse_flow

RETRY_AFTER = 2  # s

# The flows of running exchanges, each with its client. Weak, so that a flow that ends without any
# hook frees its place.
_client_by_flow: WeakKeyDictionary[HTTPFlow, str] = WeakKeyDictionary()


def admit_exchange(flow: HTTPFlow) -> bool:
    """Let the flow's exchange start and return True; past a limit, reply with a 429.

    `release_exchange` ends what was admitted.
    """
    limits, client = current_settings().max_exchanges, client_identity(flow)
    clients = list(_client_by_flow.values())
    if len(clients) >= limits.in_all:
        refuse_exchange(flow, f"The relay has {limits.in_all} requests under way")
        return False
    if clients.count(client) >= limits.per_client:
        refuse_exchange(flow, f"This client has {limits.per_client} requests under way")
        return False
    _client_by_flow[flow] = client
    return True


def release_exchange(flow: HTTPFlow) -> None:
    """Note that the flow has ended, whether it was admitted or not."""
    _client_by_flow.pop(flow, None)


def running_exchanges() -> int:
    return len(_client_by_flow)


def refuse_exchange(flow: HTTPFlow, reason: str) -> None:
    message = f"{reason}, as many as relay_max_exchanges allows. Try again in a moment."
    refuse_flow(flow, 429, message, "rate_limit_exceeded", retry_after=str(RETRY_AFTER))
