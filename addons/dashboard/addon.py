"""The pages on the relay's own port and on mitmweb's."""

import secrets
from typing import Any

from mitmproxy import ctx
from mitmproxy.http import HTTPFlow
from mitmproxy.tools.web.app import AuthRequestHandler
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from addons.dashboard.handler import INNER, SCHEME
from addons.dashboard.handlers import HANDLERS, Other
from addons.dashboard.state import Accounts, Desk
from addons.flow_data import MASK, hidden_of
from addons.ingress.local_reply import refuse
from addons.ingress.routes import Route, route_of
from addons.observe import flow_pair as rows

EVENTS = "text/event-stream"
LARGEST = 65_536  # bytes of a request's body


class Dashboard:
    """Its server has a port of its own, which only we know how to ask."""

    server: HTTPServer | None = None
    port = 0

    def __init__(self, accounts: Accounts | None = None) -> None:
        self.desk = Desk(accounts)
        self.secret = secrets.token_hex(32)
        self.mounted: list[Any] = []  # in mitmweb

    def running(self) -> None:
        self.desk.open()
        given = {"desk": self.desk, "inner": self.secret}
        sockets = bind_sockets(0, "127.0.0.1")
        served = [(path, handler, given) for path, handler in [*HANDLERS, (".*", Other)]]
        app = Application(served, log_function=lambda handler: None)
        self.server = HTTPServer(app, max_body_size=LARGEST, max_buffer_size=LARGEST * 2)
        self.server.add_sockets(sockets)
        self.port = sockets[0].getsockname()[1]
        self.mounted = mount(self.desk)

    def request(self, flow: HTTPFlow) -> None:
        if not ours(flow):
            return
        if not self.port:
            refuse(flow, 503, "The relay is still starting.", "starting")
            return
        unlist(flow)
        scheme, host = flow.request.scheme, flow.request.host_header
        flow.request.scheme, flow.request.host, flow.request.port = "http", "127.0.0.1", self.port
        flow.request.headers["host"] = host or f"127.0.0.1:{flow.client_conn.sockname[1]}"
        flow.request.headers[SCHEME] = scheme
        flow.request.headers[INNER] = MASK  # the transport puts the secret in its place
        hidden_of(flow).request[INNER] = [self.secret]

    def responseheaders(self, flow: HTTPFlow) -> None:
        told = flow.response.headers.get("content-type", "") if flow.response else ""
        if flow.response and flow.live and INNER in flow.request.headers:
            flow.response.stream = told == EVENTS

    def response(self, flow: HTTPFlow) -> None:
        body = flow.response.raw_content if flow.response else None
        if flow.response and body and flow.live and INNER in flow.request.headers:
            hidden_of(flow).body = body  # whom it is about is nobody's who reads a saved flow
            flow.response.raw_content = MASK.encode()

    def done(self) -> None:
        self.desk.close()
        if self.server:
            self.server.stop()
        for rule in self.mounted:
            web().default_router.rules.remove(rule)
        self.server, self.mounted = None, []


def ours(flow: HTTPFlow) -> bool:
    admitted = flow.live and not flow.response and not flow.is_replay
    return bool(admitted) and route_of(flow) is Route.DASHBOARD


def unlist(flow: HTTPFlow) -> None:
    """Take it out of mitmweb's list of flows, which would show how somebody looks at it."""
    if view := rows.viewer():
        live, flow.live = flow.live, False  # else it would be killed
        view.remove([flow])
        flow.live = live


def web() -> Any:
    """mitmweb's own application; None where something else runs."""
    return getattr(ctx.master, "app", None)


def mount(desk: Desk) -> list[Any]:
    """The same pages on mitmweb's port, behind its login; gives the rules that were added."""
    app = web()
    if app is None:
        return []
    addons: Any = ctx.master.addons
    addresses = addons.get("proxyserver").listen_addrs()
    port = addresses[0][1] if addresses else ctx.options.listen_port or 8080
    given = {"desk": desk, "inner": None, "port": port}
    before = list(app.default_router.rules)
    app.add_handlers(r".*", [(path, guarded(handler), given) for path, handler in HANDLERS])
    return [rule for rule in app.default_router.rules if rule not in before]


def guarded(handler: type[Any]) -> type[Any]:
    """The handler behind mitmweb's check, which that wraps around its methods as it is derived."""
    return type(handler.__name__, (handler, AuthRequestHandler), {})
