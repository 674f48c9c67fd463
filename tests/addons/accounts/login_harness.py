"""A login that a test drives like a browser, over real sockets and through the fake auth server."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlencode, urlsplit

from addons.accounts.login import LoginProcess
from addons.accounts.tokens import Tokens
from tests.fake_auth import FakeAuth, run_with_accounts

CLOSE_ADVICE = "You may close this page"


def run_logins(auth: FakeAuth, test: Callable[[LoginProcess], Awaitable[None]]) -> list[Tokens]:
    """Run the test with a LoginProcess and return the tokens of its logins. Fails if they leave a
    task or a listener behind."""
    tokens: list[Tokens] = []

    async def save(new: Tokens) -> None:
        tokens.append(new)

    async def run() -> None:
        login = LoginProcess(save)
        try:
            await asyncio.wait_for(test(login), 20)
        finally:
            await login.cancel()
        assert login.current_status() is None
        assert not is_listening(auth.port)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_with_accounts(auth, run())
    return tokens


def is_listening(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        return probe.connect_ex((address, port)) == 0


def query_parameters(url: str) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}


def callback_url(login_url: str, **answer: str) -> str:
    """The URL to which OpenAI sends the browser back from this login, with the right state."""
    query = query_parameters(login_url)
    return f"{query['redirect_uri']}?{urlencode({'state': query['state'], **answer})}"
