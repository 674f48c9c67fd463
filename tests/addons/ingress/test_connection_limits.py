"""How many connections clients may have, and for how long they may be idle."""

import asyncio
import contextlib
import errno
import json
import logging
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from addons.config import current_settings
from addons.ingress import connection_limits
from addons.ingress.connection_limits import (
    MAX_CONNECTIONS,
    MAX_FILES,
    RESERVED_FILES,
    AcceptErrors,
    connection_limit,
    raise_file_limit,
)
from addons.launch import start
from tests.addons.ingress.relays import relay, status_of
from tests.addons.proxy import PATIENCE, Call, Client, bounded, confdir, upstream

HELLO = b'{"model": "demo", "input": "Hello.", "stream": true}'
NO_RESOURCE = pytest.mark.skipif(sys.platform == "win32", reason="there, sockets are no files")
INFINITE = -1


class SystemLimits:
    """The limits of open files of a process, in place of Python's module `resource`."""

    RLIMIT_NOFILE, RLIM_INFINITY = 7, INFINITE

    def __init__(self, soft: int, hard: int, allowed: bool = True) -> None:
        self.limits, self.allowed = (soft, hard), allowed

    def getrlimit(self, kind: int) -> tuple[int, int]:
        assert kind == self.RLIMIT_NOFILE
        return self.limits

    def setrlimit(self, kind: int, limits: tuple[int, int]) -> None:
        assert kind == self.RLIMIT_NOFILE
        if not self.allowed:
            raise ValueError("not allowed to raise maximum limit")
        self.limits = limits


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SystemLimits(256, 1024), (1024, 1024)),
        (SystemLimits(256, INFINITE), (MAX_FILES, INFINITE)),  # macOS
        (SystemLimits(1024, 1_000_000), (MAX_FILES, 1_000_000)),
        (SystemLimits(100_000, 1_000_000), (100_000, 1_000_000)),
        (SystemLimits(INFINITE, INFINITE), (INFINITE, INFINITE)),
        (SystemLimits(256, 1024, allowed=False), (256, 1024)),
    ],
)
def test_the_limit_of_files_is_raised_as_far_as_allowed(
    monkeypatch: pytest.MonkeyPatch, before: SystemLimits, after: tuple[int, int]
) -> None:
    monkeypatch.setattr(connection_limits, "resource", before)
    raise_file_limit()
    assert before.limits == after


