"""Client keys: the Bearer token of a request, the name that `relay_client_key` gives it, and which
of them is the admin's: it sees and may do all, others only what is their own."""

import hmac
import re

from mitmproxy.http import HTTPFlow

from addons.config import current_settings
from addons.flow_data import client_name, sent_header_values

ADMIN_NAME = "admin"
NOT_ADMIN = (
    "Only the admin may do this: this machine's user while relay_client_key is not set, else the"
    " key that it names admin, or its only key without a name."
)


def bearer_token(flow: HTTPFlow) -> str:
    """The request's Bearer token; "" for none, for several, and for text that cannot be a key."""
    values = sent_header_values(flow, "authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    token = token.strip(" ")
    is_key = scheme.lower() == "bearer" and re.fullmatch(r"[^\s,\"']+", token)
    return token if is_key else ""


def client_key_name(token: str) -> str | None:
    """The name of the client key that equals this token, None if no key does.

    The comparison takes the same time however much of the token is right."""
    keys, token_bytes = current_settings().client_key, token.encode("utf-8", "surrogateescape")
    matches = [
        hmac.compare_digest(token_bytes, key.secret.get_secret_value().encode()) for key in keys
    ]
    return next((key.name for key, match in zip(keys, matches, strict=True) if match), None)


def has_client_key(flow: HTTPFlow) -> bool:
    """Whether the request has one of the client keys, if there are any."""
    return not current_settings().client_key or client_key_name(bearer_token(flow)) is not None


def is_admin_name(name: str) -> bool:
    """Whether the key of this name, "" for a key without one, is the admin's. Any name is while
    there are no keys."""
    keys = current_settings().client_key
    unnamed_count = sum(not key.name for key in keys)
    return not keys or name == ADMIN_NAME or (not name and unnamed_count == 1)


def is_admin(flow: HTTPFlow) -> bool:
    """Whether the sender of a request that was let in sees and may do all."""
    return is_admin_name(client_name(flow))
