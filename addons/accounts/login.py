"""A login that runs: with a browser that comes back to us, or with a device code. At most one."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from addons.accounts import oauth
from addons.accounts.device import LIFE, Approved, Device, device_begin, device_poll
from addons.accounts.login_callback import Answer, Listener
from addons.accounts.oauth import Dead, Unreachable
from addons.accounts.tokens import Tokens

BROWSER = 600.0  # s until somebody has logged in there
KEEPING = 60.0  # s until the tokens are kept
ENDING = 10.0  # s until a cancelled login is over

type State = dict[str, Any]


class Denied(Exception):
    """The service sent the browser back with this error."""


class NotKept(Exception):
    """The tokens are there, and nobody took them; for this kind of reason."""


class Login:
    """`done` takes the tokens of one that worked, and keeps them; what it raises is a fault."""

    def __init__(self, done: Callable[[Tokens], Awaitable[object]]) -> None:
        self.done = done
        self.starting = asyncio.Lock()
        self.task: asyncio.Task[None] | None = None
        self.shown: State | None = None

    async def browser(self) -> str:
        """The address at which the user logs in. An earlier login ends. Raises Taken."""
        async with self.starting:
            await self.end()
            state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
            url = oauth.authorize_url(state, verifier)
            listener = Listener(state)
            self.begin({"kind": "browser", "url": url}, self.by_browser(listener, verifier))
            return url

    async def device(self) -> State:
        """`state()` with the code that the user enters. An earlier login ends. Raises Dead,
        Unreachable."""
        async with self.starting:
            await self.end()
            device = await device_begin()
            told = {"user_code": device.user_code, "url": device.url, "expires": device.expires}
            return self.begin({"kind": "device", **told}, self.by_device(device))

    def state(self) -> State | None:
        """The login that runs, or why the last one failed: the field "login" of /auth/accounts."""
        return self.shown

    async def cancel(self) -> None:
        """Ends the login that runs, and forgets why the last one failed."""
        async with self.starting:
            await self.end()

    stop = cancel  # when the proxy ends: then no task and no listener is left

    async def end(self) -> None:
        task, self.task = self.task, None
        if task:
            task.cancel()
            await asyncio.wait([task], timeout=ENDING)
        self.shown = None

    def begin(self, state: State, way: Coroutine[Any, Any, None]) -> State:
        self.shown = state
        # Eager: one that is cancelled before it ran would not close its listener.
        loop = asyncio.get_running_loop()
        self.task = asyncio.Task(self.run(state["kind"], way), loop=loop, eager_start=True)
        return state

    async def run(self, kind: str, way: Coroutine[Any, Any, None]) -> None:
        try:
            await way
            self.shown = None
        except Exception as error:
            logging.warning(f"A login with ChatGPT failed: {fault_of(error)}")
            self.shown = {"kind": kind, "error": fault_of(error)}

    async def by_browser(self, listener: Listener, verifier: str) -> None:
        fault = "The login was cancelled."
        try:
            async with asyncio.timeout(BROWSER):
                answer = await listener.answered
            await self.keep(code_of(answer), verifier, oauth.redirect())
            fault = ""
        except Exception as error:
            fault = fault_of(error)
            raise
        finally:
            await listener.close(fault)

    async def by_device(self, device: Device) -> None:
        async with asyncio.timeout(LIFE):
            approved = await approval(device)
        await self.keep(approved.code, approved.verifier, approved.back)

    async def keep(self, code: str, verifier: str, back: str) -> None:
        tokens = await oauth.exchange(code, verifier, back)
        try:
            async with asyncio.timeout(KEEPING):
                await self.done(tokens)
        except Exception as error:  # whose text may hold what nobody is to see
            raise NotKept(type(error).__name__) from None


async def approval(device: Device) -> Approved:
    """Asks in the rhythm it was told, until the user has answered."""
    while True:
        await asyncio.sleep(device.interval)
        try:
            answer = await device_poll(device)
        except Unreachable:
            answer = device.slower()
        if isinstance(answer, Approved):
            return answer
        device = answer


def code_of(answer: Answer) -> str:
    if answer.error:
        raise Denied(answer.error)
    return answer.code


FAULTS: dict[type[Exception], str] = {
    Denied: "OpenAI refused the login ({}).",
    Dead: "OpenAI refused the login ({}).",
    Unreachable: "OpenAI gave no answer that could be used ({}).",
    NotKept: "The account could not be kept ({}).",
    TimeoutError: "Nobody finished the login in time.",
}


def fault_of(error: Exception) -> str:
    """What the user is told."""
    told = FAULTS.get(type(error), f"Something went wrong ({type(error).__name__}).")
    return told.format(error)
