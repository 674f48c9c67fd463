"""Browser clients: pages of this machine and of `relay_hosts` may use the model routes.

https://fetch.spec.whatwg.org/#http-cors-protocol. Accounts and the dashboard are not for them.
"""

from mitmproxy.http import HTTPFlow

from addons.ingress.access import familiar, hostname
from addons.ingress.local_reply import answer
from addons.ingress.routes import RELAYED, Route, route_of
from addons.transport import relay_stream as transport

OPEN = RELAYED | {Route.MODELS, Route.MODEL, Route.PREFLIGHT}
MAY = {
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-max-age": "600",  # s
    "access-control-allow-private-network": "true",  # the page is of the user's own
}
SHOWN = "x-relay-provider, x-relay-model, x-relay-dropped, server-timing, retry-after"


class Cors:
    def request(self, flow: HTTPFlow) -> None:
        if flow.live and not flow.response and route_of(flow) is Route.PREFLIGHT:
            wanted = flow.request.headers.get("access-control-request-headers", "*")
            answer(flow, 204, b"", **MAY, access_control_allow_headers=wanted)

    def response(self, flow: HTTPFlow) -> None:
        if flow.response:
            flow.response.headers.update(allowed(flow))


def allowed(flow: HTTPFlow) -> dict[str, str]:
    """The headers by which the page that asked may read the reply."""
    origin = flow.request.headers.get("origin", "")
    if not transport.own(flow) or route_of(flow) not in OPEN or not familiar(hostname(origin)):
        return {}
    shown = {"access-control-expose-headers": SHOWN, "vary": "origin"}
    return {"access-control-allow-origin": origin, **shown}
