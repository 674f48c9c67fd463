"""The HTTP handlers of the dashboard, for its own server and for mitmweb's."""

import asyncio
import contextlib
import hmac
import logging
import re
import time
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from addons.dashboard.event_hub import Subscription, TooManySubscriptions, Viewer, sse_text
from addons.dashboard.state import DashboardState
from addons.ingress import (
    COOKIE_NAME,
    COOKIE_SECONDS,
    PAGE_HEADERS,
    client_key_name,
    is_post_token,
    issue_cookie,
    post_token,
    session_cookies,
)

# The relay adds them.
INNER_HEADER, SCHEME_HEADER, VIEWER_HEADER = "x-relay-inner", "x-relay-scheme", "x-relay-viewer"
EVERYBODY = "*"  # the viewer is the admin; other viewers are the quoted names of their keys
HOST_PATTERN = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
STATIC_FOLDER = Path(__file__).with_name("static")
CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
FLOW_LOGIN_PAGE = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>mitmcodex</title>{refresh}
<h1>Log in to mitmweb</h1>
<p>{note}mitmweb shows exchanges to those who have its password. If you have not set one, it is
the token in mitmweb's address, which the relay prints at its start.
<form method="post"><label>Password or token <input type="password" name="token" autofocus></label>
<button>Show the exchange</button></form></html>
"""
SEND_TIMEOUT = 30.0  # s that a page may take to read an event


class DashboardHandler(RequestHandler):
    """Checks every request, and sets the headers of every reply.

    `inner_secret` comes with every request that the relay forwards; it is None in mitmweb, whose
    own login guards the pages. `relay_port` is the relay's own port, for pages in mitmweb."""

    open_to_other_sites = False  # whether other sites may link here

    def initialize(
        self, state: DashboardState, inner_secret: str | None, relay_port: int | None = None
    ) -> None:
        self.dashboard_state, self.inner_secret, self.relay_port = state, inner_secret, relay_port

    def set_default_headers(self) -> None:
        for name, value in PAGE_HEADERS.items():
            self.set_header(name, value)
        self.clear_header("server")

    def check_xsrf_cookie(self) -> None:
        """Replaces the check of mitmweb's application, as `prepare` has the relay's own."""

    def prepare(self) -> None:
        inner_secret = self.request.headers.get(INNER_HEADER, "").encode("utf-8", "replace")
        if self.inner_secret and not hmac.compare_digest(inner_secret, self.inner_secret.encode()):
            raise HTTPError(403, reason="This port is for mitmcodex itself")
        site = self.request.headers.get("sec-fetch-site", "none")
        if not self.open_to_other_sites and site not in ("none", "same-origin"):
            raise HTTPError(403, reason="A page of another site sent this request")
        if self.request.method == "POST":
            self.check_post()

    def check_post(self) -> None:
        origin = self.request.headers.get("origin")
        if origin is not None and origin_host(origin) != self.request.host:
            raise HTTPError(403, reason="A page of another origin sent this request")
        if not is_post_token(self.session_cookie, self.request.headers.get("x-relay-token", "")):
            raise HTTPError(403, reason="X-Relay-Token is missing or old: load the page again")

    @property
    def viewer(self) -> Viewer:
        """Whose exchanges the page shows. mitmweb's own login is the admin's."""
        name = self.request.headers.get(VIEWER_HEADER, "")
        return None if self.inner_secret is None or name == EVERYBODY else unquote(name)

    @property
    def session_cookie(self) -> str:
        """The session cookie, "" without one."""
        return next(iter(session_cookies(self.request.headers.get_list("cookie"))), "")

    @property
    def relay_url(self) -> str:
        """The URL at which this browser reaches the relay, without a path."""
        host = self.request.host if HOST_PATTERN.fullmatch(self.request.host) else "127.0.0.1"
        if self.relay_port is None:
            return f"{self.request.headers.get(SCHEME_HEADER, 'http')}://{host}"
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return f"http://{name}:{self.relay_port}"

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish({"error": self._reason})

    def auth_fail(self, invalid_password: bool) -> None:
        """mitmweb calls it for a request without its own login."""
        self.set_header("content-type", "text/html; charset=utf-8")
        self.finish('<!doctype html><title>mitmcodex</title><p><a href="/">Log in to mitmweb</a>')


class FileHandler(DashboardHandler):
    open_to_other_sites = True

    def get(self, name: str = "index.html") -> None:
        if name not in static_files():
            raise HTTPError(404, reason="No such file")
        self.set_header("content-type", f"{CONTENT_TYPES[Path(name).suffix]}; charset=utf-8")
        self.set_header("cache-control", "no-cache")
        self.finish(static_files()[name])


class SlashRedirectHandler(DashboardHandler):
    open_to_other_sites = True

    def get(self) -> None:
        self.redirect("/relay/", permanent=True)


class TokenHandler(DashboardHandler):
    def get(self) -> None:
        self.finish({"token": post_token(self.session_cookie)})


