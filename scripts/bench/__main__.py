"""What the relay adds: the same replies straight from a loopback upstream, through a mitmdump that
only passes them on, and through the relay: for a Responses client, a Chat client (chat), and
for a Chat client on an upstream that speaks Responses, as accounts do (gateway). Only the columns
of one run can be compared."""

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
PASSING = "def responseheaders(flow): flow.response.stream = True\n"


def framed(event: str) -> bytes:
    data = f"{event}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunk(**delta: str) -> bytes:
    body = {"id": "c", "object": "chat.completion.chunk", "model": "m", "created": 1}
    choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
    return framed("data: " + json.dumps(body | {"choices": [choice]}))


def event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": 1, **fields})
    return framed(f"event: {kind}\ndata: {data}")


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = framed("data: [DONE]") + b"0\r\n\r\n"
ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
AT = {"item_id": "msg_1", "output_index": 0}


class Form(NamedTuple):
    """A reply in a dialect: how it begins, a word of it, how it ends."""

    first: bytes
    word: bytes
    end: bytes


CHAT = Form(chunk(content="word"), chunk(content=" word"), chunk() + DONE)
WORD = event("response.output_text.delta", **AT, content_index=0, delta=" word")
RESPONSES = Form(
    event("response.output_item.added", output_index=0, item=ITEM) + WORD,
    WORD,
    event("response.completed", response={"status": "completed"}) + b"0\r\n\r\n",
)


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Streams as many words as the model's name says."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            path, body = await request(reader)
            form = RESPONSES if path.endswith(b"/responses") else CHAT
            count = int(json.loads(body)["model"])
            writer.write(HEAD + form.first)
            for start in range(1, count, 50):
                writer.write(form.word * min(50, count - start))
                await writer.drain()
            writer.write(form.end)
            await writer.drain()


async def request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Its path and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    return head.split()[1], await reader.readexactly(length)


@dataclass
class Client:
    """One keep-alive connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    target: str
    host: str

    async def turn(self, chunks: int, text: str) -> tuple[float, float]:
        """Seconds to the first and to the last byte of the reply's body."""
        said = {"input": text, "store": False}
        if self.target.endswith("/chat/completions"):
            said = {"messages": [{"role": "user", "content": text}]}
        body = json.dumps({"model": str(chunks), "stream": True, **said})
        start = time.perf_counter()
        head = f"POST {self.target} HTTP/1.1\r\nhost: {self.host}\r\n"
        self.writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        status = await self.reader.readuntil(b"\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 200"), status  # noqa: S101 - else the times are void
        seen = await self.reader.read(65536)
        first = time.perf_counter() - start
        while not seen.endswith(b"\r\n0\r\n\r\n"):
            seen = seen[-7:] + await self.reader.read(1 << 20)
        return first, time.perf_counter() - start


@contextlib.asynccontextmanager
async def mitmdump(script: Path, *options: str) -> AsyncIterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(sys.executable).with_name("mitmdump")
        port = free_port()
        running = await asyncio.create_subprocess_exec(
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
            running.terminate()
            await running.wait()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def measure(client: Client) -> dict[str, float]:
    """Medians of one round."""
    short = [await client.turn(1, "hi") for _ in range(TURNS)]
    big = [await client.turn(1, "x" * 1_000_000) for _ in range(5)]
    long = [await client.turn(CHUNKS, "hi") for _ in range(3)]
    return {
        "first byte, ms": statistics.median(first for first, _ in short) * 1000,
        "short turn, ms": statistics.median(total for _, total in short) * 1000,
        "1 MB request, ms": statistics.median(first for first, _ in big) * 1000,
        "µs a chunk": statistics.median(total for _, total in long) / CHUNKS * 1e6,
    }


async def main() -> None:
    server = await asyncio.start_server(upstream, "127.0.0.1", 0, limit=4 << 20)
    there = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        (passing := Path(folder, "passing.py")).write_text(PASSING)
        chat = f"http://127.0.0.1:{there}/v1"
        settings = "--set", f"relay_upstream={chat}"
        native = *settings, "--set", "relay_provider=responses"
        async with (
            mitmdump(passing) as bare,
            mitmdump(ROOT / "addons" / "relay.py", *settings) as relay,
            mitmdump(ROOT / "addons" / "relay.py", *native) as gateway,
        ):
            ways = {
                "direct": (there, "/v1/chat/completions"),
                "mitmdump": (bare, f"{chat}/chat/completions"),
                "relay": (relay, "/v1/responses"),
                "chat": (relay, "/v1/chat/completions"),
                "gateway": (gateway, "/v1/chat/completions"),
            }
            clients = {}
            for name, (port, target) in ways.items():
                streams = await asyncio.open_connection("127.0.0.1", port, limit=4 << 20)
                clients[name] = Client(*streams, target, f"127.0.0.1:{port}")
            rounds = [
                {name: await measure(client) for name, client in clients.items()}
                for _ in range(ROUNDS)
            ]
    report(rounds)


def report(rounds: list[dict[str, dict[str, float]]]) -> None:
    """Each figure, and under it what it is of mitmdump's in the same round."""
    print(f"{'':18}" + "".join(f"{name:>12}" for name in rounds[0]))
    for figure in rounds[0]["direct"]:
        middle = {name: statistics.median(r[name][figure] for r in rounds) for name in rounds[0]}
        print(f"{figure:18}" + "".join(f"{value:12.2f}" for value in middle.values()))
        ratios = (
            statistics.median(r[name][figure] / r["mitmdump"][figure] for r in rounds)
            for name in rounds[0]
        )
        print(f"{'  ratio':18}" + "".join(f"{ratio:12.2f}" for ratio in ratios))


asyncio.run(main())