@pytest.mark.parametrize(
    ("limits", "connections"),
    [
        (SystemLimits(256, 256), (256 - RESERVED_FILES) // 2),
        (SystemLimits(1024, 1024), (1024 - RESERVED_FILES) // 2),
        (SystemLimits(10, 10), 1),
        (SystemLimits(1_000_000, 1_000_000), MAX_CONNECTIONS),
        (SystemLimits(INFINITE, INFINITE), MAX_CONNECTIONS),
        (None, MAX_CONNECTIONS),  # Windows
    ],
)
def test_connections_follow_from_the_limit_of_files(
    monkeypatch: pytest.MonkeyPatch, limits: SystemLimits | None, connections: int
) -> None:
    monkeypatch.setattr(connection_limits, "resource", limits)
    assert current_settings().max_connections is None
    assert connection_limit() == connections
    if limits is None:
        raise_file_limit()


# Too many connections


async def open_clients(port: int, stack: contextlib.AsyncExitStack, count: int) -> list[Client]:
    return [await stack.enter_async_context(Client.connect(port)) for _ in range(count)]


async def is_closed(client: Client) -> bool:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(client.reader.read(1), PATIENCE) == b""
    return True


@bounded
async def test_connections_past_the_limit_are_closed_with_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with relay(relay_max_connections="3") as port:
        async with contextlib.AsyncExitStack() as stack:
            clients = await open_clients(port, stack, 3)
            for client in clients:
                assert await status_of(client, "/health") == 200
            for client in await open_clients(port, stack, 5):
                assert await is_closed(client)
            for client in clients:
                assert await status_of(client, "/health") == 200
        lines = [line for line in caplog.messages if "relay_max_connections" in line]
        assert len(lines) == 1 and "clients have 3 connections open" in lines[0]
        async with asyncio.timeout(PATIENCE):
            while True:  # until mitmproxy has seen that the clients are gone
                async with Client.connect(port) as client:
                    with contextlib.suppress(EOFError, OSError):
                        assert await status_of(client, "/health") == 200
                        break
                await asyncio.sleep(0.02)


@NO_RESOURCE
@bounded
async def test_many_clients_under_few_files_write_no_traceback(tmp_path: Path) -> None:
    """300 clients under 256 files used to write 5,195."""
    log = tmp_path / "relay.log"
    mitmdump = shlex.quote(str(Path(sys.executable).with_name("mitmdump")))
    limit = f'ulimit -n 256 && exec {mitmdump} "$@"'
    program = tmp_path / "limited-mitmdump"
    program.write_text(f"#!/bin/sh\n{limit}\n")
    program.chmod(0o755)

    async def answer_later(call: Call) -> None:
        await asyncio.sleep(1)
        call.stream(b"data: [DONE]\n\n")
        call.end()

    async with upstream(answer_later) as server:
        settings = {"upstream": f"http://127.0.0.1:{server.port}/v1", "store": "off"}
        arguments = ["--set", f"confdir={confdir()}"]
        relay_process = await asyncio.to_thread(
            start, program=str(program), arguments=arguments, log=log, **settings
        )
        with relay_process:
            statuses = await asyncio.gather(*(ask_once(relay_process.port) for _ in range(300)))
            async with asyncio.timeout(PATIENCE):
                while await ask_once(relay_process.port) != 200:  # until it has closed the others
                    await asyncio.sleep(0.1)
    text = log.read_text()
    assert statuses.count(200) >= 40
    assert "Traceback" not in text
    assert text.count("relay_max_connections") == 1


async def ask_once(port: int) -> int | None:
    """The status of a reply; None for a connection that is closed without one."""
    try:
        async with Client.connect(port) as client:
            client.send("/v1/responses", HELLO)
            await client.head(10)
            return client.answer.status
    except (EOFError, OSError):
        return None


@bounded
async def test_a_lack_of_files_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    loop, errors = asyncio.get_running_loop(), AcceptErrors()
    others: list[str] = []
    loop.set_exception_handler(lambda _, context: others.append(context["message"]))
    errors.watch_loop()
    for _ in range(100):
        error = OSError(errno.EMFILE, "Too many open files")
        loop.call_exception_handler({"message": "accept", "exception": error})
    loop.call_exception_handler({"message": "other", "exception": OSError(errno.EBADF, "bad")})
    assert others == ["other"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Too many open files" in caplog.text
    errors.leave_loop()
    loop.call_exception_handler({"message": "accept"})
    assert others == ["other", "accept"]


@bounded
async def test_without_another_handler_errors_go_to_asyncio(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = AcceptErrors()
    errors.watch_loop()
    asyncio.get_running_loop().call_exception_handler({"message": "something else"})
    assert "something else" in caplog.text
    errors.leave_loop()
    errors.leave_loop()


# Idle connections


@contextlib.asynccontextmanager
async def impatient_relay(idle: str = "0.4") -> AsyncIterator[int]:
    async with relay(relay_idle=idle, relay_provider="demo") as port:
        yield port


@bounded
async def test_idle_connections_are_closed() -> None:
    async with impatient_relay() as port, contextlib.AsyncExitStack() as stack:
        silent, served, tunnel = await open_clients(port, stack, 3)
        assert await status_of(served, "/health") == 200
        tunnel.writer.write(b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        for client in (silent, served):
            assert await is_closed(client)


@bounded
async def test_slow_heads_and_bodies_are_closed() -> None:
    async with impatient_relay() as port, contextlib.AsyncExitStack() as stack:
        head, body, tls = await open_clients(port, stack, 3)
        body.writer.write(b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        tls.writer.write(b"\x16\x03")
        dripping = asyncio.create_task(drip(head, b"GET /health HTTP/1.1\r\nHost: localhost\r\n"))
        for client in (head, body, tls):
            assert await is_closed(client)
        dripping.cancel()


async def drip(client: Client, data: bytes) -> None:
    for start_of_byte in range(len(data)):
        client.writer.write(data[start_of_byte : start_of_byte + 1])
        await asyncio.sleep(0.05)
    while True:
        client.writer.write(b"a: b\r\n")
        await asyncio.sleep(0.05)


@bounded
async def test_a_client_that_waits_for_a_reply_is_not_idle() -> None:
    async def answer_late(call: Call) -> None:
        await asyncio.sleep(1.5)
        message = {"role": "assistant", "content": "Hi."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        call.reply(200, json.dumps({"choices": [choice]}).encode())

    async with upstream(answer_late) as server:
        options = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", "relay_idle": "0.4"}
        async with relay(**options) as port, Client.connect(port) as client:
            answer = await client.ask("/v1/responses", b'{"model": "m", "input": "Hello."}')
            assert answer.status == 200 and len(server.seen) == 1


@bounded
async def test_tunnels_to_others_are_left_to_mitmproxy() -> None:
    """Its option `tcp_timeout` closes them; the relay does not know what they carry."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        async with impatient_relay("0.2") as port, Client.connect(port) as client:
            client.writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await client.reader.readuntil(b"\r\n\r\n")
            client.writer.write(b"\x00\x01\x02\x03")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.reader.read(1), 1)
