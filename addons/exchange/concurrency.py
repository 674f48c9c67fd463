"""How many exchanges run at the same time: in all, and for each client."""

from weakref import WeakSet

from mitmproxy.http import HTTPFlow

from addons.config import current_settings
from addons.flow_data import client_name
from addons.ingress import refuse_flow

RETRY_AFTER = 2  # s

# Weak, so that no ending of a flow can keep its place.
_running_flows: WeakSet[HTTPFlow] = WeakSet()
_flows_by_client: dict[str, WeakSet[HTTPFlow]] = {}


def admit_exchange(flow: HTTPFlow) -> bool:
    """Whether the flow's exchange may start; if not, the flow gets a 429.

    An exchange that may must be released when its flow ends."""
    limits, client = current_settings().max_exchanges, client_identity(flow)
    client_flows = _flows_by_client.get(client) or WeakSet()
    if len(_running_flows) >= limits.in_all:
        refuse_exchange(flow, f"The relay has {limits.in_all} requests under way")
    elif len(client_flows) >= limits.per_client:
        refuse_exchange(flow, f"This client has {limits.per_client} requests under way")
    else:
        _running_flows.add(flow)
        client_flows.add(flow)
        _flows_by_client[client] = client_flows
        return True
    return False


def release_exchange(flow: HTTPFlow) -> None:
    """The flow has ended; nothing happens if it was not admitted, or is released already."""
    if flow not in _running_flows:
        return
    _running_flows.discard(flow)
    client = client_identity(flow)
    if client_flows := _flows_by_client.get(client):
        client_flows.discard(flow)
    if not client_flows:
        _flows_by_client.pop(client, None)


def running_exchanges() -> int:
    return len(_running_flows)


def client_identity(flow: HTTPFlow) -> str:
    """The name of the client's key, else its address."""
    address = flow.client_conn.peername[0] if flow.client_conn.peername else ""
    return client_name(flow) or f"at {address}"


def refuse_exchange(flow: HTTPFlow, reason: str) -> None:
    message = f"{reason}, as many as relay_max_exchanges allows. Try again in a moment."
    refuse_flow(flow, 429, message, "rate_limit_exceeded", retry_after=str(RETRY_AFTER))
