"""Bodies of replies: decoded while they arrive, and ended at their limit."""

import asyncio
import gzip
import json
import resource
import zlib
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard

from addons.launch import RelayProcess, start
from tests.addons.exchange.test_addon import (
    HELLO,
    ask,
    ask_once,
    completed_text,
    error_of,
    relay,
    reply,
    stream_error,
)
from tests.addons.exchange.test_chat_clients import PATH as CHAT_PATH
from tests.addons.exchange.test_native_upstreams import DONE, completed
from tests.addons.proxy import Answer, Call, Client, Handler, bounded, upstream
from tests.encoders import raw_deflate
from tests.process_memory import MEGABYTE, NEEDS_PROC, address_space, peak_memory, reset_peak
from tests.translate.support import check_well_formed, chunk, events_of, events_wire
from tests.translate.support import stream as chat

PIECE = chat(chunk(content="x" * 1000), done=False)
WHOLE_CHAT = json.dumps(
    {"choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]}
).encode()
NATIVE = {"relay_provider": "responses"}
CLOSE_LIMIT = 2.0  # s within which the upstream's connection must be closed


def two_members(data: bytes) -> bytes:
    return gzip.compress(data[:40]) + gzip.compress(data[40:])


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip of two members": ("GZip", two_members),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
}
BOMBS = ["gzip", "raw deflate", "br", "zstd"]


def encoded(name: str, body: bytes, size: int = 0, status: int = 200) -> Handler:
    """A reply with this body in one of the ENCODERS, in pieces of `size` bytes."""
    coding, encode = ENCODERS[name]
    data = encode(body)

    async def handler(call: Call) -> None:
        call.head(status, content_encoding=coding, transfer_encoding="chunked")
        for offset in range(0, len(data), size or len(data)):
            call.chunks(data[offset : offset + (size or len(data))])
            await call.writer.drain()
        call.end()

    return handler


class Flood:
    """A reply that goes on until its connection is closed."""

    def __init__(self, piece: bytes, start: bytes = b"", status: int = 200) -> None:
        self.piece, self.start, self.status = piece, start, status
        self.sent, self.closed = 0, asyncio.Event()

    async def __call__(self, call: Call) -> None:
        call.head(self.status, content_type="text/event-stream", transfer_encoding="chunked")
        call.chunks(self.start) if self.start else None
        try:
            while not call.writer.is_closing():
                call.chunks(self.piece)
                await call.writer.drain()
                self.sent += len(self.piece)
        finally:
            self.closed.set()


async def ask_as(client: str, port: int, stream: bool) -> Answer:
    if client == "responses":
        return await ask_once(port, stream=stream)
    async with Client.connect(port) as connection:
        fields = {"messages": [{"role": "user", "content": "Hi"}], "input": None}
        return await ask(connection, CHAT_PATH, stream=stream, **fields)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("name", ENCODERS)
@bounded
async def test_every_encoding_is_read(name: str, size: int, stream: bool) -> None:
    body = reply() if stream else WHOLE_CHAT
    async with relay(encoded(name, body, size)) as (above, port):
        assert completed_text(await ask_once(port, stream=stream)) == "Hi."
    assert len(above.seen) == 1


@pytest.mark.parametrize("name", ENCODERS)
@bounded
async def test_encoded_error_is_read(name: str) -> None:
    body = b'{"error": {"message": "no such colour"}}'
    async with relay(encoded(name, body, status=400)) as (_, port):
        answer = await ask_once(port)
    assert answer.status == 400 and "no such colour" in error_of(answer)["message"]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("coding", ["gzip", "br", "utf-8", "bz2", "zlib"])
@bounded
async def test_encoding_that_is_only_named_is_ignored(coding: str, stream: bool) -> None:
    def handler(call: Call) -> None:
        call.stream(reply(), content_encoding=coding)
        call.end()

    async with relay(handler) as (_, port):
        assert completed_text(await ask_once(port, stream=stream)) == "Hi."


@pytest.mark.parametrize("status", [201, 206, 299])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@bounded
async def test_any_2xx_is_a_reply(status: int, stream: bool) -> None:
    def handler(call: Call) -> None:
        call.reply(status, reply())

    async with relay(handler) as (_, port):
        assert completed_text(await ask_once(port, stream=stream)) == "Hi."


