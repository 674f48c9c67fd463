"""Who may see the dashboard. A browser brings no Bearer key as it navigates: whoever has shown a
client key gets a cookie. Nothing is kept: it is signed, for a time, and ends with that key and with
this process."""

import hmac
import re
import secrets
import time
from collections.abc import Iterable

from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.flow_data import sent

# Cookies know no ports: several relays on one host must not take each other's.
COOKIE = f"relay_session_{secrets.token_hex(4)}"
LIFE = 12 * 3600  # s
# The page itself and its files have nothing in them; what they ask for has.
OPEN = re.compile(r"/relay(/|/token|/static/[a-z]+\.[a-z]+)?")

_secret = secrets.token_bytes(32)

HEADERS = {
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


def opens(flow: HTTPFlow) -> bool:
    """Whether a request without a client key may come in."""
    if flow.request.method in ("GET", "HEAD") and OPEN.fullmatch(
        flow.request.path.partition("?")[0]
    ):
        return True
    return any(valid(cookie, time.time()) for cookie in cookies(sent(flow, "cookie")))


def cookies(headers: Iterable[str]) -> list[str]:
    """The values of our cookie; pages of other ports of this host may have set more of its name."""
    pairs = (pair.strip().partition("=") for header in headers for pair in header.split(";"))
    return [value for name, _, value in pairs if name == COOKIE]


def issue(key: str, now: float) -> str:
    """A cookie for who has shown this client key."""
    until = str(int(now) + LIFE)
    return f"{until}.{signed(key, until)}"


def valid(cookie: str, now: float) -> bool:
    until, _, signature = cookie.partition(".")
    if not re.fullmatch(r"[0-9]{1,12}", until) or int(until) < now:
        return False
    given = signature.encode("utf-8", "surrogateescape")
    keys = [key.secret.get_secret_value() for key in config.settings().client_key]
    return any([hmac.compare_digest(given, signed(key, until).encode()) for key in keys])


def signed(key: str, text: str) -> str:
    return hmac.digest(_secret, f"{len(key)}:{key}:{text}".encode(), "sha256").hex()


def token(cookie: str) -> str:
    """What a POST must bring in X-Relay-Token, so that no other site's page can send one."""
    return signed("", f"token:{cookie}")


def brought(cookie: str, given: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token(cookie).encode())
