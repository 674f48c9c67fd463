"""A Codex server with an invented login, for the screen of a user who has none.

`codex exec` works without a login, but the screen asks for one before anything else. The screen can
use a server (`codex app-server`), and a server can keep a login in memory only. So the user's
CODEX_HOME stays in use, and nothing of ours gets into it. A copy of it, or one made of links, would
leave its own path in Codex's databases, and plain Codex would not find those sessions later.
Seen with Codex 0.163 and 0.169."""

import asyncio
import hashlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from addons.identity import VERSION
from addons.launch import available_port
from addons.port_holder import has_own_listener
from addons.private_files import open_private

from ..errors import CommandFailed
from .codex_arguments import LOGIN_IN_MEMORY

INVENTED_KEY = "sk-none"
TOKEN_VARIABLE = "MITMCODEX_SERVER_TOKEN"  # noqa: S105 - a name
# What Codex's screen calls itself. The server names its first client as the originator of
# all requests, and the relay knows Codex by it.
SCREEN_NAME = "codex-tui"
START_TIMEOUT = 20.0  # s
RETRY_INTERVAL = 0.05  # s
LEASH = Path(__file__).with_name("leash.py")
LOG_TAIL = 1000  # characters


@contextmanager
def codex_server(
    codex: str, settings: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Within the block the server runs. Yields the arguments and the variables with which Codex's
    screen uses it. Raises CommandFailed."""
    token = secrets.token_urlsafe(32)
    url = f"ws://127.0.0.1:{available_port(0)}"
    command = [codex, *settings, "-c", LOGIN_IN_MEMORY, "app-server", "--listen", url]
    command += ["--ws-auth", "capability-token"]
    command += ["--ws-token-sha256", hashlib.sha256(token.encode()).hexdigest()]
    with open(log, "ab", opener=open_private) as output:
        leash = subprocess.Popen(
            [sys.executable, "-I", str(LEASH), *command],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # not ended by a Ctrl-C that is meant for the screen
        )
    with leash:  # the end of the block closes its input
        try:
            asyncio.run(log_in(url, token, leash))
        except (OSError, ValueError, TimeoutError) as error:
            tail = log.read_text("utf-8", "replace")[-LOG_TAIL:].strip()
            raise CommandFailed(
                f"Codex cannot be used without a login: {error or 'no answer'}\n{tail}",
                "log in once: `echo sk-none | codex login --with-api-key`",
            ) from None
        remote = ["--remote", url, "--remote-auth-token-env", TOKEN_VARIABLE]
        yield remote, {TOKEN_VARIABLE: token}


async def log_in(url: str, token: str, leash: "subprocess.Popen[bytes]") -> None:
    """Give the server an invented key. Raises OSError, ValueError or TimeoutError."""
    async with asyncio.timeout(START_TIMEOUT):
        connection = await connect_server(url, token, leash)
        if not has_own_listener(urlsplit(url).port or 0):  # it was free for a moment
            raise OSError("a program of another user has its port")
        client = {"name": SCREEN_NAME, "title": SCREEN_NAME, "version": VERSION}
        await call_method(connection, "initialize", {"clientInfo": client})
        await connection.write_message(json.dumps({"method": "initialized"}))
        login = {"type": "apiKey", "apiKey": INVENTED_KEY}
        await call_method(connection, "account/login/start", login)
        connection.close()


async def connect_server(
    url: str, token: str, leash: "subprocess.Popen[bytes]"
) -> WebSocketClientConnection:
    """The connection, as soon as the server listens. Raises OSError if it has ended."""
    request = HTTPRequest(url, headers={"authorization": f"Bearer {token}"})
    while True:
        try:
            return await websocket_connect(request)
        except ConnectionRefusedError:
            if leash.poll() is not None:
                raise OSError("its server has ended") from None
            await asyncio.sleep(RETRY_INTERVAL)


async def call_method(connection: WebSocketClientConnection, method: str, arguments: Any) -> None:
    """Wait for the result of a JSON-RPC call. Raises ValueError with the server's reason."""
    await connection.write_message(json.dumps({"id": 1, "method": method, "params": arguments}))
    while (text := await connection.read_message()) is not None:
        match json.loads(text):
            case {"id": 1, "error": {"message": message}}:
                raise ValueError(message)
            case {"id": 1, "result": _}:
                return
    raise OSError("its server closes the connection")
