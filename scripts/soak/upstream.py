"""A Chat provider on loopback that answers well most of the time, and fails in every usual way."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

Json = dict[str, Any]
HEAD = "HTTP/1.1 {}\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_HEAD = HEAD.format("200 OK", "text/event-stream").encode()
MODELS = {"object": "list", "data": [{"id": "soak", "object": "model"}]}
USAGE = {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def chat_event(delta: Json, finish_reason: str | None = None, usage: Json | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "soak"}
    return http_chunk(
        f"data: {json.dumps({**body, 'choices': [choice], 'usage': usage})}\n\n".encode()
    )


DONE = http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def text_events(words: int) -> list[bytes]:
    thoughts = [chat_event({"reasoning_content": "hm "})] * 10
    texts = [chat_event({"content": f"word{number} "}) for number in range(words)]
    return [
        chat_event({"role": "assistant"}),
        *thoughts,
        *texts,
        chat_event({}, "stop", USAGE),
        DONE,
    ]


def call_events(count: int) -> list[bytes]:
    events = [chat_event({"role": "assistant"}), chat_event({"reasoning_content": "a call "})]
    for index in range(count):
        function = {"name": "exec_command", "arguments": ""}
        call_id = f"call_{random.getrandbits(64):x}"
        head = {"index": index, "id": call_id, "type": "function", "function": function}
        events.append(chat_event({"tool_calls": [head]}))
        for part in ('{"cmd":', ' "ls"}'):
            piece = {"index": index, "function": {"arguments": part}}
            events.append(chat_event({"tool_calls": [piece]}))
    return [*events, chat_event({}, "tool_calls", USAGE), DONE]


class Broken(Exception):
    """The connection breaks here."""


async def send_steadily(events: list[bytes], pause: float = 0.0) -> AsyncIterator[bytes]:
    yield STREAM_HEAD
    for event in events:
        if pause:
            await asyncio.sleep(pause)
        yield event


async def send_error(status: str, *headers: str) -> AsyncIterator[bytes]:
    body = json.dumps({"error": {"message": "a scripted failure", "type": "server_error"}})
    lines = "".join(f"{header}\r\n" for header in headers)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{lines}"
    yield f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


async def send_half() -> AsyncIterator[bytes]:
    yield STREAM_HEAD + b"".join(text_events(20)[:15])
    raise Broken


async def send_nothing() -> AsyncIterator[bytes]:
    raise Broken
    yield b""


async def send_nonsense() -> AsyncIterator[bytes]:
    yield STREAM_HEAD + http_chunk(b"data: {not json\n\n" * 20) + b"".join(text_events(5))


# Weight, and the reply.
REPLIES: list[tuple[int, Callable[[], AsyncIterator[bytes]]]] = [
    (45, lambda: send_steadily(call_events(1))),
    (10, lambda: send_steadily(call_events(3))),
    (20, lambda: send_steadily(text_events(60))),
    (10, lambda: send_steadily(text_events(30), pause=0.02)),
    (2, lambda: send_steadily(text_events(3000))),
    (3, lambda: send_error("429 Too Many Requests", "retry-after: 0")),
    (3, lambda: send_error("500 Internal Server Error")),
    (1, lambda: send_error("400 Bad Request")),
    (2, send_half),
    (2, send_nothing),
    (2, send_nonsense),
]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection of the relay's."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, Broken):
        while True:
            request = (await reader.readuntil(b"\r\n\r\n")).lower()
            if request.startswith(b"get"):
                body = json.dumps(MODELS)
                writer.write(
                    f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
                )
                continue
            await reader.readexactly(int(request.split(b"content-length:")[1].split(b"\r\n")[0]))
            weights, replies = zip(*REPLIES, strict=True)
            [reply] = random.choices(replies, weights)  # noqa: S311 - no secret
            async for piece in reply():
                writer.write(piece)
                await writer.drain()
    writer.close()
