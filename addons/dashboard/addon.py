"""The dashboard on the relay's own port and on mitmweb's.

Its pages come from a server inside this process, to which the relay forwards requests."""

import secrets
from typing import Any
from urllib.parse import quote

from mitmproxy import ctx
from mitmproxy.http import HTTPFlow
from mitmproxy.tools.web.app import AuthRequestHandler
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from addons.dashboard.handlers import (
    EVERYBODY,
    HANDLERS,
    INNER_HEADER,
    MITMWEB_HANDLERS,
    SCHEME_HEADER,
    VIEWER_HEADER,
    MissingPageHandler,
)
from addons.dashboard.state import DashboardAccounts, DashboardState
from addons.flow_data import MASK, client_name, hidden_values
from addons.ingress import ROUTE_KEY, Route, is_admin, refuse_flow, route_of
from addons.observe import view_addon

MAX_BODY_SIZE = 65_536  # bytes


class Dashboard:
    """Forwards requests to its server, whose own port serves only requests with a secret."""

    server: HTTPServer | None = None
    inner_port = 0

    def __init__(self, accounts: DashboardAccounts | None = None) -> None:
        self.dashboard_state = DashboardState(accounts)
        self.inner_secret = secrets.token_hex(32)
        self.mitmweb_rules: list[Any] = []

    def running(self) -> None:
        self.dashboard_state.start_publishing()
        arguments = {"state": self.dashboard_state, "inner_secret": self.inner_secret}
        rules = [*HANDLERS, (".*", MissingPageHandler)]
        application = Application(
            [(path, handler, arguments) for path, handler in rules],
            log_function=lambda handler: None,
        )
        self.server = HTTPServer(
            application, max_body_size=MAX_BODY_SIZE, max_buffer_size=MAX_BODY_SIZE * 2
        )
        sockets = bind_sockets(0, "127.0.0.1")
        self.server.add_sockets(sockets)
        self.inner_port = sockets[0].getsockname()[1]
        self.mitmweb_rules = add_to_mitmweb(self.dashboard_state)

    def request(self, flow: HTTPFlow) -> None:
        if not is_dashboard_request(flow):
            return
        if not self.inner_port:
            refuse_flow(flow, 503, "The relay is still starting.", "starting")
            return
        remove_from_view(flow)
        request = flow.request
        scheme, host = request.scheme, request.host_header
        request.scheme, request.host, request.port = "http", "127.0.0.1", self.inner_port
        request.headers["host"] = host or f"127.0.0.1:{flow.client_conn.sockname[1]}"
        request.headers[SCHEME_HEADER] = scheme
        request.headers[VIEWER_HEADER] = EVERYBODY if is_admin(flow) else quote(client_name(flow))
        request.headers[INNER_HEADER] = MASK  # the transport puts the secret in its place
        hidden_values(flow).request_headers[INNER_HEADER] = [self.inner_secret]

    def responseheaders(self, flow: HTTPFlow) -> None:
        if flow.response and is_forwarded(flow):
            content_type = flow.response.headers.get("content-type", "")
            flow.response.stream = content_type == "text/event-stream"

    def response(self, flow: HTTPFlow) -> None:
        body = flow.response.raw_content if flow.response else None
        if flow.response and body and is_forwarded(flow):
            hidden_values(
                flow
            ).reply_body = body  # saved flows must not name the owners of accounts
            flow.response.raw_content = MASK.encode()

    def done(self) -> None:
        self.dashboard_state.stop_publishing()
        if self.server:
            self.server.stop()
        for rule in self.mitmweb_rules:
            mitmweb_application().default_router.rules.remove(rule)
        self.server, self.mitmweb_rules = None, []


def is_dashboard_request(flow: HTTPFlow) -> bool:
    if not flow.live or flow.response or flow.is_replay:
        return False
    return route_of(flow) is Route.DASHBOARD


def is_forwarded(flow: HTTPFlow) -> bool:
    """Whether the request went to the dashboard's server."""
    is_dashboard = flow.metadata.get(ROUTE_KEY) == Route.DASHBOARD and flow.live
    return bool(is_dashboard) and INNER_HEADER in flow.request.headers


def remove_from_view(flow: HTTPFlow) -> None:
    """Remove the flow from mitmweb's list, which is for the traffic that the user watches."""
    if (view := view_addon()) is not None:
        live, flow.live = flow.live, False  # else the view would kill it
        view.remove([flow])
        flow.live = live


def mitmweb_application() -> Any:
    """mitmweb's tornado application, None in mitmdump and mitmproxy."""
    return getattr(ctx.master, "app", None)


def add_to_mitmweb(state: DashboardState) -> list[Any]:
    """Serve the pages on mitmweb's port as well, behind its login. Returns the rules it added."""
    application = mitmweb_application()
    if application is None:
        return []
    addons: Any = ctx.master.addons
    addresses = addons.get("proxyserver").listen_addrs()
    port = addresses[0][1] if addresses else ctx.options.listen_port or 8080
    arguments = {"state": state, "inner_secret": None, "relay_port": port}
    rules = application.default_router.rules
    old_rules = list(rules)
    application.add_handlers(
        r".*",
        [(path, behind_mitmweb_login(handler), arguments) for path, handler in MITMWEB_HANDLERS],
    )
    return [rule for rule in rules if rule not in old_rules]


def behind_mitmweb_login(handler: type[Any]) -> type[Any]:
    """The handler with mitmweb's login, which wraps the methods of each class derived from it."""
    return type(handler.__name__, (handler, AuthRequestHandler), {})
