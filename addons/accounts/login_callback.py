"""The listener on localhost to which OpenAI sends the browser back. It lives as long as one login,
and its page tells the user how the login ended."""

import asyncio
import hmac
import re
import socket
from base64 import b64encode
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler

from addons.accounts.oauth import callback_port

LOCALHOST = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
MAX_BODY_SIZE = 4096  # bytes of a request's body; none is expected
CLOSE_TIMEOUT = 3.0  # s that browsers have to receive their page
BAD_ADDRESS = "This address is not the one that the login service gave to your browser."
OTHER_LOGIN = "This page belongs to another login or to none. A login in progress goes on."

PAGE_STYLE = """
:root { color-scheme: light dark; font: 1.125rem/1.6 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center }
main { max-width: 34rem; padding: 1.5rem }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .75rem }
p { margin: .5rem 0; overflow-wrap: anywhere }
"""
STYLE_HASH = b64encode(sha256(PAGE_STYLE.encode()).digest()).decode()
PAGE_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address contains the code
    "cache-control": "no-store",
    "connection": "close",
}


class PortInUse(Exception):
    """The callback port is in use; the text says what to do."""


@dataclass(frozen=True)
class CallbackAnswer:
    """The answer in the browser's address: either a code or an error. The other one is ""."""

    authorization_code: str = field(repr=False)
    error: str


class CallbackListener:
    """Listens from its creation until `close`. `answer` is the first one with the right `state`,
    the random text in this login's URL."""

    def __init__(self, state: str) -> None:
        """Raises PortInUse."""
        loop = asyncio.get_running_loop()
        self._state = state.encode()
        self.answer: asyncio.Future[CallbackAnswer] = loop.create_future()
        self._fault: asyncio.Future[str] = loop.create_future()
        self._open_requests: set[asyncio.Task[Any] | None] = set()
        options = {"listener": self}
        routes: list[Any] = [(r"/auth/callback", CallbackHandler, options), (r".*", UnknownPath)]
        # No access log: the addresses contain codes.
        self._server = HTTPServer(
            Application(routes, log_function=lambda handler: None),
            idle_connection_timeout=CLOSE_TIMEOUT,
            body_timeout=CLOSE_TIMEOUT,
            max_body_size=MAX_BODY_SIZE,
        )
        self._server.add_sockets(localhost_sockets(callback_port()))

    def is_expected_state(self, state: str) -> bool:
        return hmac.compare_digest(state.encode(), self._state)

    async def outcome_of(self, answer: CallbackAnswer) -> str:
        """Hand the answer to the login and wait for its end. Returns the login's fault, "" after a
        success. A page that is loaded twice gets the same outcome."""
        if not self.answer.done():
            self.answer.set_result(answer)
        self._open_requests.add(asyncio.current_task())
        return await asyncio.shield(self._fault)

    async def close(self, fault: str) -> None:
        """Free the port, send waiting browsers the page with this fault ("" after a success), and
        close their connections."""
        self._server.stop()
        self._fault.set_result(fault)
        if tasks := {task for task in self._open_requests if task}:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)
        await self._server.close_all_connections()


def localhost_sockets(port: int) -> list[socket.socket]:
    """Listening sockets on each of localhost's addresses. Raises PortInUse."""
    with ExitStack() as stack:
        try:
            sockets = [
                stack.enter_context(listening_socket(family, port))
                for family in localhost_families()
            ]
        except OSError as error:
            raise PortInUse(
                f"Port {port} on localhost, to which OpenAI sends the browser back, is not free "
                f"({error.strerror}). End the program that uses it, perhaps a Codex that is "
                "logging in, or log in with a device code."
            ) from None
        stack.pop_all()
    return sockets


def listening_socket(family: socket.AddressFamily, port: int) -> socket.socket:
    server = socket.create_server((LOCALHOST[family], port), family=family)
    server.setblocking(False)
    return server


def localhost_families() -> list[socket.AddressFamily]:
    """The address families of this machine's localhost: a browser may use either."""
    with suppress(OSError), listening_socket(socket.AF_INET6, 0):
        return list(LOCALHOST)
    return [socket.AF_INET]


class CallbackPage(RequestHandler):
    def set_default_headers(self) -> None:
        self.clear_header("server")
        for name, value in PAGE_HEADERS.items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish(failure_page(BAD_ADDRESS))

    def log_exception(self, *args: Any) -> None:
        """Log nothing, as tornado would log the address, which contains the code."""


class UnknownPath(CallbackPage):
    def prepare(self) -> None:
        raise HTTPError(404)


class CallbackHandler(CallbackPage):
    def initialize(self, listener: CallbackListener) -> None:
        self._listener = listener

    async def get(self) -> None:
        names = ("state", "code", "error", "error_description")
        state, code, error, description = (self._single_argument(name) for name in names)
        answer = CallbackAnswer(code, error_line(error, description))
        if not self._listener.is_expected_state(state):
            self.set_status(400)
            self.finish(failure_page(OTHER_LOGIN))
            return
        if bool(answer.authorization_code) == bool(answer.error):
            raise HTTPError(400)
        fault = await self._listener.outcome_of(answer)
        self.set_status(400 if fault else 200)
        await self.finish(failure_page(fault) if fault else success_page())

    def _single_argument(self, name: str) -> str:
        """The query parameter's value, "" if it is missing or repeated."""
        values = self.get_query_arguments(name)
        return values[0] if len(values) == 1 else ""


def error_line(code: str, description: str) -> str:
    """The error that OpenAI put into the address, as one short line of printable ASCII."""
    text = f"{code}: {description}" if code and description else code
    return re.sub(r"[^\x20-\x7e]+", " ", text)[:300]


def render_page(title: str, *paragraphs: str) -> str:
    """The page's HTML. The arguments are plain text."""
    lines = "".join(f"<p>{escape(text)}</p>\n" for text in paragraphs)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · mitmcodex</title>
<style>{PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{lines}</main>
</body>
</html>
"""


def success_page() -> str:
    return render_page("You are logged in", "mitmcodex has your account. You may close this page.")


def failure_page(fault: str) -> str:
    advice = "Start the login again from mitmcodex. You may close this page."
    return render_page("The login did not work", fault, advice)
