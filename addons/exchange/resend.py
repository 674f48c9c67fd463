"""The flows that `relay.resend` makes: an earlier request once more, on a flow of its own."""

from weakref import WeakSet

from mitmproxy.connection import Server
from mitmproxy.http import HTTPFlow

from addons.flow_data import CLIENT_NAME, OWN_PORT, RESENT_FROM

COPIED_METADATA = OWN_PORT, CLIENT_NAME

# Not copied: they are masked on the flow, or belong to a login that may have ended. The relay sends
# its own key.
CREDENTIALS = ("authorization", "proxy-authorization", "cookie", "x-api-key", "api-key")

# Not a key in the metadata: a file of flows could bring one.
_resent_flows: WeakSet[HTTPFlow] = WeakSet()


def copy_for_resend(flow: HTTPFlow) -> HTTPFlow:
    """A new flow with the same request, which the relay accepts as from the same client."""
    request = flow.request.copy()
    for name in CREDENTIALS:
        request.headers.pop(name, None)
    resent = HTTPFlow(flow.client_conn, Server(address=(request.host, request.port)))
    resent.request = request
    resent.metadata[RESENT_FROM] = flow.id
    for name in COPIED_METADATA:
        if name in flow.metadata:
            resent.metadata[name] = flow.metadata[name]
    resent.comment = f"resent from {flow.id}"
    _resent_flows.add(resent)
    return resent


def is_resent(flow: HTTPFlow) -> bool:
    """Whether `copy_for_resend` made this flow and the flow has not ended."""
    return flow in _resent_flows


def forget_resent(flow: HTTPFlow) -> None:
    """Note that the flow has ended."""
    if flow in _resent_flows:
        _resent_flows.discard(flow)
        flow._backup = None  # made before the reply came: to revert to it would remove the reply
