"""The dashboard's session cookie, for browsers, which cannot send a Bearer key as they navigate.

A browser gets it for a client key. The relay signs cookies and stores none; a cookie is valid for
a limited time, as long as its client key is, and for this process alone.
"""

import hmac
import re
import secrets
import time
from collections.abc import Iterable

from mitmproxy.http import HTTPFlow

from addons.config import current_settings
from addons.flow_data import sent_header_values

# Cookies know no ports: several relays on one host must not overwrite each other's.
COOKIE_NAME = f"relay_session_{secrets.token_hex(4)}"
COOKIE_SECONDS = 12 * 3600
# The page itself and its files hold no data; the requests that the page sends need the session.
PUBLIC_PATH = re.compile(r"/relay(/|/token|/static/[a-z]+\.[a-z]+)?")

_signing_key = secrets.token_bytes(32)

PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def is_public_page(flow: HTTPFlow) -> bool:
    """Whether the dashboard serves this request without a key and without a session."""
    request, path = flow.request, flow.request.path.partition("?")[0]
    return request.method in ("GET", "HEAD") and PUBLIC_PATH.fullmatch(path) is not None


def session_key_name(flow: HTTPFlow) -> str | None:
    """The name of the client key for which the browser got its cookie; None without a session."""
    cookies = session_cookies(sent_header_values(flow, "cookie"))
    names = (cookie_key_name(cookie, time.time()) for cookie in cookies)
    return next((name for name in names if name is not None), None)


def session_cookies(headers: Iterable[str]) -> list[str]:
    """Values of the session cookie: several if a page of another port has set the same name."""
    pairs = (pair.strip().partition("=") for header in headers for pair in header.split(";"))
    return [value for name, _, value in pairs if name == COOKIE_NAME]


def issue_cookie(key: str, now: float) -> str:
    """A cookie for a browser that has sent this client key. `now`: Unix seconds."""
    until = str(int(now) + COOKIE_SECONDS)
    return f"{until}.{text_signature(key, until)}"


def cookie_key_name(cookie: str, now: float) -> str | None:
    """The name of the key of a valid cookie, None for any other cookie. `now`: Unix seconds."""
    until, _, signature = cookie.partition(".")
    if not re.fullmatch(r"[0-9]{1,12}", until) or int(until) < now:
        return None
    signature_bytes = signature.encode("utf-8", "surrogateescape")
    # A list: a generator would stop at the match, and its time would tell which key it is.
    names = [
        key.name
        for key in current_settings().client_key
        if hmac.compare_digest(
            signature_bytes, text_signature(key.secret.get_secret_value(), until).encode()
        )
    ]
    return names[0] if names else None


def text_signature(key: str, text: str) -> str:
    return hmac.digest(_signing_key, f"{len(key)}:{key}:{text}".encode(), "sha256").hex()


def post_token(cookie: str) -> str:
    """The X-Relay-Token that each POST must have; pages of other sites cannot read it."""
    return text_signature("", f"token:{cookie}")


def is_post_token(cookie: str, token: str) -> bool:
    token_bytes = token.encode("utf-8", "surrogateescape")
    return hmac.compare_digest(token_bytes, post_token(cookie).encode())
