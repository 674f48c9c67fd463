"""Client keys: the Bearer token of a request, and the name that `relay_client_key` gives it."""

import hmac
import re

from mitmproxy.http import HTTPFlow

from addons.config import current_settings
from addons.flow_data import sent_header_values


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
