"""How long the chunks of a bystander wait while the relay takes a large request of another client.

.venv/bin/python scripts/bench/bystander.py [MB ...]

A bystander's stream brings a chunk every 5 ms. Meanwhile another client sends a request of this
many megabytes, a session of Codex with its calls and outputs. The figure is the longest wait of a
chunk on its way through the proxy in ms, the least of three rounds, as other programs disturb it.

- mitmdump: one that only passes bytes on. It reads a request whole before it sends it, so no relay
  on mitmproxy can be better.
- relay: Responses clients at a relay whose upstream speaks Chat
- chat: Chat clients at the same relay
- native: Responses clients at a relay whose upstream speaks Responses, as accounts do
- gateway: Chat clients at that relay

The promise is 50 ms for a request of 30 MB.
"""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
SIZES, ROUNDS = (1, 8, 30, 64), 3
PAUSE = 0.005  # s between two chunks
LIMIT = 60.0  # s for one request
PIECE = 1 << 18  # bytes: what this program itself sends or reads at once
STREAMING_SCRIPT = "def responseheaders(flow): flow.response.stream = True\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"\r\n0\r\n\r\n"

type Json = dict[str, Any]


class Route(NamedTuple):
    """A way from a client to the upstream."""

    options: tuple[str, ...] | None  # of the relay; None: a mitmdump without it
    target: str  # the client's


PATHS = {
    "mitmdump": Route(None, "/v1/chat/completions"),
    "relay": Route((), "/v1/responses"),
    "chat": Route((), "/v1/chat/completions"),
    "native": Route(("--set", "relay_provider=responses"), "/v1/responses"),
    "gateway": Route(("--set", "relay_provider=responses"), "/v1/chat/completions"),
}


# The upstream


def http_chunk(event: str) -> bytes:
    data = f"{event}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def text_event(path: bytes, text: str) -> bytes:
    if path.endswith(b"/responses"):
        position = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        event: Json = {"type": "response.output_text.delta", **position, "delta": text}
        return http_chunk(f"event: {event['type']}\ndata: {json.dumps(event)}")
    choice = {"index": 0, "delta": {"content": text}}
    return http_chunk("data: " + json.dumps({"id": "c", "choices": [choice]}))


def last_events(path: bytes) -> bytes:
    if path.endswith(b"/responses"):
        event: Json = {"type": "response.completed", "response": {"status": "completed"}}
        return http_chunk(f"event: {event['type']}\ndata: {json.dumps(event)}")
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunk = http_chunk("data: " + json.dumps({"id": "c", "choices": [choice]}))
    return chunk + http_chunk("data: [DONE]")


async def serve_upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a large request at once; for a small one, stream the time until the client leaves."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            path = head.split()[1]
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            is_bystander = length < 100_000
            while length:
                length -= len(await reader.readexactly(min(length, PIECE)))
            writer.write(HEAD)
            if path.endswith(b"/responses"):
                item = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
                event = {"type": "response.output_item.added", "output_index": 0, "item": item}
                writer.write(http_chunk(f"event: {event['type']}\ndata: {json.dumps(event)}"))
            while is_bystander:
                writer.write(text_event(path, f"<{time.perf_counter():.6f}>"))
                await writer.drain()
                await asyncio.sleep(PAUSE)
            writer.write(text_event(path, "Hello.") + last_events(path) + b"0\r\n\r\n")
            await writer.drain()


# The clients


