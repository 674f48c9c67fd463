"""Requests that are too large are refused in the form of the client's API, and nothing is kept."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import ctx

from addons.launch import RelayProcess, start
from tests.addons.chain import exchange_addons
from tests.addons.endpoints.calls import CODEX_CLIENT, relay_client
from tests.addons.ingress.relays import KEY, own_address, relay
from tests.addons.proxy import Answer, Call, Client, Client2, bounded, confdir, proxy, upstream
from tests.encoders import ENCODERS
from tests.process_memory import NEEDS_PROC, peak_memory

LIMITS = {
    "relay_max_request": "20KB,40KB",
    "relay_max_side_call": "5KB",
    "relay_max_head": "4KB",
}
# A refusal in the form of both APIs, which have the same.
MODEL_PATHS = ("/v1/responses", "/v1/chat/completions", "/v1/responses/compact")
SIDE_CALLS = (
    *(("GET", "/health"), ("GET", "/v1/responses/resp_1"), ("OPTIONS", "/v1/responses")),
    *(("OPTIONS", "/health"), ("POST", "/auth/import"), ("POST", "/relay/session")),
    *(("POST", "/nothing"), ("PUT", "/v1/responses")),
)
GIGABYTE = 1 << 30
MEMORY_LIMIT = (64 + 100) << 20  # bytes: one request's body, and some room


def reply_ok(call: Call) -> None:
    call.reply(200, b"{}", content_type="application/json")


def send_head(client: Client, method: str, path: str, framing: str, **headers: str) -> None:
    """A request without its body."""
    fields = {"host": "localhost", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    client.writer.write(f"{method} {path} HTTP/1.1\r\n{lines}{framing}\r\n\r\n".encode())


async def refusal_of(client: Client) -> dict[str, Any]:
    """The error in OpenAI's form; its type and code are checked."""
    await client.head()
    body = json.loads(await client.rest())
    assert client.answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = body["error"]
    assert error.keys() >= {"message", "type", "code", "param"}
    return error


@pytest.mark.parametrize("path", MODEL_PATHS)
@bounded
async def test_declared_size_of_a_model_request_is_checked_at_its_head(path: str) -> None:
    async with relay_client(reply_ok, **LIMITS) as (client, calls):
        send_head(client, "POST", path, "content-length: 20481")
        error = await refusal_of(client)
        assert client.answer.status == 413
        assert error["code"] == "request_too_large" and "20KB" in error["message"]
        assert client.answer.headers["connection"] == "close"
        assert calls == []


@pytest.mark.parametrize("path", MODEL_PATHS)
@bounded
async def test_chunked_model_requests_are_counted(path: str) -> None:
    async with relay_client(reply_ok, **LIMITS) as (client, calls):
        send_head(client, "POST", path, "transfer-encoding: chunked")
        client.writer.write(b"3000\r\n" + b"x" * 0x3000 + b"\r\n")
        client.writer.write(b"3000\r\n" + b"x" * 0x3000 + b"\r\n")
        assert (await refusal_of(client))["code"] == "request_too_large"
        assert client.answer.status == 413 and calls == []


@bounded
async def test_codex_gets_the_same_refusal() -> None:
    async with relay(**LIMITS) as port:
        for framing in ("content-length: 20481", "transfer-encoding: chunked"):
            async with Client.connect(port, tunnel="chatgpt.com") as client:
                path, host = "/backend-api/codex/responses", "chatgpt.com"
                send_head(client, "POST", path, framing, **CODEX_CLIENT | {"host": host})
                if "chunked" in framing:
                    client.writer.write(b"6000\r\n" + b"x" * 0x6000 + b"\r\n")
                assert (await refusal_of(client))["code"] == "request_too_large"
                assert client.answer.status == 413


@pytest.mark.parametrize(("method", "path"), SIDE_CALLS)
@pytest.mark.parametrize("framing", ["content-length: 300000000", "transfer-encoding: chunked"])
@bounded
async def test_all_other_calls_have_small_bodies(method: str, path: str, framing: str) -> None:
    async with relay_client(reply_ok, **LIMITS) as (client, calls):
        send_head(client, method, path, framing)
        if "chunked" in framing:
            client.writer.write(b"1401\r\n" + b"x" * 0x1401 + b"\r\n")
        assert "relay_max_side_call" in (await refusal_of(client))["message"]
        assert client.answer.status == 413 and calls == []


