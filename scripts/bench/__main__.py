"""The time that the relay adds to an exchange with an upstream on loopback.

One column for each path to the same replies:

- direct: a Chat client straight at the upstream
- mitmdump: the same through a mitmdump that only passes bytes on
- relay: a Responses client at the relay, whose upstream speaks Chat
- chat: a Chat client at the same relay
- gateway: a Chat client at a relay whose upstream speaks Responses, as accounts do

One row for each figure, the median of all rounds:

- first byte: ms from the request of a short turn to the first byte of its body
- short turn: ms from the request of a short turn to its last byte
- 1 MB request: ms from a request with 1 MB of text to the first byte of the reply
- chunk: µs for each chunk of a reply of 5,000 chunks

The row `ratio` below each figure divides it by mitmdump's of the same round. The speed of a machine
varies, so compare only columns of one run.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TURNS, CHUNKS, ROUNDS = 200, 5000, 5
STREAMING_SCRIPT = "def responseheaders(flow): flow.response.stream = True\n"


def http_chunk(event: str) -> bytes:
    data = f"{event}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def chat_chunk(**delta: str) -> bytes:
    body = {"id": "c", "object": "chat.completion.chunk", "model": "m", "created": 1}
    choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
    return http_chunk("data: " + json.dumps(body | {"choices": [choice]}))


def response_event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": 1, **fields})
    return http_chunk(f"event: {kind}\ndata: {data}")


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = http_chunk("data: [DONE]") + b"0\r\n\r\n"
ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
POSITION = {"item_id": "msg_1", "output_index": 0}


class ReplyPieces(NamedTuple):
    """The bytes of a reply in one dialect."""

    first: bytes
    word: bytes
    end: bytes


CHAT = ReplyPieces(chat_chunk(content="word"), chat_chunk(content=" word"), chat_chunk() + DONE)
WORD = response_event("response.output_text.delta", **POSITION, content_index=0, delta=" word")
RESPONSES = ReplyPieces(
    response_event("response.output_item.added", output_index=0, item=ITEM) + WORD,
    WORD,
    response_event("response.completed", response={"status": "completed"}) + b"0\r\n\r\n",
)


async def serve_upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stream as many words as the model's name says."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            path, body = await read_request(reader)
            pieces = RESPONSES if path.endswith(b"/responses") else CHAT
            count = int(json.loads(body)["model"])
            writer.write(HEAD + pieces.first)
            for start in range(1, count, 50):
                writer.write(pieces.word * min(50, count - start))
                await writer.drain()
            writer.write(pieces.end)
            await writer.drain()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The path and the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    return head.split()[1], await reader.readexactly(length)


@dataclass
class BenchClient:
    """One keep-alive connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    target: str
    host: str

    async def time_reply(self, chunks: int, text: str) -> tuple[float, float]:
        """Seconds to the first and to the last byte of the reply's body."""
        prompt = {"input": text, "store": False}
        if self.target.endswith("/chat/completions"):
            prompt = {"messages": [{"role": "user", "content": text}]}
        body = json.dumps({"model": str(chunks), "stream": True, **prompt})
        start = time.perf_counter()
        head = f"POST {self.target} HTTP/1.1\r\nhost: {self.host}\r\n"
        self.writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        status = await self.reader.readuntil(b"\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 200"), status  # noqa: S101 - else the times are void
        tail = await self.reader.read(65536)
        first = time.perf_counter() - start
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            tail = tail[-7:] + await self.reader.read(1 << 20)
        return first, time.perf_counter() - start


@contextlib.asynccontextmanager
async def run_mitmdump(script: Path, *options: str) -> AsyncIterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(sys.executable).with_name("mitmdump")
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *(program, "-q", "-s", script, "-p", str(port), "--listen-host", "127.0.0.1"),
            *("--set", f"confdir={folder}", *options),
        )
        try:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                await asyncio.sleep(0.05)
            yield port
        finally:
            process.terminate()
            await process.wait()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def measure_medians(client: BenchClient) -> dict[str, float]:
    """The figures of one round for this client."""
    short = [await client.time_reply(1, "hi") for _ in range(TURNS)]
    big = [await client.time_reply(1, "x" * 1_000_000) for _ in range(5)]
    long = [await client.time_reply(CHUNKS, "hi") for _ in range(3)]
    return {
        "first byte, ms": statistics.median(first for first, _ in short) * 1000,
        "short turn, ms": statistics.median(total for _, total in short) * 1000,
        "1 MB request, ms": statistics.median(first for first, _ in big) * 1000,
        "chunk, µs": statistics.median(total for _, total in long) / CHUNKS * 1e6,
    }


async def main() -> None:
    server = await asyncio.start_server(serve_upstream, "127.0.0.1", 0, limit=4 << 20)
    upstream_port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        (pass_on := Path(folder, "pass_on.py")).write_text(STREAMING_SCRIPT)
        chat = f"http://127.0.0.1:{upstream_port}/v1"
        settings = "--set", f"relay_upstream={chat}"
        native = *settings, "--set", "relay_provider=responses"
        async with (
            run_mitmdump(pass_on) as bare,
            run_mitmdump(ROOT / "addons" / "relay.py", *settings) as relay,
            run_mitmdump(ROOT / "addons" / "relay.py", *native) as gateway,
        ):
            paths = {
                "direct": (upstream_port, "/v1/chat/completions"),
                "mitmdump": (bare, f"{chat}/chat/completions"),
                "relay": (relay, "/v1/responses"),
                "chat": (relay, "/v1/chat/completions"),
                "gateway": (gateway, "/v1/chat/completions"),
            }
            clients = {}
            for name, (port, target) in paths.items():
                streams = await asyncio.open_connection("127.0.0.1", port, limit=4 << 20)
                clients[name] = BenchClient(*streams, target, f"127.0.0.1:{port}")
            rounds = [
                {name: await measure_medians(client) for name, client in clients.items()}
                for _ in range(ROUNDS)
            ]
    print_report(rounds)


def print_report(rounds: list[dict[str, dict[str, float]]]) -> None:
    """Print each figure, and below it its ratio to mitmdump's."""
    print(f"{'':18}" + "".join(f"{name:>12}" for name in rounds[0]))
    for figure in rounds[0]["direct"]:
        medians = {name: statistics.median(r[name][figure] for r in rounds) for name in rounds[0]}
        print(f"{figure:18}" + "".join(f"{value:12.2f}" for value in medians.values()))
        ratios = (
            statistics.median(r[name][figure] / r["mitmdump"][figure] for r in rounds)
            for name in rounds[0]
        )
        print(f"{'  ratio':18}" + "".join(f"{ratio:12.2f}" for ratio in ratios))


asyncio.run(main())
