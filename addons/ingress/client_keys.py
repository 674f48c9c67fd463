"""Client keys: the Bearer token of a request, the name that `relay_client_key` gives it, and which
of them is the admin's: it sees and may do all, others only what is their own."""

import base64
import hmac
import re
from weakref import WeakKeyDictionary

from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow

from addons.config import ClientKey, current_settings
from addons.flow_data import client_name, sent_header_values

ADMIN_NAME = "admin"
NOT_ADMIN = (
    "Only the admin may do this: this machine's user while relay_client_key is not set, else the"
    " key that it names admin, or its only key without a name."
)

# Clients → the key of their last CONNECT. A key that leaves the settings opens nothing any more.
_tunnel_keys: WeakKeyDictionary[Client, ClientKey] = WeakKeyDictionary()


def bearer_token(flow: HTTPFlow) -> str:
    """The request's Bearer token; "" for none, for several, and for text that cannot be a key."""
    values = sent_header_values(flow, "authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    token = token.strip(" ")
    is_key = scheme.lower() == "bearer" and re.fullmatch(r"[^\s,\"']+", token)
    return token if is_key else ""


def proxy_token(flow: HTTPFlow) -> str:
    """The key that a client gives in the URL of its proxy, as `http://relay:KEY@host:port` or
    `http://KEY@host:port`; "" for none."""
    values = sent_header_values(flow, "proxy-authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        return ""
    try:
        user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password or user


def matching_key(token: str) -> ClientKey | None:
    """The client key that equals this token.

    The comparison takes the same time however much of the token is right."""
    keys, token_bytes = current_settings().client_key, token.encode("utf-8", "surrogateescape")
    matches = [
        hmac.compare_digest(token_bytes, key.secret.get_secret_value().encode()) for key in keys
    ]
    return next((key for key, match in zip(keys, matches, strict=True) if match), None)


def client_key_name(token: str) -> str | None:
    """The name of the client key that equals this token, None if no key does."""
    key = matching_key(token)
    return key.name if key else None


def note_tunnel_key(flow: HTTPFlow) -> bool:
    """Note the client key of a CONNECT for the requests in its tunnel; False if it has none."""
    if key := matching_key(proxy_token(flow)):
        _tunnel_keys[flow.client_conn] = key
    return key is not None


def take_proxy_key(flow: HTTPFlow) -> str | None:
    """The name of the client key that came by proxy, with the request or with its tunnel; None
    without one. The key is removed from the request, which may go on to another host."""
    key = matching_key(proxy_token(flow))
    if key:
        del flow.request.headers["proxy-authorization"]
    else:
        key = _tunnel_keys.get(flow.client_conn)
    return key.name if key and key in current_settings().client_key else None


def has_client_key(flow: HTTPFlow) -> bool:
    """Whether the request has one of the client keys, if there are any."""
    return not current_settings().client_key or client_key_name(bearer_token(flow)) is not None


def client_identity(flow: HTTPFlow) -> str:
    """The name of the client's key, else its address, in a form that is no name of a key."""
    address = flow.client_conn.peername[0] if flow.client_conn.peername else ""
    return client_name(flow) or f"at {address}"


def is_admin_name(name: str) -> bool:
    """Whether the key of this name, "" for a key without one, is the admin's. Any name is while
    there are no keys."""
    keys = current_settings().client_key
    unnamed_count = sum(not key.name for key in keys)
    return not keys or name == ADMIN_NAME or (not name and unnamed_count == 1)


def is_admin(flow: HTTPFlow) -> bool:
    """Whether the sender of a request that was let in sees and may do all."""
    return is_admin_name(client_name(flow))
