"""The options of the small HTTP requests that the relay itself makes."""

import logging
import ssl
from functools import cache
from typing import Any

import certifi
from mitmproxy import ctx

from addons.identity import USER_AGENT

REQUEST_TIMEOUT = 20.0  # s for a whole request

logging.getLogger("httpcore2").setLevel(logging.INFO)  # at DEBUG it logs the cookies of replies


def client_options(timeout: float = REQUEST_TIMEOUT) -> dict[str, Any]:
    """Arguments for a client of httpx2. `timeout`: s for a whole request."""
    return {
        "headers": {"user-agent": USER_AGENT},
        "timeout": timeout,
        "trust_env": False,  # the proxy that the environment names may be the relay itself
        "follow_redirects": False,  # another host must not get the key
        "verify": tls_context(ctx.options.ssl_verify_upstream_trusted_ca, ctx.options.ssl_insecure),
    }


@cache
def tls_context(authorities_file: str | None, insecure: bool) -> ssl.SSLContext:
    """The TLS settings that mitmproxy's options ask for. `authorities_file`: PEM, or certifi's.

    Cached, as reading the authorities takes longer than most requests.
    """
    context = ssl.create_default_context(cafile=authorities_file or certifi.where())
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