# The limit


@pytest.mark.parametrize("client", ["responses", "chat"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@bounded
async def test_reply_past_its_limit_ends_once_and_its_connection_is_closed(
    stream: bool, client: str
) -> None:
    flood = Flood(PIECE)
    async with relay(flood, relay_max_reply="100KB") as (above, port):
        answer = await ask_as(client, port, stream)
        await asyncio.wait_for(flood.closed.wait(), CLOSE_LIMIT)
    assert len(above.seen) == 1
    if not stream:
        assert answer.status == 502
        assert "relay_max_reply" in error_of(answer)["message"]
    elif client == "responses":
        error = stream_error(answer)
        assert "more than 102,400 bytes (relay_max_reply)" in error["message"]
    else:
        assert answer.body.count(b"relay_max_reply") == 1
        assert b"[DONE]" not in answer.body


@bounded
async def test_reply_past_its_limit_lets_another_upstream_answer() -> None:
    flood = Flood(b" " * 1000)
    options = {"relay_model_map": "*:a|b", "relay_max_reply": "50KB"}

    def handler(call: Call) -> Any:
        if json.loads(call.body)["model"] == "a":
            return flood(call)
        call.stream(reply())
        call.end()

    async with relay(handler, **options) as (above, port):
        assert completed_text(await ask_once(port, stream=False)) == "Hi."
    assert [json.loads(call.body)["model"] for call in above.seen] == ["a", "b"]


@pytest.mark.parametrize("start", [b"", PIECE], ids=["at once", "later"])
@pytest.mark.parametrize(
    "piece", [b"x" * 5000, b" " * 5000, b": ping\n\n" * 500, b"data: 1\n" * 500]
)
@bounded
async def test_reply_without_any_event_is_bounded(piece: bytes, start: bytes) -> None:
    """An endless line, white space, comments, one endless event."""
    flood = Flood(piece, start)
    async with relay(flood, relay_max_reply="300KB", relay_max_event="100KB") as (_, port):
        answer = await ask_once(port)
        await asyncio.wait_for(flood.closed.wait(), CLOSE_LIMIT)
    error = stream_error(answer) if answer.status == 200 else error_of(answer)
    assert error["message"]


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@bounded
async def test_bomb_is_bounded(name: str, stream: bool) -> None:
    async with relay(encoded(name, PIECE * 4000), relay_max_reply="200KB") as (above, port):
        answer = await ask_once(port, stream=stream)
    error = stream_error(answer) if answer.status == 200 else error_of(answer)
    assert "relay_max_reply" in error["message"]
    assert len(above.seen) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@bounded
async def test_endless_error_is_known_by_its_beginning(stream: bool) -> None:
    flood = Flood(b"no colour " * 1000, status=400)
    async with relay(flood) as (above, port):
        answer = await ask_once(port, stream=stream)
        await asyncio.wait_for(flood.closed.wait(), CLOSE_LIMIT)
    assert answer.status == 400 and "no colour" in error_of(answer)["message"]
    assert len(above.seen) == 1 and len(answer.body) < 10_000


@bounded
async def test_bomb_of_an_error_is_known_by_its_beginning() -> None:
    async with relay(encoded("gzip", b"no colour " * 4_000_000, status=400)) as (_, port):
        answer = await ask_once(port)
    assert answer.status == 400 and "no colour" in error_of(answer)["message"]


@bounded
async def test_content_that_breaks_in_the_middle() -> None:
    data = gzip.compress(PIECE * 20)

    async def handler(call: Call) -> None:
        call.stream(data[:60], content_encoding="gzip")
        await asyncio.sleep(0.1)
        call.chunks(b"\0\xff" * 400)
        await call.closed_after()

    async with relay(handler, relay_retries="0") as (_, port):
        answer = await ask_once(port)
    message = (stream_error(answer) if answer.status == 200 else error_of(answer))["message"]
    assert "broken gzip" in message


# Replies whose end is missing


async def stall(call: Call) -> None:
    await call.closed_after()


def ending(*parts: bytes, end: Callable[[Call], Any]) -> Handler:
    async def handler(call: Call) -> None:
        call.stream(*parts)
        await call.writer.drain()
        await asyncio.sleep(0.05)
        if (waiting := end(call)) is not None:
            await waiting

    return handler


FINISHED = {
    "done": ({}, reply()),
    "native": (NATIVE, events_wire(completed(DONE))),
}
# Without [DONE] the chunk with the usage may follow.
WITH_REASON = {
    **FINISHED,
    "finish_reason": ({}, chat(chunk(content="Hi."), chunk("stop"), done=False)),
}


@pytest.mark.parametrize("end", [Call.cut, Call.reset])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("kind", WITH_REASON)
@bounded
async def test_torn_reply_that_was_finished_is_complete(
    kind: str, stream: bool, end: Callable[[Call], Any]
) -> None:
    options, body = WITH_REASON[kind]
    async with relay(ending(body, end=end), **options) as (above, port):
        assert completed_text(await ask_once(port, stream=stream)) == "Hi."
    assert len(above.seen) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("kind", FINISHED)
@bounded
async def test_finished_reply_ends_without_the_upstreams_end(kind: str, stream: bool) -> None:
    """The default limit of silence is longer than this test."""
    options, body = FINISHED[kind]
    heartbeat = {} if stream else {"relay_heartbeat": "1"}
    async with relay(ending(body, end=stall), **options, **heartbeat) as (above, port):
        answer = await ask_once(port, stream=stream)
    assert completed_text(answer) == "Hi."
    assert len(above.seen) == 1


@bounded
async def test_torn_json_is_not_complete() -> None:
    def handler(call: Call) -> None:
        call.head(200, content_type="application/json", content_length="1000")
        call.writer.write(WHOLE_CHAT[:-1])
        call.cut()

    async with relay(handler, relay_retries="1,5s") as (above, port):
        answer = await ask_once(port, stream=False)
    assert answer.status == 502 and len(above.seen) == 2
    assert (
        "the upstream closed the connection in the middle of its reply"
        in error_of(answer)["message"]
    )


@bounded
async def test_events_after_the_end_do_not_hold_the_client() -> None:
    flood = Flood(b": ping\n\n" * 100, reply())
    async with relay(flood, relay_max_reply="5MB") as (_, port):
        answer = await ask_once(port)
        await asyncio.wait_for(flood.closed.wait(), CLOSE_LIMIT)
    assert completed_text(answer) == "Hi."
    assert events_of(answer.body)[-1]["type"] == "response.completed"


# Replies that decode to much more than they are


# Most of each chunk is a field that the relay ignores.
LONG_CHUNKS = [{**chunk(content=f"{index} "), "padding": "x" * 1000} for index in range(20_000)]
LONG_TEXT = "".join(f"{index} " for index in range(20_000))
SHORT_COUNT = 3000
SHORT_TEXT = LONG_TEXT[: LONG_TEXT.index(f" {SHORT_COUNT} ") + 1]
TERMINAL_TYPES = {"response.completed", "response.failed", "response.incomplete", "error"}


@cache
def long_reply() -> bytes:
    """A stream of more than 20 MB, which few reads bring when it is compressed."""
    body = chat(*LONG_CHUNKS, chunk("stop"))
    assert len(body) > 20 * MEGABYTE and len(gzip.compress(body)) < 256 << 10
    return body


class Ticker:
    """An upstream whose stream goes on until it is told to end."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self, call: Call) -> None:
        call.stream()
        while not self.ended.is_set():
            call.chunks(PIECE)
            await call.writer.drain()
            await asyncio.sleep(0.001)
        call.chunks(chat(chunk("stop")))
        call.end()


async def chunks_from(client: Client, **fields: Any) -> AsyncIterator[bytes]:
    client.send("/v1/responses", json.dumps({**HELLO, **fields}).encode())
    assert (await client.head()).status == 200
    while data := await client.chunk():
        yield data


async def count_chunks(chunks: AsyncIterator[bytes], counts: list[int]) -> None:
    """Count each chunk in the last of the counts."""
    async for _ in chunks:
        counts[-1] += 1


def long_or_ticking(long: Handler, ticker: Ticker) -> Handler:
    return lambda call: (long if json.loads(call.body)["model"] == "long" else ticker)(call)


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_reply_that_decodes_to_much_lets_others_go_on(name: str) -> None:
    ticker = Ticker()
    handler = long_or_ticking(encoded(name, long_reply()), ticker)

    async def run() -> None:
        async with (
            relay(handler) as (above, port),
            Client.connect(port) as client,
            Client.connect(port) as bystander,
        ):
            counts, parts = [0], list[bytes]()
            ticking = asyncio.create_task(count_chunks(chunks_from(bystander), counts))
            async for data in chunks_from(client, model="long"):
                if not parts:
                    counts.append(0)
                parts.append(data)
            counts.append(0)
            ticker.ended.set()
            await ticking
        assert len(above.seen) == 2
        events = events_of(b"".join(parts))
        check_well_formed(events)
        assert [each["type"] for each in events if each["type"] in TERMINAL_TYPES] == [
            "response.completed"
        ]
        deltas = [each for each in events if each["type"] == "response.output_text.delta"]
        assert "".join(each["delta"] for each in deltas) == LONG_TEXT
        print("COUNTS", counts)
        assert counts[1] >= 20, counts

    bounded(run, 60.0)()  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [Call.end, Call.cut])
@bounded
async def test_whole_reply_that_decodes_to_much_is_complete(end: Callable[[Call], Any]) -> None:
    body = chat(*LONG_CHUNKS[:SHORT_COUNT], chunk("stop"))

    def handler(call: Call) -> None:
        call.stream(gzip.compress(body), content_encoding="gzip")
        end(call)

    async with relay(handler) as (above, port):
        answer = await ask_once(port, stream=False)
    assert completed_text(answer) == SHORT_TEXT
    assert len(above.seen) == 1


@bounded
async def test_torn_reply_that_decodes_to_much_keeps_all_that_came() -> None:
    def handler(call: Call) -> None:
        packer = zlib.compressobj(wbits=31)
        data = packer.compress(chat(*LONG_CHUNKS[:SHORT_COUNT], done=False))
        call.stream(data + packer.flush(zlib.Z_SYNC_FLUSH), content_encoding="gzip")
        call.cut()

    async with relay(handler) as (above, port):
        answer = await ask_once(port)
    assert "in the middle of its reply" in stream_error(answer)["message"]
    deltas = [each.get("delta", "") for each in events_of(answer.body)]
    assert "".join(each for each in deltas if isinstance(each, str)) == SHORT_TEXT
    assert len(above.seen) == 1


@bounded
async def test_limit_ends_a_reply_between_its_turns() -> None:
    async with relay(encoded("gzip", long_reply()), relay_max_reply="2MB") as (above, port):
        answer = await ask_once(port)
    assert "relay_max_reply" in stream_error(answer)["message"]
    text = "".join(each.get("delta", "") for each in events_of(answer.body))
    count = len(text.split())
    assert 1000 < count < 2000 and LONG_TEXT.startswith(text)
    assert len(above.seen) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@bounded
async def test_another_attempt_drops_what_is_left_of_a_reply(stream: bool) -> None:
    """A refusal as the first event of a long stream, and a whole reply past its limit."""
    refusal = b'data: {"error": {"message": "busy", "code": 503}}\n\n'

    def handler(call: Call) -> Any:
        is_first = json.loads(call.body)["model"] == "a"
        long = refusal + b": ping\n\n" * 500_000
        return encoded("gzip", long if is_first else reply())(call)

    options = {"relay_model_map": "*:a|b", "relay_max_reply": "1MB", "relay_retries": "0"}
    async with relay(handler, **options) as (above, port):
        assert completed_text(await ask_once(port, stream=stream)) == "Hi."
    assert [json.loads(call.body)["model"] for call in above.seen] == ["a", "b"]


@bounded
async def test_client_may_leave_between_the_turns_of_a_reply() -> None:
    async with relay(encoded("gzip", long_reply()), encoded("gzip", reply())) as (_, port):
        async with Client.connect(port) as client:
            await anext(chunks_from(client))
        assert completed_text(await ask_once(port)) == "Hi."


# In a process of its own: what replies cost at their worst


BOMB_SIZE = 400  # MB
# What one reply may cost: its bytes as pieces, joined, and as parsed events.
REPLY_LIMIT, MEMORY_LIMIT = 8 * MEGABYTE, 80 * MEGABYTE


@cache
def bomb(coding: str) -> bytes:
    """White space, compressed."""
    megabyte = b" " * MEGABYTE
    if coding == "gzip":
        return gzip.compress(megabyte, mtime=0) * BOMB_SIZE
    if coding == "zstd":
        return zstandard.compress(megabyte) * BOMB_SIZE
    packer = brotli.Compressor(quality=1)
    parts = [packer.process(megabyte) for _ in range(BOMB_SIZE)]
    return b"".join([*parts, packer.finish()])


def explode(coding: str) -> Handler:
    return lambda call: call.reply(200, bomb(coding), content_encoding=coding)


async def huge_head(call: Call) -> None:
    call.writer.write(b"HTTP/1.1 200 OK\r\nX-A: ")
    for _ in range(30):
        call.writer.write(b"a" * MEGABYTE)
        await call.writer.drain()


# A stream of large deltas.
DELTAS = chat(chunk(content="x" * 60_000), done=False)
REPLIES: dict[str, Handler] = {
    "flood": Flood(DELTAS),
    "line": Flood(b"x" * 60_000),
    "error": Flood(b"x" * 60_000, status=500),
    "head": huge_head,
    "gzip": explode("gzip"),
    "br": explode("br"),
    "zstd": explode("zstd"),
}


@NEEDS_PROC
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_reply_costs_a_bounded_amount_of_memory(stream: bool) -> None:
    def answer(call: Call) -> Any:
        return REPLIES[json.loads(call.body)["model"]](call)

    async def run() -> None:
        async with upstream(answer, refuses_lists=True) as above:
            settings = {"upstream": f"http://127.0.0.1:{above.port}/v1", "api_key": "k"}
            settings |= {"store": "off", "retries": "0", "max_reply": str(REPLY_LIMIT)}
            relay = await asyncio.to_thread(start, **settings)
            try:
                await ask_once(relay.port, model="error")  # the first request loads modules
                for name in REPLIES:
                    reset_peak(relay.pid)
                    before = peak_memory(relay.pid)
                    reply = await ask_once(relay.port, stream=stream, model=name)
                    error = stream_error(reply) if reply.status == 200 else error_of(reply)
                    assert error["message"], name
                    cost = peak_memory(relay.pid) - before
                    assert cost < MEMORY_LIMIT, f"{name}: {cost // MEGABYTE} MB"
            finally:
                await asyncio.to_thread(relay.stop)

    bounded(run, 60.0)()  # type: ignore[arg-type]


def limit_memory(relay: RelayProcess, more: int) -> None:
    """Let the process have so many bytes of address space more than it has."""
    limit = address_space(relay.pid) + more
    resource.prlimit(relay.pid, resource.RLIMIT_AS, (limit, limit))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")
@pytest.mark.parametrize(("name", "stream"), [("line", False), ("zstd", False), ("zstd", True)])
def test_lack_of_memory_ends_the_reply_and_not_the_relay(
    name: str, stream: bool, tmp_path: Path
) -> None:
    def hello(call: Call) -> None:
        call.stream(chat(chunk(content="Hi."), chunk("stop")))
        call.end()

    async def run() -> None:
        async with upstream(REPLIES[name], hello, refuses_lists=True) as above:
            relay = await asyncio.to_thread(
                start,
                upstream=f"http://127.0.0.1:{above.port}/v1",
                api_key="k",
                store="off",
                retries="0",
                max_reply="1GB",
                log=tmp_path / "relay.log",
            )
            try:
                limit_memory(relay, 200 * MEGABYTE)
                answer = await ask_once(relay.port, stream=stream)
                # A streamed reply is decoded in turns, and need not run out of memory at all.
                if stream and answer.status == 200:
                    assert stream_error(answer)["message"]
                else:
                    assert answer.status == 502 and error_of(answer)["message"]
                assert relay.poll() is None
            finally:
                await asyncio.to_thread(relay.stop)

    bounded(run, 60.0)()  # type: ignore[arg-type]
