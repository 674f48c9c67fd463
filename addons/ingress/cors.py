"""CORS: web pages of this machine and of `relay_hosts` may call the model routes.

https://fetch.spec.whatwg.org/#http-cors-protocol. Accounts and the dashboard are closed to them.
"""

from mitmproxy.http import HTTPFlow

from addons.flow_data import is_own_port
from addons.ingress.hosts import is_trusted_host, url_host
from addons.ingress.routes import RELAYED_ROUTES, Route, route_of

CORS_ROUTES = RELAYED_ROUTES | {Route.MODELS, Route.MODEL, Route.PREFLIGHT}
EXPOSED_HEADERS = "x-relay-provider, x-relay-model, x-relay-dropped, server-timing, retry-after"


def cors_headers(flow: HTTPFlow) -> dict[str, str]:
    """The reply headers that let the requesting page read the reply; none if it may not."""
    origin = flow.request.headers.get("origin")
    if not origin or not is_own_port(flow) or route_of(flow) not in CORS_ROUTES:
        return {}
    if not is_trusted_host(url_host(origin)):
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": EXPOSED_HEADERS,
        "vary": "origin",
    }


def preflight_headers(flow: HTTPFlow) -> dict[str, str]:
    """What the reply to a preflight has in addition to `cors_headers`."""
    return {
        "access-control-allow-methods": "GET, POST, OPTIONS",
        "access-control-allow-headers": flow.request.headers.get(
            "access-control-request-headers", "*"
        ),
        "access-control-allow-private-network": "true",  # the user's own page may reach loopback
        "access-control-max-age": "600",  # s
    }
