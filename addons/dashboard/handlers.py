"""The pages' server: one set of handlers, for a port of our own process and for mitmweb's."""

import asyncio
import contextlib
import logging
import time
from functools import cache
from pathlib import Path

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from addons.dashboard.event_hub import Full, Seat, packed
from addons.dashboard.handler import SCHEME, Handler
from addons.ingress import session_cookie as door
from addons.ingress.client_keys import accepted

STATIC = Path(__file__).with_name("static")
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
SLOW = 30.0  # s that a page may take for what it is sent


class Page(Handler):
    foreign = True

    def get(self, name: str = "index.html") -> None:
        if name not in files():
            raise HTTPError(404, reason="No such file")
        self.set_header("content-type", f"{TYPES[Path(name).suffix]}; charset=utf-8")
        self.set_header("cache-control", "no-cache")
        self.finish(files()[name])


class Slash(Handler):
    foreign = True

    def get(self) -> None:
        self.redirect("/relay/", permanent=True)


class Token(Handler):
    def get(self) -> None:
        self.finish({"token": door.token(self.session)})


class Session(Handler):
    """The key comes as Bearer, as everywhere: bodies are shown, and that header is not."""

    def post(self) -> None:
        scheme, _, key = self.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or accepted(key.strip()) is None:
            raise HTTPError(401, reason="This is none of the relay's client keys")
        self.give(door.issue(key.strip(), time.time()), door.LIFE)

    def give(self, cookie: str, life: int) -> None:
        self.set_cookie(
            door.COOKIE,
            cookie,
            path="/relay",
            max_age=life,
            httponly=True,
            samesite="Strict",
            secure=self.request.headers.get(SCHEME) == "https",
        )
        self.set_status(204)


class End(Session):
    def post(self) -> None:
        self.give("", 0)


class Data(Handler):
    async def get(self) -> None:
        self.finish(await self.desk.snapshot(self.origin))


class Events(Handler):
    seat: Seat | None = None

    async def get(self) -> None:
        try:
            self.seat = self.desk.hub.subscribe()  # first, so that nothing is missed meanwhile
        except Full:
            raise HTTPError(503, reason="Too many pages are open") from None
        self.set_header("content-type", "text/event-stream")
        # A page that left, or reads so slowly, is left behind; it comes back by itself.
        with contextlib.suppress(StreamClosedError, TimeoutError):
            await self.send("retry: 2000\n" + packed("all", await self.desk.snapshot(self.origin)))
            async for text in self.seat.events():
                await self.send(text)
        self.seat.leave()
        if self.request.connection and not self._finished:
            with contextlib.suppress(StreamClosedError):
                self.finish()

    async def send(self, text: str) -> None:
        self.write(text)
        await asyncio.wait_for(self.flush(), SLOW)

    def on_connection_close(self) -> None:
        if self.seat:
            self.seat.leave()


class Account(Handler):
    async def post(self, action: str) -> None:
        accounts = self.desk.accounts
        if accounts is None:
            raise HTTPError(404, reason="This relay has no accounts")
        value = self.get_body_argument("value", "")[:200]
        try:
            match action:
                case "login" if value in ("browser", "device"):
                    await accounts.login(value)
                case "cancel":
                    await accounts.cancel()
                case "select":
                    await accounts.select(value)
                case "logout":
                    await accounts.logout(value)
                case _:
                    raise HTTPError(400, reason="No such login")
        except ValueError as error:
            self.set_status(400)
            self.finish({"error": str(error)})
            return
        except HTTPError:
            raise
        except Exception:
            logging.exception("codex-relay failed at an account")
            raise HTTPError(500, reason="This failed; the relay's log says how") from None
        self.finish(accounts.snapshot())


class Other(Handler):
    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404, reason="No such page")


HANDLERS: list[tuple[str, type[Handler]]] = [
    (r"/relay", Slash),
    (r"/relay/", Page),
    (r"/relay/static/([a-z]+\.[a-z]+)", Page),
    (r"/relay/token", Token),
    (r"/relay/session", Session),
    (r"/relay/session/end", End),
    (r"/relay/data", Data),
    (r"/relay/events", Events),
    (r"/relay/accounts/(login|cancel|select|logout)", Account),
]


@cache
def files() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in STATIC.iterdir() if file.suffix in TYPES}
