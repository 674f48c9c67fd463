"""What clients bring as Bearer, and which of it is OpenAI's and must stay with OpenAI."""

import hmac
import re

from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.flow_data import sent


def bearer(flow: HTTPFlow) -> str:
    """The request's one token; none where several are sent, or what no key can be."""
    fields = sent(flow, "authorization")
    scheme, _, token = fields[0].partition(" ") if len(fields) == 1 else ("", "", "")
    token = token.strip(" ")
    fits = scheme.lower() == "bearer" and re.fullmatch(r"[^\s,\"']+", token)
    return token if fits else ""


def accepted(token: str) -> str | None:
    """The name of this client key, or None where it is none; the time that this takes does not
    tell how near it comes."""
    keys, sent = config.settings().client_key, token.encode("utf-8", "surrogateescape")
    fits = [hmac.compare_digest(sent, key.secret.get_secret_value().encode()) for key in keys]
    return next((key.name for key, fit in zip(keys, fits, strict=True) if fit), None)