class SessionStartHandler(DashboardHandler):
    """Starts a session. The client key comes as a Bearer token: flows mask that, but no bodies."""

    def post(self) -> None:
        scheme, _, key = self.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or client_key_name(key.strip()) is None:
            raise HTTPError(401, reason="This is not one of the relay's client keys")
        self.set_session_cookie(issue_cookie(key.strip(), time.time()), COOKIE_SECONDS)

    def set_session_cookie(self, cookie: str, seconds: int) -> None:
        self.set_cookie(
            COOKIE_NAME,
            cookie,
            path="/relay",
            max_age=seconds,
            httponly=True,
            samesite="Strict",
            secure=self.request.headers.get(SCHEME_HEADER) == "https",
        )
        self.set_status(204)


class SessionEndHandler(SessionStartHandler):
    def post(self) -> None:
        self.set_session_cookie("", 0)


class SnapshotHandler(DashboardHandler):
    async def get(self) -> None:
        self.finish(await self.dashboard_state.page_snapshot(self.relay_url, self.viewer))


class EventsHandler(DashboardHandler):
    subscription: Subscription | None = None

    async def get(self) -> None:
        try:  # before the snapshot, so that no event is missed in between
            self.subscription = self.dashboard_state.hub.open_subscription(self.viewer)
        except TooManySubscriptions:
            raise HTTPError(503, reason="Too many pages are open") from None
        self.set_header("content-type", "text/event-stream")
        # A page that has gone, or reads too slowly, is dropped; it reconnects by itself.
        with contextlib.suppress(StreamClosedError, TimeoutError):
            snapshot = await self.dashboard_state.page_snapshot(self.relay_url, self.viewer)
            await self.send_text("retry: 2000\n" + sse_text("all", snapshot))
            async for text in self.subscription.event_texts():
                await self.send_text(text)
        self.subscription.close()
        if self.request.connection and not self._finished:
            with contextlib.suppress(StreamClosedError):
                self.finish()

    async def send_text(self, text: str) -> None:
        self.write(text)
        await asyncio.wait_for(self.flush(), SEND_TIMEOUT)

    def on_connection_close(self) -> None:
        if self.subscription:
            self.subscription.close()


class AccountHandler(DashboardHandler):
    async def post(self, action: str) -> None:
        accounts = self.dashboard_state.accounts
        if self.viewer is not None:
            raise HTTPError(403, reason="Only the admin's key may change accounts")
        if accounts is None:
            raise HTTPError(404, reason="This relay has no accounts")
        value = self.get_body_argument("value", "")[:200]
        try:
            match action:
                case "login" if value in ("browser", "device"):
                    await accounts.start_login(value)
                case "cancel":
                    await accounts.cancel_login()
                case "select":
                    await accounts.select_account(value)
                case "logout":
                    await accounts.log_out(value)
                case _:
                    raise HTTPError(400, reason="No such login")
        except ValueError as error:
            self.set_status(400)
            self.finish({"error": str(error)})
            return
        except HTTPError:
            raise
        except Exception:
            logging.exception("mitmcodex failed at an action on an account")
            raise HTTPError(500, reason="This failed; the relay's log says why") from None
        self.finish(accounts.accounts_snapshot())


class FlowHandler(DashboardHandler):
    """In mitmweb only: leads from the dashboard to an exchange's flow, through mitmweb's login."""

    open_to_other_sites = True  # the dashboard is on another port, and may be on another name

    def get(self, flow_id: str) -> None:
        self.redirect(f"/#/flows/{flow_id}/request")

    post = get  # the form with the password

    def check_post(self) -> None:
        """A login needs no token: mitmweb's password comes with it."""

    def auth_fail(self, invalid_password: bool) -> None:
        self.set_header("content-type", "text/html; charset=utf-8")
        self.set_header(
            "content-security-policy",
            "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        )
        # Browsers send mitmweb's cookie with no link from another name of this machine, such as
        # localhost; they send it when the page itself asks again.
        is_first = self.request.method == "GET" and not self.request.query
        refresh = '<meta http-equiv="refresh" content="0; url=?again">' if is_first else ""
        note = "That is not it. " if invalid_password else ""
        self.finish(FLOW_LOGIN_PAGE.format(refresh=refresh, note=note))


class MissingPageHandler(DashboardHandler):
    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404, reason="No such page")


HANDLERS: list[tuple[str, type[DashboardHandler]]] = [
    (r"/relay", SlashRedirectHandler),
    (r"/relay/", FileHandler),
    (r"/relay/static/([a-z]+\.[a-z]+)", FileHandler),
    (r"/relay/token", TokenHandler),
    (r"/relay/session", SessionStartHandler),
    (r"/relay/session/end", SessionEndHandler),
    (r"/relay/data", SnapshotHandler),
    (r"/relay/events", EventsHandler),
    (r"/relay/accounts/(login|cancel|select|logout)", AccountHandler),
]
MITMWEB_HANDLERS: list[tuple[str, type[DashboardHandler]]] = [
    *HANDLERS,
    (r"/relay/flow/([0-9a-f-]{1,64})", FlowHandler),
]


def origin_host(origin: str) -> str | None:
    """Host and port of an `Origin` header; None for anything that is no URL, as `null`."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


@cache
def static_files() -> dict[str, bytes]:
    """The page's files by name."""
    files = STATIC_FOLDER.iterdir()
    return {file.name: file.read_bytes() for file in files if file.suffix in CONTENT_TYPES}
