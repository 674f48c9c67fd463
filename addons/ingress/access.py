"""Who may talk to us, and which TLS hosts are opened; what is not opened passes untouched."""

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from mitmproxy import connection, http, tls
from mitmproxy.proxy import server_hooks

from addons.config import addon as config
from addons.flow_data import CLIENT, OWN, PORT
from addons.ingress import routes
from addons.ingress import session_cookie as door
from addons.ingress.client_keys import accepted, bearer
from addons.ingress.local_reply import refuse
from addons.ingress.routes import OPENAI, Route
from addons.transport import relay_stream as transport

# What needs the client key on OpenAI's hosts. On our own port all does, except FREE: with a
# preflight no browser sends a key.
FREE = frozenset({Route.HEALTH, Route.PREFLIGHT})
KEYED = routes.STORED | {*routes.RELAYED, Route.MODELS}


class Guard:
    def client_connected(self, client: connection.Client) -> None:
        if remote(client) and not config.settings().client_key:
            client.error = "codex-relay serves this machine only, unless relay_client_key is set"

    def http_connect(self, flow: http.HTTPFlow) -> None:
        if not flow.response and astray(flow):
            refuse(flow, 403, f"No tunnel to {flow.request.host} for clients on other machines.")

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        # A tunnel to ourselves would come from this machine, and be trusted as such.
        if data.server.address and at_us(data.client, *data.server.address[:2]):
            data.server.error = "codex-relay does not connect to itself"

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        if address := data.context.server.address:  # else it is TLS to our own port
            name = data.client_hello.sni or address[0]
            ours = at_us(data.context.client, *address[:2])
            data.ignore_connection = not ours and name.lower().rstrip(".") not in OPENAI

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.response or flow.is_replay == "request":  # that is its user's own command
            return
        if not flow.live:  # it is read from a file
            return
        if at_us(flow.client_conn, flow.request.host, flow.request.port):
            # HTTP_PROXY is often applied to loopback as well
            flow.metadata[OWN], flow.metadata[PORT] = True, flow.request.port
        if remote(flow.client_conn) and not config.settings().client_key:
            refuse(flow, 403, "relay_client_key is not set any more.")
        elif astray(flow):
            refuse(flow, 403, f"No way to {flow.request.host} for clients on other machines.")
        elif transport.own(flow):
            check_address(flow)
        if not flow.response and not admitted(flow):
            status = 401 if transport.own(flow) else 400  # at a 401 Codex refreshes its login
            message = "relay_client_key is set, and this request has no such key as Bearer."
            refuse(flow, status, message, "invalid_api_key")


def check_address(flow: http.HTTPFlow) -> None:
    """Against pages in the user's browser: a name that leads to us, a page that posts to us."""
    host = hostname(f"//{flow.request.host_header or flow.request.host}")
    origin = flow.request.headers.get("origin")
    if not familiar(host):
        message = f"This port does not answer for {host!r}; relay_hosts may name it."
        refuse(flow, 421, message, "misdirected_request")
    elif origin is not None and not familiar(hostname(origin)):
        message = f"No requests from pages of {origin!r}; relay_hosts may name its host."
        refuse(flow, 403, message, "foreign_origin")


def hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def familiar(host: str) -> bool:
    return (
        host == "localhost"
        or host.endswith(".localhost")
        or is_loopback(host)
        or host in config.settings().hosts
    )


def is_loopback(address: str) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def remote(client: connection.Client) -> bool:
    """Whether the client is on another machine; mitmproxy's local mode has only this one's."""
    return client.proxy_mode.type_name != "local" and not is_loopback(client.peername[0])


def at_us(client: connection.Client, host: str, port: int) -> bool:
    """Whether the address is that of our own port."""
    ports = {client.sockname[1], *config.ports()}
    return port in ports and familiar(host.lower())


def astray(flow: http.HTTPFlow) -> bool:
    """Whether a client on another machine wants more than us and OpenAI's hosts."""
    host, port = flow.request.host.lower(), flow.request.port
    return (
        remote(flow.client_conn)
        and not transport.own(flow)
        and host not in OPENAI
        and not at_us(flow.client_conn, host, port)
    )


def admitted(flow: http.HTTPFlow) -> bool:
    """Whether the request has a client key or needs none. The key's name goes on the flow."""
    route = routes.route_of(flow)
    needed = route not in FREE if transport.own(flow) else route in KEYED
    if not config.settings().client_key or not needed:
        return True
    name = accepted(bearer(flow))
    flow.metadata[CLIENT] = name or ""
    return name is not None or (route is Route.DASHBOARD and door.opens(flow))
