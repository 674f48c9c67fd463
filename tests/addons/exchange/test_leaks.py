"""The whole relay, and upstreams that repeat its key: it reaches no client, log, page or file."""

import json
import logging
import zlib
from pathlib import Path

import pytest

from addons.dashboard.addon import Dashboard
from addons.observe.exchange_record import RecordLog
from addons.observe.usage_totals import UsageCounter
from tests.addons.chain import exchange_addons
from tests.addons.proxy import Call, Client, Handler, bounded, proxy, upstream
from tests.translate.support import chunk
from tests.translate.support import stream as chat

KEY = "sk-Ky/4_repeated+by~Upstream9"
ESCAPED_KEY = KEY.replace("/", "\\/").replace("+", "\\u002B")
TEXT_CHUNKS = chat(
    {"id": KEY, **chunk(reasoning_content=f"The key is {KEY}.")},
    chunk(content=f"It is {KEY}, and "),
    chunk(content=f"Bearer {KEY}"),
    chunk("stop"),
)
CALL = {"index": 0, "id": "c1", "function": {"name": KEY, "arguments": json.dumps({"key": KEY})}}
CALL_CHUNKS = chat(
    chunk(content="Let me see. "),
    chunk(tool_calls=[CALL]),
    chunk("tool_calls"),
)
# The deltas pass, as holding text back would delay it; nothing that joins them does.
DELTAS = [KEY[at : at + 5] for at in range(0, len(KEY), 5)]
DELTA_CHUNKS = chat(*(chunk(content=delta) for delta in DELTAS), chunk("stop"))
ERROR = {"error": {"message": f"The key {KEY} is wrong", "code": KEY, "param": KEY, "type": KEY}}
WHOLE = {"choices": [{"message": {"content": f"It is {KEY}"}, "finish_reason": "stop"}], "id": KEY}


def streams(*pieces: bytes, **headers: str) -> Handler:
    def answer(upstream_call: Call) -> None:
        upstream_call.stream(*(piece for piece in pieces if piece), **headers)
        upstream_call.end()

    return answer


def replies(status: int, body: object, **headers: str) -> Handler:
    content = json.dumps(body).encode()
    return lambda call: call.reply(status, content, content_type="application/json", **headers)


def writes(data: bytes) -> Handler:
    def answer(upstream_call: Call) -> None:
        upstream_call.writer.write(data)
        upstream_call.cut()

    return answer


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def gzipped(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return encoder.compress(data) + encoder.flush()


ESCAPED_CHUNKS = TEXT_CHUNKS.replace(KEY.encode(), ESCAPED_KEY.encode())
UPSTREAMS: dict[str, Handler] = {
    "a stream": streams(TEXT_CHUNKS),
    "a stream in small pieces": streams(*pieces_of(TEXT_CHUNKS, 7)),
    "a stream in single bytes": streams(*pieces_of(TEXT_CHUNKS, 1)),
    "a stream with escapes": streams(ESCAPED_CHUNKS),
    "a stream with escapes in small pieces": streams(*pieces_of(ESCAPED_CHUNKS, 5)),
    "a stream with calls": streams(CALL_CHUNKS),
    "a stream with the key in several deltas": streams(DELTA_CHUNKS),
    "a stream with the key in several deltas that is cut": lambda call: (
        call.stream(chat(*(chunk(content=delta) for delta in DELTAS), done=False)),
        call.cut(),
    )[0],
    "a stream that is cut": lambda call: (call.stream(TEXT_CHUNKS[:-80]), call.cut())[0],
    "a stream that is cut in the key": streams(
        TEXT_CHUNKS[: TEXT_CHUNKS.index(KEY.encode()) + 20]
    ),
    "a compressed stream": streams(gzipped(TEXT_CHUNKS), content_encoding="gzip"),
    "an error in a stream": streams(chat(chunk(content="Well. "), ERROR)),
    "a stream of an error": streams(chat(ERROR)),
    "a stream of a retryable error": streams(
        chat({"error": {"message": KEY, "code": "server_error"}})
    ),
    "headers": streams(TEXT_CHUNKS, x_key=KEY, set_cookie=f"a={KEY}", retry_after=KEY),
    "a whole reply": replies(200, WHOLE),
    "an error with status 200": replies(200, ERROR),
    "a refusal": replies(401, ERROR, retry_after=KEY, www_authenticate=KEY),
    "too many requests": replies(429, ERROR, retry_after=KEY, x_key=KEY),
    "a refusal as text": lambda call: call.reply(500, f"<b>{KEY}".encode()),
    "a malformed status line": writes(f"HTTP/1.1 {KEY} {KEY}\r\n\r\n".encode()),
    "a malformed header": writes(f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode()),
    "a malformed length": writes(f"HTTP/1.1 200 OK\r\ncontent-length: {KEY}\r\n\r\n".encode()),
    "no HTTP": writes(f"{KEY}\r\n\r\n".encode()),
    "a reason": writes(f"HTTP/1.1 403 {KEY}\r\ncontent-length: 0\r\n\r\n".encode()),
    "a malformed chunk": writes(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + KEY.encode() + b"\r\n\r\n"
    ),
    "a redirect": replies(302, {}, location=f"http://{KEY}/{KEY}"),
    "data after its reply": writes(b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}" + KEY.encode()),
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "stream"),
    [("/v1/responses", True), ("/v1/responses", False), ("/v1/chat/completions", True)],
)
@pytest.mark.parametrize("name", UPSTREAMS)
@bounded
async def test_key_that_an_upstream_repeats_leaves_the_relay_nowhere(
    name: str, stream: bool, path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    files = {"save_stream_file": str(tmp_path / "flows"), "hardump": str(tmp_path / "flows.har")}
    relay_options = {"relay_record": str(tmp_path / "corpus"), "relay_retries": "1"}
    chain = exchange_addons(Dashboard(), UsageCounter(), RecordLog())
    handler = UPSTREAMS[name]
    async with upstream(handler) as above:
        url = f"http://127.0.0.1:{above.port}/v1"
        options = {"relay_upstream": url, "relay_api_key": KEY, "relay_store": "off"}
        async with proxy(*chain, **options, **files, **relay_options) as (_, port):
            async with Client.connect(port) as client:
                body = {"model": "m", "input": "Hi.", "stream": stream}
                body["messages"] = [{"role": "user", "content": "Hi."}]
                answer = await client.ask(path, json.dumps(body).encode(), host="localhost")
                shown = {"reply": repr((answer.status, answer.headers, answer.body))}
                assert answer.status != 401 or b'"code"' in answer.body
            for page in ("/relay/data", "/metrics"):
                async with Client.connect(port) as client:
                    client.send(page, b"", method="GET", host="localhost")
                    await client.head()
                    shown[page] = repr(await client.rest())
    assert above.seen[0].headers["authorization"] == f"Bearer {KEY}"
    shown |= {file.name: repr(file.read_bytes()) for file in tmp_path.rglob("*.*")}
    shown["flows"] = repr((tmp_path / "flows").read_bytes())
    shown["log"] = repr([record.getMessage() for record in caplog.records if is_ours(record)])
    for place, text in shown.items():
        for part in (KEY, ESCAPED_KEY, "repeated+by", "repeated\\\\u002B"):
            assert part not in text, (place, text[max(text.index(part) - 300, 0) :][:600])


def is_ours(record: logging.LogRecord) -> bool:
    return record.name not in ("hpack", "asyncio")
