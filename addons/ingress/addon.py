"""Checks each connection and request: its access, then its route; then masks its secrets."""

import logging
from collections.abc import Callable

from mitmproxy.addonmanager import Loader
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tls import ClientHelloData
from mitmproxy.utils.human import format_address

from addons.config import current_settings
from addons.ingress.access import (
    check_access,
    check_tunnel,
    is_relay_address,
    is_remote_client,
)
from addons.ingress.body_budget import release_body
from addons.ingress.connection_limits import ConnectionLimits
from addons.ingress.listeners import Listeners
from addons.ingress.local_reply import JSON_HEADERS
from addons.ingress.redaction import mask_request, mask_response
from addons.ingress.request_limits import apply_limits, bound_request
from addons.ingress.routes import OPENAI_HOSTS, route_of
from addons.transport import plan_of
from translate import connection_words, error_body, printable, without_step

TUNNEL_LINE = 300  # characters of a line about a tunnel
CHECK_FAILED = "mitmcodex failed at this request; its log has the reason."


class Ingress:
    """One addon for all of this, because each addon costs time at every hook of every flow."""

    def __init__(self) -> None:
        self.listeners = Listeners()
        self.connection_limits = ConnectionLimits()

    def load(self, loader: Loader) -> None:
        self.listeners.load()

    def configure(self, updated: set[str]) -> None:
        self.listeners.configure(updated)
        apply_limits()

    def running(self) -> None:
        self.listeners.running()
        self.connection_limits.begin_sweeps()

    def done(self) -> None:
        self.connection_limits.end_sweeps()

    def client_connected(self, client: Client) -> None:
        if is_remote_client(client) and not current_settings().client_key:
            client.error = "mitmcodex serves this machine only, unless relay_client_key is set"
        else:
            self.connection_limits.admit(client)

    def http_connect(self, flow: HTTPFlow) -> None:
        if not flow.response:
            run_check(check_tunnel, flow)

    def server_connect(self, data: ServerConnectionHookData) -> None:
        # Through a tunnel to itself, the relay would see a client on this machine, and trust it.
        if data.server.address and is_relay_address(data.client, *data.server.address[:2]):
            host, port = data.server.address[:2]
            data.server.error = f"{host}:{port} is this relay itself"

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        log_failed_tunnel(data)

    def tls_clienthello(self, data: ClientHelloData) -> None:
        """Decrypt TLS to the relay and to OpenAI's hosts; all other TLS passes untouched."""
        if address := data.context.server.address:  # None for TLS to the relay's own port
            host = data.client_hello.sni or address[0]
            to_relay = is_relay_address(data.context.client, *address[:2])
            data.ignore_connection = not to_relay and host.lower().rstrip(".") not in OPENAI_HOSTS

    def requestheaders(self, flow: HTTPFlow) -> None:
        # Replays are the user's own commands; flows without a connection are read from a file.
        if flow.live and not flow.response and flow.is_replay != "request":
            run_check(check_access, flow)
            if not flow.response:
                run_check(bound_request, flow)
        if flow.response:
            flow.request.headers.pop("expect", None)  # mitmproxy would ask for the body
        else:
            route_of(flow)
        mask_request(flow)

    def response(self, flow: HTTPFlow) -> None:
        release_body(flow)

    def error(self, flow: HTTPFlow) -> None:
        release_body(flow)

    def responseheaders(self, flow: HTTPFlow) -> None:
        # The exchange masks the replies that it relays, as the account reads their cookies first.
        if plan_of(flow) is None:
            mask_response(flow)


def log_failed_tunnel(data: ServerConnectionHookData) -> None:
    """Log why TLS that would have passed untouched does not reach its host: no flow shows it."""
    if data.client.tls and not data.client.tls_established and data.server.address:
        host, port = data.server.address[:2]
        url = f"https://{format_address((host, port))}"
        # The user did not choose the URL, and cannot mend it.
        reason = without_step(connection_words(url, data.server.error or ""))
        logging.warning(printable(f"relay: no tunnel to {host}:{port}: {reason}", TUNNEL_LINE))


def run_check(check: Callable[[HTTPFlow], None], flow: HTTPFlow) -> None:
    """Check the flow, and refuse it if that fails: mitmproxy would let it pass unchecked."""
    try:
        check(flow)
    except Exception:
        logging.exception("mitmcodex failed at the check of a request")
        flow.response = Response.make(500, error_body(500, CHECK_FAILED), JSON_HEADERS)