def session_body(megabytes: int, target: str) -> bytes:
    """A request of about this size, as it is after many calls of a tool."""
    output = ('def greet(name):\n    return "Hello, " + name\n' * 90)[:4_000]
    is_chat = target.endswith("/chat/completions")
    items: list[Json] = [{"role": "user", "content": "Go on."}]
    for number in range(megabytes * 1_000_000 // (len(json.dumps(output)) + 250)):
        id, arguments = f"call_{number:020}", json.dumps({"cmd": f"cat {number}.py"})
        if is_chat:
            call = {"id": id, "type": "function"}
            call |= {"function": {"name": "shell", "arguments": arguments}}
            items += [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": id, "content": output},
            ]
        else:
            items += [
                {"type": "function_call", "call_id": id, "name": "shell", "arguments": arguments},
                {"type": "function_call_output", "call_id": id, "output": output},
            ]
    fields: Json = {"messages": items} if is_chat else {"input": items, "store": False}
    return json.dumps({"model": "m", "stream": True, **fields}).encode()


async def open_request(
    port: int, target: str, body: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the request, and read the head of its reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {len(body)}"
    writer.write(f"{head}\r\n\r\n".encode())
    for start in range(0, len(body), PIECE):
        writer.write(body[start : start + PIECE])
        await writer.drain()
    status = await reader.readuntil(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 200"), status  # noqa: S101 - else the figures are void
    return reader, writer


class Bystander:
    """A client that reads its stream, and notes how long each chunk was on its way."""

    def __init__(self) -> None:
        self.waits: list[float] = []  # s

    async def read_stream(self, port: int, target: str) -> None:
        text = [{"role": "user", "content": "Hello."}]
        is_chat = target.endswith("/chat/completions")
        fields: Json = {"messages": text} if is_chat else {"input": text, "store": False}
        body = json.dumps({"model": "m", "stream": True, **fields}).encode()
        reader, writer = await open_request(port, target, body)
        try:
            while True:
                line = await reader.readuntil(b">")
                sent_at = float(line.rpartition(b"<")[2][:-1])
                self.waits.append(time.perf_counter() - sent_at)
        finally:
            writer.close()


async def send_large(port: int, target: str, body: bytes) -> None:
    reader, writer = await open_request(port, target, body)
    tail = b""
    while not tail.endswith(END):
        tail = tail[-len(END) :] + await reader.read(PIECE)
    writer.close()


@contextlib.asynccontextmanager
async def run_mitmdump(script: Path, *options: str) -> AsyncIterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        program, port = Path(sys.executable).with_name("mitmdump"), free_port()
        process = await asyncio.create_subprocess_exec(
            *(program, "-q", "-s", script, "-p", str(port), "--listen-host", "127.0.0.1"),
            *("--set", f"confdir={folder}", *options),
            env={**os.environ, "HOME": folder, "XDG_DATA_HOME": folder},
        )
        try:
            for _ in range(400):
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


async def longest_waits(name: str, sizes: tuple[int, ...] = SIZES) -> list[float]:
    """Seconds for each of these sizes (MB), on this path."""
    path, waits = PATHS[name], []
    server = await asyncio.start_server(serve_upstream, "127.0.0.1", 0, limit=2 * PIECE)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        script, options, target = ROOT / "addons" / "relay.py", path.options, path.target
        if options is None:
            (script := Path(folder, "pass_on.py")).write_text(STREAMING_SCRIPT)
            options, target = (), base + path.target
        else:
            options = (*options, "--set", f"relay_upstream={base}/v1")
        async with run_mitmdump(script, *options) as port:
            bystander = Bystander()
            reading = asyncio.create_task(bystander.read_stream(port, target))
            for size in sizes:
                body = session_body(size, target)
                waits.append(
                    min([await one_wait(bystander, port, target, body) for _ in range(ROUNDS)])
                )
            reading.cancel()
            await asyncio.wait([reading])
    server.close()
    await asyncio.sleep(0.1)  # until the upstream's tasks have ended
    return waits


async def one_wait(bystander: Bystander, port: int, target: str, body: bytes) -> float:
    """The longest wait of the bystander beside this request, and for a moment after it."""
    await asyncio.sleep(0.3)
    bystander.waits.clear()
    await asyncio.wait_for(send_large(port, target, body), LIMIT)
    await asyncio.sleep(0.3)
    return max(bystander.waits)


async def main() -> None:
    sizes = tuple(map(int, sys.argv[1:])) or SIZES
    print(f"{'longest wait, ms':18}" + "".join(f"{size:>7} MB" for size in sizes))
    floor: list[float] = []
    for name in PATHS:
        waits = await longest_waits(name, sizes)
        floor = floor or waits
        print(f"{name:18}" + "".join(f"{wait * 1000:10.1f}" for wait in waits), flush=True)
        ratios = (wait / least for wait, least in zip(waits, floor, strict=True))
        print(f"{'  ratio':18}" + "".join(f"{ratio:10.2f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
