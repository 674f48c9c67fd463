"""The resident memory of mitmweb with the relay, after 100 to 2,000 exchanges of 78 kB each.

.venv/bin/python scripts/bench/memory.py
"""

import asyncio
import contextlib
import json
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from addons.launch import available_port, start  # noqa: E402 - the line above comes first

EXCHANGES, SIZE, CHUNKS = 2_000, 78_000, 40
REPORTED_AT = (100, 500, 1_000, 1_500, 2_000)


def http_chunk(data: str) -> bytes:
    event = f"data: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(event), event)


def chat_chunk(**delta: str) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
    return http_chunk(
        json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})
    )


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
REPLY = (
    HEAD + chat_chunk(content="word ") * CHUNKS + chat_chunk() + http_chunk("[DONE]") + b"0\r\n\r\n"
)


async def serve_upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
            writer.write(REPLY)
            await writer.drain()


def resident_megabytes(pid: int) -> int:
    """The resident memory of a process on Linux."""
    match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) // 1024 if match else 0


async def main() -> None:
    server = await asyncio.start_server(serve_upstream, "127.0.0.1", 0, limit=4 << 20)
    upstream_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-q", "--no-web-open-browser", "--web-port", str(available_port(0))]
        arguments += ["--set", f"confdir={folder}"]
        with start(program="mitmweb", upstream=upstream_url, arguments=arguments) as relay:
            print(f"{0:>6} exchanges  {resident_megabytes(relay.pid):>4} MB")
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port, limit=4 << 20)
            request = {"model": "m", "stream": True, "store": False, "input": "x" * SIZE}
            body = json.dumps(request).encode()
            head = f"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}"
            for number in range(1, EXCHANGES + 1):
                writer.write(f"{head}\r\n\r\n".encode() + body)
                await reader.readuntil(b"\r\n\r\n")
                await reader.readuntil(b"\r\n0\r\n\r\n")
                if number in REPORTED_AT:
                    print(f"{number:>6} exchanges  {resident_megabytes(relay.pid):>4} MB")
            writer.close()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
