"""How our own small requests are made: by whom, with whom they trust, and within what time."""

import logging
import ssl
from functools import cache
from typing import Any

import certifi
from mitmproxy import ctx

from addons.identity import USER_AGENT

PATIENCE = 20.0  # s for a whole request

logging.getLogger("httpcore2").setLevel(logging.INFO)  # below, it tells the cookies of replies


def session(patience: float = PATIENCE) -> dict[str, Any]:
    """What a client of httpx2's is made with."""
    return {
        "headers": {"user-agent": USER_AGENT},
        "timeout": patience,
        "trust_env": False,  # the proxy that the environment names may be ourselves
        "follow_redirects": False,  # a key is for one host
        "verify": trust(ctx.options.ssl_verify_upstream_trusted_ca, ctx.options.ssl_insecure),
    }


@cache
def trust(file: str | None, insecure: bool) -> ssl.SSLContext:
    """By mitmproxy's options, as for the requests that go through it. One for all, as reading the
    authorities takes longer than most requests."""
    made = ssl.create_default_context(cafile=file or certifi.where())
    if insecure:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made
