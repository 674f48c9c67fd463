"""A relay that is told to exit ends the streams that are open, in their clients' dialects."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from addons.launch import start
from addons.transport.shutdown import SHUTDOWN, SHUTDOWN_LIMIT, open_streams
from tests.addons.exchange.test_addon import ask, error_of, relay, stream_error
from tests.addons.exchange.test_chat_clients import PATH as CHAT_PATH
from tests.addons.proxy import Answer, Call, Client, bounded, upstream
from tests.translate.support import chunk, chunks_of
from tests.translate.support import stream as chat

MESSAGES = {"messages": [{"role": "user", "content": "Hi"}], "input": None}


async def speak_and_stall(call: Call) -> None:
    call.stream(chat(chunk(content="Well, "), done=False))
    await call.closed_after()


async def never_reply(call: Call) -> None:
    await call.closed_after()


async def refuse(call: Call) -> None:
    call.reply(503, b"busy", retry_after="20")


async def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def running_streams() -> list[Any]:
    """Those of the relay in this process."""
    return [stream for stream in open_streams if stream.relay_plan]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_open_streams_get_their_last_event(number: int, tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(speak_and_stall, refuses_lists=True) as above:
            url = f"http://127.0.0.1:{above.port}/v1"
            process = await asyncio.to_thread(
                start, upstream=url, api_key="k", store=str(tmp_path / "kept.db")
            )
            try:
                async with (
                    Client.connect(process.port) as responses_client,
                    Client.connect(process.port) as chat_client,
                ):
                    answers = [
                        asyncio.create_task(ask(responses_client)),
                        asyncio.create_task(ask(chat_client, CHAT_PATH, stream=True, **MESSAGES)),
                    ]
                    await wait_until(lambda: len(above.seen) == 2)
                    await asyncio.sleep(0.3)  # until both have their first words
                    assert not any(answer.done() for answer in answers)
                    process.send_signal(number)
                    sent_at = time.monotonic()
                    responses_answer, chat_answer = await asyncio.gather(*answers)
                assert time.monotonic() - sent_at < SHUTDOWN_LIMIT + 3
                await asyncio.to_thread(process.wait, 10)
                assert SHUTDOWN in stream_error(responses_answer)["message"]
                assert SHUTDOWN in chunks_of(chat_answer.body)[-1]["error"]["message"]
                assert "Traceback" not in process.log.read_text()
            finally:
                await asyncio.to_thread(process.stop)

    bounded(run, 40.0)()  # type: ignore[arg-type]


async def answer_of_stopped_relay(
    handler: Any, is_ready: Callable[[Any], object], **options: Any
) -> tuple[Answer, int]:
    """The answer to a request that has none when the relay is stopped, and the number of requests
    that the upstream had. The relay is stopped once `is_ready` of the stream."""
    stream = options.pop("stream", True)
    running = relay(handler, **options)
    above, port = await running.__aenter__()
    async with Client.connect(port) as client:
        answer = asyncio.create_task(ask(client, stream=stream))
        await wait_until(lambda: any(map(is_ready, running_streams())))
        assert not answer.done()
        await running.__aexit__(None, None, None)
        assert not running_streams()  # else the relay would have waited for SHUTDOWN_LIMIT
        return await answer, len(above.seen)


def has_sent_request(stream: Any) -> bool:
    return bool(stream.flow.server_conn.connected and stream.awaited_command is None)


def is_between_attempts(stream: Any) -> bool:
    return bool(stream.server_state == stream.state_between_attempts)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("handler", "is_ready"),
    [(never_reply, has_sent_request), (refuse, is_between_attempts)],
    ids=["waiting", "between attempts"],
)
@bounded
async def test_client_without_a_head_gets_an_error(
    handler: Any, is_ready: Callable[[Any], object], stream: bool
) -> None:
    answer, request_count = await answer_of_stopped_relay(handler, is_ready, stream=stream)
    assert answer.status == 502 and SHUTDOWN in error_of(answer)["message"]
    assert request_count == 1


@bounded
async def test_client_with_heartbeats_gets_an_event() -> None:
    answer, _ = await answer_of_stopped_relay(
        never_reply, lambda stream: stream.last_heartbeat_at, relay_heartbeat="0.1"
    )
    assert SHUTDOWN in stream_error(answer)["message"]


@bounded
async def test_reply_in_one_piece_that_has_begun_is_an_error() -> None:
    async def handler(call: Call) -> None:
        call.head(200, content_length="100")
        call.writer.write(b"{")
        await call.closed_after()

    answer, request_count = await answer_of_stopped_relay(
        handler, lambda stream: stream.response_body_buf, stream=False
    )
    assert answer.status == 502 and SHUTDOWN in error_of(answer)["message"]
    assert request_count == 1


class SlowConnect:
    async def server_connect(self, _: object) -> None:
        await asyncio.sleep(5)


@bounded
async def test_stream_that_waits_for_a_connection_is_ended() -> None:
    answer, request_count = await answer_of_stopped_relay(
        never_reply,
        lambda stream: stream.awaited_command,
        extra_addons=[SlowConnect()],
        stream=False,
    )
    assert answer.status == 502 and SHUTDOWN in error_of(answer)["message"]
    assert request_count == 0


class SlowEnd:
    """An addon whose hook outlasts the shutdown."""

    async def error(self, _: object) -> None:
        await asyncio.sleep(60)


@bounded
async def test_shutdown_does_not_wait_for_ever() -> None:
    started_at = time.monotonic()
    running = relay(never_reply, extra_addons=[SlowEnd()])
    above, port = await running.__aenter__()
    async with Client.connect(port) as client:
        client.send("/v1/responses", b'{"model": "m", "input": "Hi.", "stream": true}')
        await wait_until(lambda: len(above.seen) == 1)
        await running.__aexit__(None, None, None)
    assert time.monotonic() - started_at < SHUTDOWN_LIMIT + 10


@bounded
async def test_many_streams_at_once_are_ended() -> None:
    running = relay(speak_and_stall)
    _, port = await running.__aenter__()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client.connect(port)) for _ in range(20)]
        answers = [asyncio.create_task(ask(client)) for client in clients]
        await wait_until(lambda: sum(stream.head_sent for stream in running_streams()) == 20)
        await running.__aexit__(None, None, None)
        for answer in answers:
            assert SHUTDOWN in stream_error(await answer)["message"]
