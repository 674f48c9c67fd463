"""Where the browser comes back to: a listener on localhost that lives as long as one login."""

import asyncio
import hmac
import re
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler

from addons.accounts import oauth, page

LOCALHOST = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
LARGEST = 4096  # bytes of a request's body, where none is wanted
PARTING = 3.0  # s in which a browser takes its page
UNREADABLE = "This address is not the one that the login service gave to your browser."
ASTRAY = "This page belongs to another login, or to none. One that still runs goes on."


class Taken(Exception):
    """Nobody can listen on the port; the text says what to do."""


@dataclass(frozen=True)
class Answer:
    """What the browser brought; either is "" where the other is not."""

    code: str = field(repr=False)
    error: str


class Listener:
    """`answered` is what came with the right state; then `close` says what the browser is shown."""

    def __init__(self, state: str) -> None:
        loop = asyncio.get_running_loop()
        self.state = state.encode()
        self.answered: asyncio.Future[Answer] = loop.create_future()
        self.outcome: asyncio.Future[str] = loop.create_future()  # a fault, "" where there is none
        self.waiting: set[asyncio.Task[Any] | None] = set()
        routes: list[Any] = [(r"/auth/callback", Callback, {"listener": self}), (r".*", Other)]
        # No access log: addresses have codes in them.
        self.server = HTTPServer(
            Application(routes, log_function=lambda handler: None),
            idle_connection_timeout=PARTING,
            body_timeout=PARTING,
            max_body_size=LARGEST,
        )
        self.server.add_sockets(bound(oauth.PORT))

    async def close(self, fault: str) -> None:
        """Browsers that wait get their page first. The port is free at once."""
        self.server.stop()
        self.outcome.set_result(fault)
        if waiting := {task for task in self.waiting if task}:
            await asyncio.wait(waiting, timeout=PARTING)
        await self.server.close_all_connections()


def bound(port: int) -> list[socket.socket]:
    """Sockets on each of localhost's addresses. Raises Taken."""
    with ExitStack() as stack:
        try:
            found = [stack.enter_context(opened(family, port)) for family in families()]
        except OSError as error:
            raise Taken(
                f"Port {port} on localhost, to which OpenAI sends the browser back, cannot be had "
                f"({error.strerror}). End the program that uses it, perhaps a Codex that is "
                "logging in, or log in with a device code."
            ) from None
        stack.pop_all()
    return found


def opened(family: socket.AddressFamily, port: int) -> socket.socket:
    listening = socket.create_server((LOCALHOST[family], port), family=family)
    listening.setblocking(False)
    return listening


def families() -> list[socket.AddressFamily]:
    """Those of this machine: a browser may take either."""
    with suppress(OSError), opened(socket.AF_INET6, 0):
        return list(LOCALHOST)
    return [socket.AF_INET]


class Page(RequestHandler):
    def set_default_headers(self) -> None:
        self.clear_header("server")
        for name, value in page.HEADERS.items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish(page.failed(UNREADABLE))

    def log_exception(self, *args: Any) -> None:
        """tornado would log the address, with its code."""


class Other(Page):
    def prepare(self) -> None:
        raise HTTPError(404)


class Callback(Page):
    def initialize(self, listener: Listener) -> None:
        self.listener = listener

    async def get(self) -> None:
        state = self.one("state").encode()
        answer = Answer(
            self.one("code"), error_of(self.one("error"), self.one("error_description"))
        )
        if not hmac.compare_digest(state, self.listener.state):
            self.set_status(400)
            self.finish(page.failed(ASTRAY))
            return
        if bool(answer.code) == bool(answer.error):
            raise HTTPError(400)
        if not self.listener.answered.done():  # else it is loaded again, and is shown the same
            self.listener.answered.set_result(answer)
        self.listener.waiting.add(asyncio.current_task())
        fault = await asyncio.shield(self.listener.outcome)
        self.set_status(400 if fault else 200)
        await self.finish(page.failed(fault) if fault else page.succeeded())

    def one(self, name: str) -> str:
        """The parameter's value; "" where it is missing, or there several times."""
        values = self.get_query_arguments(name)
        return values[0] if len(values) == 1 else ""


def error_of(code: str, description: str) -> str:
    """What the service says in the address, as a line that can be shown."""
    told = f"{code}: {description}" if code and description else code
    return re.sub(r"[^\x20-\x7e]+", " ", told)[:300]
