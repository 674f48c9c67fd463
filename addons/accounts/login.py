"""A login in progress, at most one: with a browser, which OpenAI sends back to the relay, or with a
device code."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from addons.accounts.login_callback import CallbackAnswer, CallbackListener
from addons.accounts.oauth import (
    DEVICE_CODE_LIFE,
    DeviceApproval,
    DeviceCode,
    LoginEnded,
    LoginServiceUnreachable,
    authorize_url,
    browser_redirect_uri,
    exchange_code,
    poll_device_code,
    request_device_code,
)
from addons.accounts.tokens import Tokens

BROWSER_TIMEOUT = 600.0  # s in which the user has to log in
SAVE_TIMEOUT = 60.0  # s in which the tokens have to be saved
CANCEL_TIMEOUT = 10.0  # s that a cancelled login may take to end

type LoginStatus = dict[str, Any]


class LoginDenied(Exception):
    """OpenAI sent the browser back with this error."""


class LoginNotSaved(Exception):
    """The tokens could not be saved; the text is the type of the error."""


class LoginProcess:
    """The login in progress, if there is one. `save` stores the tokens of a successful login; if it
    raises, the user sees the type of the error."""

    def __init__(self, save: Callable[[Tokens], Awaitable[object]]) -> None:
        self._save = save
        self._start_lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._status: LoginStatus | None = None

    async def start_browser_login(self) -> str:
        """The URL at which the user logs in. Ends an earlier login. Raises PortInUse."""
        async with self._start_lock:
            await self._end()
            state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
            url = authorize_url(state, verifier)
            steps = self._complete_browser_login(CallbackListener(state), verifier)
            self._start({"kind": "browser", "url": url}, steps)
            return url

    async def start_device_login(self) -> LoginStatus:
        """The status, with the code for the user to enter. Ends an earlier login. Raises
        LoginEnded, LoginServiceUnreachable."""
        async with self._start_lock:
            await self._end()
            device = await request_device_code()
            status = {
                "kind": "device",
                "user_code": device.user_code,
                "url": device.url,
                "expires": device.expires_at,
            }
            return self._start(status, self._complete_device_login(device))

    def current_status(self) -> LoginStatus | None:
        """The field "login" of `GET /auth/accounts`: the login in progress, or why the last one
        failed."""
        return self._status

    async def cancel(self) -> None:
        """End the login in progress with its task and its listener, and forget why the last one
        failed."""
        async with self._start_lock:
            await self._end()

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_TIMEOUT)
        self._status = None

    def _start(self, status: LoginStatus, steps: Coroutine[Any, Any, None]) -> LoginStatus:
        self._status = status
        # Eager, as a task that is cancelled before its first step would not close its listener.
        loop = asyncio.get_running_loop()
        self._task = asyncio.Task(self._run(status["kind"], steps), loop=loop, eager_start=True)
        return status

    async def _run(self, kind: str, steps: Coroutine[Any, Any, None]) -> None:
        try:
            await steps
            self._status = None
        except Exception as error:
            logging.warning(f"A login with ChatGPT failed: {login_fault(error)}")
            self._status = {"kind": kind, "error": login_fault(error)}

    async def _complete_browser_login(self, listener: CallbackListener, verifier: str) -> None:
        fault = "The login was cancelled."
        try:
            async with asyncio.timeout(BROWSER_TIMEOUT):
                answer = await listener.answer
            await self._save_tokens(authorization_code(answer), verifier, browser_redirect_uri())
            fault = ""
        except Exception as error:
            fault = login_fault(error)
            raise
        finally:
            await listener.close(fault)

    async def _complete_device_login(self, device: DeviceCode) -> None:
        async with asyncio.timeout(DEVICE_CODE_LIFE):
            approval = await await_approval(device)
        await self._save_tokens(
            approval.authorization_code, approval.verifier, approval.redirect_uri
        )

    async def _save_tokens(self, code: str, verifier: str, redirect_uri: str) -> None:
        tokens = await exchange_code(code, verifier, redirect_uri)
        try:
            async with asyncio.timeout(SAVE_TIMEOUT):
                await self._save(tokens)
        except Exception as error:  # whose text may contain a secret
            raise LoginNotSaved(type(error).__name__) from None


async def await_approval(device: DeviceCode) -> DeviceApproval:
    """Poll at the interval that the service asks for, until the user has entered the code."""
    while True:
        await asyncio.sleep(device.interval)
        try:
            answer = await poll_device_code(device)
        except LoginServiceUnreachable:
            answer = device.with_longer_interval()
        if isinstance(answer, DeviceApproval):
            return answer
        device = answer


def authorization_code(answer: CallbackAnswer) -> str:
    """Raises LoginDenied."""
    if answer.error:
        raise LoginDenied(answer.error)
    return answer.authorization_code


FAULT_MESSAGES: dict[type[Exception], str] = {
    LoginDenied: "OpenAI refused the login ({}).",
    LoginEnded: "OpenAI refused the login ({}).",
    LoginServiceUnreachable: "OpenAI gave no usable answer ({}).",
    LoginNotSaved: "The account could not be saved ({}).",
    TimeoutError: "Nobody finished the login in time.",
}


def login_fault(error: Exception) -> str:
    """Why a login failed, as a sentence for the user."""
    message = FAULT_MESSAGES.get(type(error), f"Something went wrong ({type(error).__name__}).")
    return message.format(error)