@bounded
async def test_sizes_at_the_limit_are_served() -> None:
    def answer(call: Call) -> None:
        message = {"role": "assistant", "content": "Hi."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        call.reply(200, json.dumps({"choices": [choice]}).encode())

    async with relay_client(answer, **LIMITS) as (client, _):
        body = json.dumps({"model": "m", "input": "x" * 20_000}).encode()
        body += b" " * (20 * 1024 - len(body))
        assert (await client.ask("/v1/responses", body)).status == 200
        assert (await client.ask("/v1/responses", body + b" ")).status == 413
    async with relay_client(answer, **LIMITS) as (client, _):
        client.send("/health", b" " * 5 * 1024, method="GET")
        assert (await client.head()).status == 200


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize(("path", "limit"), [("/v1/responses", "40KB"), ("/auth/import", "5KB")])
@bounded
async def test_decompressed_size_is_bounded(encoding: str, path: str, limit: str) -> None:
    async with relay_client(reply_ok, **LIMITS) as (client, calls):
        bomb = ENCODERS[encoding](b'{"input": "' + b"x" * 1_000_000)
        assert len(bomb) < 5 * 1024
        client.send(path, bomb, content_encoding=encoding)
        error = await refusal_of(client)
        assert client.answer.status == 413
        assert f"larger than {limit} when it is decompressed" in error["message"]
        assert calls == []


@pytest.mark.parametrize("encoding", ENCODERS)
@bounded
async def test_compressed_requests_are_served(encoding: str) -> None:
    async with relay(relay_provider="demo") as port, Client.connect(port) as client:
        body = ENCODERS[encoding](b'{"model": "demo", "input": "Hello."}')
        answer = await client.ask("/v1/responses", body, content_encoding=encoding)
        assert answer.status == 200


@bounded
async def test_broken_encodings_are_the_clients_mistake() -> None:
    async with relay_client(reply_ok) as (client, calls):
        for encoding in (*ENCODERS, "bz2"):
            client.send("/v1/responses", b"\x07nonsense" * 9, content_encoding=encoding)
            assert "not readable" in (await refusal_of(client))["message"]
            assert client.answer.status == 400
        assert calls == []


@bounded
async def test_refused_content_is_not_kept() -> None:
    """A page of mitmproxy's would decode it without a limit."""
    flows = []

    class Keeper:
        def response(self, flow: Any) -> None:
            flows.append(flow)

    chain = exchange_addons(Keeper())
    async with proxy(*chain, **LIMITS) as (_, port), Client.connect(port) as client:
        bomb = gzip.compress(b"x" * 1_000_000)
        assert (await client.ask("/v1/responses", bomb, content_encoding="gzip")).status == 413
    assert [flow.request.raw_content for flow in flows] == [b""]


@bounded
async def test_large_heads_are_refused_before_the_key_is_asked_for() -> None:
    async with relay(relay_client_key=KEY, **LIMITS) as port, Client.connect(port) as client:
        send_head(client, "GET", "/v1/models", "x: y", long="x" * 5000)
        assert "relay_max_head" in (await refusal_of(client))["message"]
        assert client.answer.status == 431


@bounded
async def test_http2_heads_past_the_limit_get_a_431() -> None:
    async with relay(http2=True, **LIMITS) as port, Client2.connect(port) as client:
        stream = client.wire.get_next_available_stream_id()
        pseudo = {
            **{":method": "GET", ":scheme": "https"},
            **{":authority": "localhost", ":path": "/health"},
        }
        client.wire.send_headers(stream, [*pseudo.items(), ("long", "x" * 4500)], end_stream=True)
        client.flush()
        answer = await client.rest(stream)
        assert answer.status == 431
        assert "relay_max_head" in json.loads(answer.body)["error"]["message"]


@bounded
async def test_requests_for_other_hosts_are_passed_on_without_being_held() -> None:
    async with upstream(reply_ok) as server, relay(**LIMITS) as port:
        url = f"http://127.0.0.1:{server.port}/upload"
        async with Client.connect(port) as client:
            assert (await client.ask(url, b"x" * 100_000)).status == 200
        assert [len(call.body) for call in server.seen] == [100_000]
        async with Client.connect(port) as client:  # of unknown length, it is held, and counted
            send_head(client, "POST", url, "transfer-encoding: chunked")
            client.writer.write(b"6000\r\n" + b"x" * 0x6000 + b"\r\n")
            assert (await refusal_of(client))["code"] == "request_too_large"
        assert len(server.seen) == 1


@bounded
async def test_a_change_of_the_options_counts_at_once() -> None:
    async with relay(**LIMITS) as port, Client.connect(port) as client:
        ctx.options.update(relay_max_head="1KB", relay_max_side_call="1KB")
        send_head(client, "GET", "/health", "content-length: 1025")
        assert (await refusal_of(client))["message"].endswith("1KB (relay_max_side_call).")


@bounded
async def test_expect_gets_the_refusal_instead_of_continue() -> None:
    """curl asks before it sends a megabyte."""
    async with relay(**LIMITS) as port, Client.connect(port) as client:
        send_head(client, "POST", "/v1/responses", "content-length: 99999", expect="100-continue")
        await refusal_of(client)
        assert client.answer.status == 413


@bounded
async def test_clients_of_other_machines_without_a_key_send_no_body() -> None:
    """The connection is closed as it opens, before a byte is read."""
    own_host = own_address()
    async with relay(mode=["regular@0.0.0.0:0"]) as port:
        _, writer = await asyncio.open_connection(own_host, port)
        with pytest.raises(OSError):
            for _ in range(100):
                writer.write(b"x" * 1_000_000)
                await asyncio.wait_for(writer.drain(), 5)
        writer.close()


# A real process, and its memory


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    log = tmp_path_factory.mktemp("relay") / "relay.log"
    arguments = ["--set", f"confdir={confdir()}", "-q"]
    with start(arguments=arguments, log=log, provider="demo", store="off") as process:
        yield process
    assert "Traceback" not in log.read_text()


async def send_gigabyte(process: RelayProcess, method: str, path: str, framing: str) -> Answer:
    """The answer to a request of that size, which is sent as fast as the relay accepts it."""
    async with Client.connect(process.port) as client:
        send_head(client, method, path, framing)
        answering = asyncio.create_task(refusal_of(client))
        piece = b"x" * (1 << 20)
        for _ in range(GIGABYTE // len(piece)):
            client.writer.write(b"100000\r\n" + piece + b"\r\n" if "chunked" in framing else piece)
            await client.writer.drain()
            await asyncio.sleep(0)
            if answering.done():
                break
        await answering
        return client.answer


@NEEDS_PROC
@pytest.mark.parametrize(
    ("method", "path"), [("POST", path) for path in MODEL_PATHS[:2]] + list(SIDE_CALLS)
)
@bounded
async def test_a_gigabyte_takes_little_memory(
    process: RelayProcess, method: str, path: str
) -> None:
    before = peak_memory(process.pid)
    for framing in (f"content-length: {GIGABYTE}", "transfer-encoding: chunked"):
        assert (await send_gigabyte(process, method, path, framing)).status == 413
    assert peak_memory(process.pid) - before < MEMORY_LIMIT


@NEEDS_PROC
@pytest.mark.parametrize("start_line", ["GET /", "GET / HTTP/1.1\r\nhost: localhost\r\na: "])
@bounded
async def test_an_endless_head_takes_little_memory(process: RelayProcess, start_line: str) -> None:
    before = peak_memory(process.pid)
    async with Client.connect(process.port) as client:
        client.writer.write(start_line.encode())
        answering = asyncio.create_task(refusal_of(client))
        while not answering.done():
            client.writer.write(b"x" * (1 << 20))
            await client.writer.drain()
            await asyncio.sleep(0)
        await answering
        assert client.answer.status == 431
    assert peak_memory(process.pid) - before < MEMORY_LIMIT


@NEEDS_PROC
@pytest.mark.parametrize("encoding", ENCODERS)
@bounded
async def test_a_bomb_takes_little_memory(process: RelayProcess, encoding: str) -> None:
    before = peak_memory(process.pid)
    bomb = ENCODERS[encoding](bytes(400_000_000))
    async with Client.connect(process.port) as client:
        client.send("/v1/responses", bomb, content_encoding=encoding)
        await refusal_of(client)
        assert client.answer.status == 413
    assert peak_memory(process.pid) - before < 2 * MEMORY_LIMIT
