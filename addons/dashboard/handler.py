"""What all handlers of the pages have in common: whom they serve, and the heads of replies."""

import hmac
import re
from typing import Any
from urllib.parse import urlsplit

from tornado.web import HTTPError, RequestHandler

from addons.dashboard.state import Desk
from addons.ingress import session_cookie as door

INNER, SCHEME = "x-relay-inner", "x-relay-scheme"  # headers that our own proxy adds
HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


class Handler(RequestHandler):
    """`inner`: the secret without which nobody is served; none where another login guards this."""

    foreign = False  # whether pages and links of other sites may lead here

    def initialize(self, desk: Desk, inner: str | None, port: int | None = None) -> None:
        self.desk, self.inner, self.port = desk, inner, port

    def set_default_headers(self) -> None:
        for name, value in door.HEADERS.items():
            self.set_header(name, value)
        self.clear_header("server")

    def check_xsrf_cookie(self) -> None:
        """`prepare` does that; mitmweb's application would ask for a cookie of its own."""

    def prepare(self) -> None:
        sent = self.request.headers.get(INNER, "").encode("utf-8", "replace")
        if self.inner and not hmac.compare_digest(sent, self.inner.encode()):
            raise HTTPError(403, reason="This port is for codex-relay itself")
        site = self.request.headers.get("sec-fetch-site", "none")
        if not self.foreign and site not in ("none", "same-origin"):
            raise HTTPError(403, reason="Asked by a page of another site")
        if self.request.method == "POST":
            self.check_post()

    def check_post(self) -> None:
        origin = self.request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != self.request.host:
            raise HTTPError(403, reason="Sent by a page of another origin")
        if not door.brought(self.session, self.request.headers.get("x-relay-token", "")):
            raise HTTPError(403, reason="X-Relay-Token is missing or old: load the page again")

    @property
    def session(self) -> str:
        return next(iter(door.cookies(self.request.headers.get_list("cookie"))), "")

    @property
    def origin(self) -> str:
        """The relay's URL, as this browser reaches it."""
        host = self.request.host if HOST.fullmatch(self.request.host) else "127.0.0.1"
        if self.port is None:
            return f"{self.request.headers.get(SCHEME, 'http')}://{host}"
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return f"http://{name}:{self.port}"

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish({"error": self._reason})

    def auth_fail(self, invalid_password: bool) -> None:
        """mitmweb's own check of its login has failed."""
        self.set_header("content-type", "text/html; charset=utf-8")
        self.finish('<!doctype html><title>codex-relay</title><p><a href="/">Log in to mitmweb</a>')
