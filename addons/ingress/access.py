"""Which clients may send which requests, and with which key."""

from urllib.parse import urlsplit

from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow

from addons.config import additional_ports, current_settings
from addons.flow_data import CLIENT_NAME, OWN_PORT, REQUESTED_PORT, is_own_port
from addons.ingress.client_keys import (
    bearer_token,
    client_key_name,
    note_tunnel_key,
    take_proxy_key,
)
from addons.ingress.hosts import is_loopback_address, is_trusted_host, url_host
from addons.ingress.listeners import listening_ports
from addons.ingress.local_reply import refuse_flow
from addons.ingress.routes import OPENAI_HOSTS, RELAYED_ROUTES, STORED_ROUTES, Route, route_of
from addons.ingress.session_cookie import is_public_page, session_key_name

OPENAI_PORTS = frozenset({80, 443})  # of the API
DEFAULT_PORTS = {"http": 80, "https": 443}
RELAY_PORT = 8080  # where mitmproxy listens by default
# On the relay's own port every route but these needs the client key. Browsers send no key with a
# preflight.
KEYLESS_ROUTES = frozenset({Route.HEALTH, Route.PREFLIGHT})
# On OpenAI's hosts clients on this machine need it for these only: requests for OpenAI itself carry
# OpenAI's keys.
KEYED_OPENAI_ROUTES = STORED_ROUTES | {*RELAYED_ROUTES, Route.INPUT_TOKENS, Route.MODELS}


def check_access(flow: HTTPFlow) -> None:
    """Refuse a request that this client may not send.

    Notes on the flow whether the request is for the relay's own port, and which client key it has.
    """
    client, request = flow.client_conn, flow.request
    if is_relay_address(client, request.host, request.port):
        # Clients that use the relay as their proxy often use it for loopback as well.
        flow.metadata[OWN_PORT], flow.metadata[REQUESTED_PORT] = True, request.port
    if is_remote_client(client) and not current_settings().client_key:
        refuse_flow(flow, 403, "relay_client_key is no longer set.")
    elif is_forbidden_target(flow):
        message = f"Clients on other machines cannot reach {request.host} through the relay."
        refuse_flow(flow, 403, message)
    elif is_own_port(flow):
        check_host_and_origin(flow)
    if not flow.response:
        check_client_key(flow)


def check_host_and_origin(flow: HTTPFlow) -> None:
    """Refuse two kinds of pages in the user's browser: those whose own host name resolves to this
    machine (DNS rebinding), and those of other sites that post here."""
    host = url_host(f"//{flow.request.host_header or flow.request.host}")
    origin = flow.request.headers.get("origin")
    if not is_trusted_host(host):
        message = f"This port does not answer for the host {host!r}. relay_hosts can allow it."
        refuse_flow(flow, 421, message, "misdirected_request")
    elif origin is not None and not is_trusted_host(url_host(origin)):
        message = f"Pages of {origin!r} may not send requests. relay_hosts can allow their host."
        refuse_flow(flow, 403, message, "foreign_origin")


def check_client_key(flow: HTTPFlow) -> None:
    """Refuse a request without the client key that its route needs."""
    route, own_port = route_of(flow), is_own_port(flow)
    if not current_settings().client_key:
        return
    proxy_name = None if own_port else take_proxy_key(flow)
    if not needs_client_key(flow):
        return
    name = client_key_name(bearer_token(flow))
    if name is None:
        name = proxy_name
    if name is None and route is Route.DASHBOARD:
        name = session_key_name(flow)
    flow.metadata[CLIENT_NAME] = name or ""
    if name is None and not (route is Route.DASHBOARD and is_public_page(flow)):
        status = 401 if own_port else 400  # after a 401 of OpenAI's, Codex refreshes its login
        message = "relay_client_key is set: send one of its keys as `Authorization: Bearer KEY`."
        refuse_flow(flow, status, message, "invalid_api_key")


def needs_client_key(flow: HTTPFlow) -> bool:
    """Whether the request needs a client key where there are any.

    The relay is no open door to OpenAI: clients on other machines need one for all requests."""
    if is_own_port(flow):
        return route_of(flow) not in KEYLESS_ROUTES
    return route_of(flow) in KEYED_OPENAI_ROUTES or is_remote_client(flow.client_conn)


def check_tunnel(flow: HTTPFlow) -> None:
    """Refuse a CONNECT that this client may not send. Its key counts for all that is in it."""
    client, host, port = flow.client_conn, flow.request.host, flow.request.port
    if is_forbidden_target(flow):
        refuse_flow(flow, 403, f"No tunnel to {host} for clients on other machines.")
    elif not note_tunnel_key(flow) and needs_tunnel_key(client, host, port):
        message = (
            "Clients on other machines need one of relay_client_key's keys in the URL of their "
            "proxy: http://relay:KEY@host:port"
        )
        challenge = {"proxy_authenticate": 'Basic realm="mitmcodex"'}
        refuse_flow(flow, 407, message, "invalid_api_key", **challenge)


def needs_tunnel_key(client: Client, host: str, port: int) -> bool:
    """Whether a tunnel needs a key; requests to the relay itself are checked one by one."""
    return is_remote_client(client) and not is_relay_address(client, host, port)


def is_remote_client(client: Client) -> bool:
    """Whether the client is on another machine; mitmproxy's local mode captures only this one."""
    return client.proxy_mode.type_name != "local" and not is_loopback_address(client.peername[0])


def is_relay_address(client: Client, host: str, port: int) -> bool:
    """Whether the relay itself listens at this address."""
    ports = {client.sockname[1], *additional_ports()}
    return port in ports and is_trusted_host(host.lower())


def is_own_url(url: str) -> bool:
    """Whether the relay itself listens at this URL's host and port."""
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    return is_trusted_host((parts.hostname or "").lower()) and port in listening_ports()


def self_connection_step(port: int | None) -> str:
    """What the user can do when the relay would connect to itself at this port."""
    reason = " (llama.cpp's usual port is the relay's, too)" if port == RELAY_PORT else ""
    return f"start the relay on another port, as with -p 8090{reason}, or correct the URL"


def is_forbidden_target(flow: HTTPFlow) -> bool:
    """Whether a client on another machine asks for what is neither the relay nor OpenAI's API."""
    host, port = flow.request.host.lower(), flow.request.port
    return (
        is_remote_client(flow.client_conn)
        and not is_own_port(flow)
        and (host not in OPENAI_HOSTS or port not in OPENAI_PORTS)
        and not is_relay_address(flow.client_conn, host, port)
    )
