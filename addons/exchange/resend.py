"""Which flows `relay.resend` has made: a request once more, on a flow of its own."""

from weakref import WeakSet

from mitmproxy.connection import Server
from mitmproxy.http import HTTPFlow

from addons.flow_data import CLIENT, OWN, RESENT

KEPT = OWN, CLIENT
DECLINED = "relay.declined"  # in the metadata: mitmproxy's own replay has taken its reply

# Masked on the flow, or of a login that may be over: the relay's own key goes up.
CREDENTIALS = ("authorization", "proxy-authorization", "cookie", "x-api-key", "api-key")

# Not in the metadata, which a file may bring.
_ours: WeakSet[HTTPFlow] = WeakSet()


def copy(flow: HTTPFlow) -> HTTPFlow:
    """The flow's request on a flow that the relay takes as its user's own."""
    request = flow.request.copy()
    for name in CREDENTIALS:
        request.headers.pop(name, None)
    made = HTTPFlow(flow.client_conn, Server(address=(request.host, request.port)))
    made.request = request
    made.metadata[RESENT] = flow.id
    made.metadata.update((name, flow.metadata[name]) for name in KEPT if name in flow.metadata)
    made.comment = f"resent from {flow.id}"
    _ours.add(made)
    return made


def resent(flow: HTTPFlow) -> bool:
    """Whether this flow is such a one, and has not ended."""
    return flow in _ours


def ended(flow: HTTPFlow) -> None:
    if flow in _ours:
        _ours.discard(flow)
        flow._backup = None  # the replay's, from before: to revert to it would undo the reply
