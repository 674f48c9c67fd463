import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mitmproxy.addons.view import View
from mitmproxy.http import HTTPFlow
from mitmproxy.net import encoding
from mitmproxy.test import tflow

from addons.config.addon import Config
from addons.demo_provider import DemoProvider
from addons.exchange.active import ActiveExchange, reply_translator
from addons.exchange.addon import Translator
from addons.exchange.prepare import prepare_fallback_plan
from tests.addons.chain import exchange_addons
from tests.addons.proxy import (
    Answer,
    Call,
    Client,
    Client2,
    Handler,
    Upstream,
    bounded,
    proxy,
    upstream,
)
from tests.translate.support import chunk, events_of, lawful_events
from tests.translate.support import stream as chat

HELLO = {"model": "gpt-5.5", "input": "Hello.", "stream": True}
SOON = 1.0  # s within which the upstream must see that the client left


@asynccontextmanager
async def relay(
    *handlers: Handler,
    base: str = "/v1",
    without: type = str,
    extra_addons: Sequence[Any] = (),
    **options: Any,
) -> AsyncIterator[tuple[Upstream, int]]:
    """The whole relay before an upstream with these handlers, and its port."""
    chain = exchange_addons(DemoProvider())
    async with upstream(*handlers) as above:
        chosen = {"relay_upstream": f"http://127.0.0.1:{above.port}{base}", **options}
        chain = [addon for addon in chain if not isinstance(addon, without)]
        async with proxy(*chain, *extra_addons, **chosen) as (_, port):
            yield above, port


async def ask(
    client: Client, path: str = "/v1/responses", host: str = "localhost", **fields: Any
) -> Answer:
    return await client.ask(path, json.dumps({**HELLO, **fields}).encode(), host=host)


async def ask_once(port: int, **fields: Any) -> Answer:
    async with Client.connect(port) as client:
        return await ask(client, **fields)


def completed_text(answer: Answer) -> str:
    """The text of a completed reply, after a check of all of its events."""
    assert answer.status == 200, answer.body
    if answer.headers["content-type"] == "application/json":
        response = json.loads(answer.body)
    else:
        response = lawful_events(answer.body)[-1]["response"]
    assert response["status"] == "completed"
    text: str = response["output"][-1]["content"][0]["text"]
    return text


def stream_error(answer: Answer) -> dict[str, Any]:
    """The error of a stream that ended as failed."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream"
    last = lawful_events(answer.body)[-1]
    assert last["type"] == "response.failed"
    error: dict[str, Any] = last["response"]["error"]
    return error


def error_of(answer: Answer) -> dict[str, Any]:
    """The error in a JSON body, in OpenAI's form."""
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = json.loads(answer.body)["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    return error


def reply(text: str = "Hi.") -> bytes:
    return chat(chunk(content=text), chunk("stop"))


def says(text: str = "Hi.", **headers: str) -> Handler:
    def handler(call: Call) -> None:
        call.stream(reply(text), **headers)
        call.end()

    return handler


def refuses(status: int, body: bytes = b'{"error": {"message": "no"}}', **headers: str) -> Handler:
    return lambda call: call.reply(status, body, content_type="application/json", **headers)


# The request


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", "/chat/completions"),
        ("/", "/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/api/paas/v4", "/api/paas/v4/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_the_base_url_leads_to_chat_completions(base: str, path: str) -> None:
    async def run() -> None:
        async with relay(says(), base=base) as (above, port):
            assert completed_text(await ask_once(port)) == "Hi."
        [call] = above.seen
        assert call.request_line == f"POST {path} HTTP/1.1"
        assert call.headers["host"] == f"127.0.0.1:{above.port}"
        assert call.headers["content-length"] == str(len(call.body))

    bounded(run)()


RELAY_ADDRESSES = [
    ("localhost", "/v1/responses"),
    ("localhost", "/responses"),
    ("localhost", "/backend-api/codex/responses?x=y"),
    ("api.openai.com", "http://api.openai.com/v1/responses"),
    ("api.openai.com", "/v1/responses"),
    ("chatgpt.com", "/backend-api/codex/responses"),
]


@pytest.mark.parametrize(("host", "target"), RELAY_ADDRESSES)
def test_every_address_of_the_relay_leads_to_the_same_request(host: str, target: str) -> None:
    async def run() -> None:
        tunnel = host if host != "localhost" and target.startswith("/") else ""
        async with relay(says()) as (above, port), Client.connect(port, tunnel=tunnel) as client:
            assert completed_text(await ask(client, target, host)) == "Hi."
        [call] = above.seen
        assert call.request_line == "POST /v1/chat/completions HTTP/1.1"
        assert call.headers["host"] == f"127.0.0.1:{above.port}"
        body = json.loads(call.body)
        assert body["model"] == "gpt-5.5"
        assert body["messages"] == [{"role": "user", "content": "Hello."}]

    bounded(run)()


@bounded
async def test_a_client_on_http2() -> None:
    async with relay(says(), http2=True) as (above, port), Client2.connect(port) as client:
        body = json.dumps(HELLO).encode()
        assert completed_text(await client.rest(client.send("/v1/responses", body))) == "Hi."
    assert above.seen[0].headers["host"] == f"127.0.0.1:{above.port}"


@pytest.mark.parametrize(
    ("url", "host", "address"),
    [
        ("http://[::1]:8000/v1", "[::1]:8000", ("::1", 8000)),
        ("https://api.example.com/v1", "api.example.com", ("api.example.com", 443)),
        ("https://api.example.com:8443", "api.example.com:8443", ("api.example.com", 8443)),
    ],
)
def test_the_host_header_is_the_upstreams(url: str, host: str, address: tuple[str, int]) -> None:
    request = prepare_exchange(url).upstream_request
    assert request.headers["host"] == host
    assert (request.host, request.port) == address


def prepare_exchange(url: str) -> ActiveExchange:
    """The exchange with this upstream. The client's own HTTP/1.0 request had no Host."""

    async def prepare() -> ActiveExchange:
        flow = tflow.tflow()
        flow.metadata["relay.route"] = "relay"
        flow.request.content = json.dumps(HELLO).encode()
        assert "host" not in flow.request.headers
        async with proxy(Config(), relay_upstream=url):
            plan = await prepare_fallback_plan(flow)
            return ActiveExchange(flow, plan, plan.build_exchange())

    return asyncio.run(prepare())


@bounded
async def test_compressed_requests_are_read() -> None:
    async with relay(says()) as (above, port), Client.connect(port) as client:
        for coding in ("zstd", "gzip", "br", "deflate", "identity"):
            packed = encoding.encode(json.dumps(HELLO).encode(), coding)
            assert isinstance(packed, bytes)
            path = "/backend-api/codex/responses"
            assert completed_text(await client.ask(path, packed, content_encoding=coding)) == "Hi."
            assert "content-encoding" not in above.seen[-1].headers
            assert json.loads(above.seen[-1].body)["model"] == "gpt-5.5"


@bounded
async def test_broken_compression_is_refused() -> None:
    async with relay(says()) as (above, port), Client.connect(port) as client:
        for coding in ("zstd", "gzip", "br", "nonsense"):
            body = b"\x28\xb5\x2f\xfd nothing of the kind"
            answer = await client.ask("/v1/responses", body, content_encoding=coding)
            assert answer.status == 400
            assert coding in error_of(answer)["message"].lower()
        assert above.seen == []
        assert completed_text(await ask(client)) == "Hi."  # and the connection lives


BAD = [
    (b"", None),
    (b"{", None),
    (b"[]", None),
    (b"\xff\xfe", None),
    (b"[" * 100_000, None),
    (b'{"input": "x"}', "model"),
    (b'{"model": "m"}', "input"),
    (b'{"model": "m", "input": 5}', "input"),
    (b'{"model": "m", "input": "x", "stream": "maybe"}', "stream"),
    (b'{"model": "m", "input": "x", "previous_response_id": "r"}', "previous_response_id"),
]


@bounded
async def test_a_bad_request_goes_nowhere() -> None:
    async with relay(says()) as (above, port), Client.connect(port) as client:
        for body, param in BAD:
            answer = await client.ask("/v1/responses", body)
            assert answer.status == (413 if body.startswith(b"[[") else 400)
            assert error_of(answer)["param"] == param
    assert above.seen == []


@bounded
async def test_only_post_is_translated() -> None:
    async with relay(says()) as (above, port):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            async with Client.connect(port) as client:
                client.send("/v1/responses", json.dumps(HELLO).encode(), method=method)
                assert (await client.head()).status == 405
    assert above.seen == []


@bounded
async def test_failure_of_the_relay_is_answered_and_nothing_is_sent() -> None:
    """Nothing is configured here, and the demonstration provider does not run."""
    with pytest.raises(AssertionError, match="RuntimeError: the demonstration"):  # it is logged
        async with relay(says(), without=DemoProvider, relay_upstream="") as (above, port):
            for tunnel in ("", "api.openai.com"):
                async with Client.connect(port, tunnel=tunnel) as client:
                    answer = await ask(client, host=tunnel or "localhost")
                    assert answer.status == 500
                    assert error_of(answer)["type"] == "server_error"
            assert above.seen == []


@bounded
async def test_key_that_is_not_ascii_goes_up_unchanged() -> None:
    async with relay(says()) as (above, port), Client.connect(port) as client:
        body = json.dumps(HELLO).encode()
        head = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
        client.writer.write(head % len(body) + b"Authorization: Bearer k\xc3\xa9y\r\n\r\n" + body)
        await client.head()
        await client.rest()
        assert completed_text(client.answer) == "Hi."
    assert above.seen[0].headers["authorization"] == "Bearer kéy"


# The reply


@bounded
async def test_deltas_arrive_as_they_are_sent() -> None:
    seen = asyncio.Event()

    async def handler(call: Call) -> None:
        call.stream(chat(chunk(content="One, "), done=False))
        await asyncio.wait_for(seen.wait(), 5)
        call.chunks(chat(chunk(content="two."), chunk("stop")))
        call.end()

    async with relay(handler) as (_, port), Client.connect(port) as client:
        client.send("/v1/responses", json.dumps(HELLO).encode())
        await client.head()
        client.answer.body = await until(client, b"One, ")
        seen.set()
        await client.rest()
        assert completed_text(client.answer) == "One, two."


@pytest.mark.parametrize(("coding", "bits"), [("gzip", 31), ("deflate", 15), ("GZIP", 31)])
def test_a_compressed_reply_is_streamed_too(coding: str, bits: int) -> None:
    async def run() -> None:
        seen, packer = asyncio.Event(), zlib.compressobj(wbits=bits)

        async def handler(call: Call) -> None:
            first = packer.compress(chat(chunk(content="One, "), done=False))
            call.stream(first + packer.flush(zlib.Z_SYNC_FLUSH), content_encoding=coding)
            await asyncio.wait_for(seen.wait(), 5)
            rest = packer.compress(chat(chunk(content="two."), chunk("stop"))) + packer.flush()
            for at in range(len(rest)):  # byte by byte: many pieces unpack to nothing
                call.chunks(rest[at : at + 1])
            call.end()

        async with relay(handler) as (_, port), Client.connect(port) as client:
            client.send("/v1/responses", json.dumps(HELLO).encode())
            assert "content-encoding" not in (await client.head()).headers
            client.answer.body = await until(client, b"One, ")
            seen.set()
            await client.rest()
            assert completed_text(client.answer) == "One, two."

    bounded(run)()


async def until(client: Client, text: bytes) -> bytes:
    body = b""
    while text not in body:
        assert (chunk_bytes := await client.chunk())
        body += chunk_bytes
    return body


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_broken_compression_of_a_reply_ends_as_failed(coding: str, stream: bool) -> None:
    async def run() -> None:
        def handler(call: Call) -> None:
            call.stream(b"\x1f\x8b\x08 this is ", b"not gzip", content_encoding=coding)
            call.end()

        async with relay(handler) as (above, port), Client.connect(port) as client:
            answer = await ask(client, stream=stream)
            assert answer.status == 502
            assert error_of(answer)["code"] == "server_error"
            assert f"broken {coding}" in error_of(answer)["message"]
        assert len(above.seen) == 1

    bounded(run)()


COMPLETION = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Whole."}}
    ],
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_json_in_place_of_a_stream_is_translated(stream: bool, packed: bool) -> None:
    async def run() -> None:
        body, headers = json.dumps(COMPLETION).encode(), {"content_type": "application/json"}
        if packed:
            body = zlib.compress(body, wbits=31)
            headers["content_encoding"] = "gzip"
        async with relay(lambda call: call.reply(200, body, **headers)) as (_, port):
            answer = await ask_once(port, stream=stream)
            assert completed_text(answer) == "Whole."
            assert ("transfer-encoding" in answer.headers) is stream

    bounded(run)()


@bounded
async def test_stream_is_joined_for_a_client_without_stream() -> None:
    async with relay(says("Joined.")) as (above, port):
        answer = await ask_once(port, stream=False)
    assert answer.headers["content-type"] == "application/json"
    assert completed_text(answer) == "Joined."
    assert json.loads(above.seen[0].body)["stream"] is True


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_headers_name_provider_model_and_what_was_dropped(stream: bool) -> None:
    tools = [{"type": "web_search"}, {"type": "computer_" + "é\r\n" * 2000}]
    async with relay(says(), relay_model_map="gpt*:mödel") as (_, port):
        headers = (await ask_once(port, stream=stream, tools=tools)).headers
        assert headers["x-relay-provider"] == "generic"
        assert headers["x-relay-model"] == "m?del"
        dropped = headers["x-relay-dropped"]
        assert "web_search" in dropped
        assert len(dropped) == 2000
        assert dropped.isascii() and dropped.isprintable()
        assert "x-relay-dropped" not in (await ask_once(port, stream=stream)).headers


@bounded
async def test_failure_names_the_provider_too() -> None:
    async with relay(refuses(401)) as (_, port):
        answer = await ask_once(port)
    assert answer.status == 401
    assert answer.headers["x-relay-provider"] == "generic"


@bounded
async def test_client_does_not_see_failures_before_the_reply() -> None:
    soon = {"retry_after": "0.01"}
    handlers = [Call.cut, refuses(503, **soon), refuses(429, **soon), says()]
    async with relay(*handlers) as (above, port):
        assert completed_text(await ask_once(port)) == "Hi."
    assert len(above.seen) == 4
    assert len({call.body for call in above.seen}) == 1


def delayed_stream(*parts: bytes, pause: float = 0.35) -> Handler:
    """Sends the parts, with a pause before each."""

    async def handler(call: Call) -> None:
        await asyncio.sleep(pause)
        call.stream(parts[0])
        for part in parts[1:]:
            await asyncio.sleep(pause)
            call.chunks(part)
        call.end()

    return handler


@bounded
async def test_heartbeats_are_events_of_the_same_stream() -> None:
    first = chat(chunk(content="He"), done=False)
    handler = delayed_stream(first, chat(chunk(content="llo."), chunk("stop")))
    async with relay(handler, relay_heartbeat="0.1") as (_, port):
        answer = await ask_once(port)
    assert completed_text(answer) == "Hello."  # sequence numbers included
    events = events_of(answer.body)
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.in_progress"]
    delta = kinds.index("response.output_text.delta")
    assert 2 <= kinds[:delta].count("response.in_progress") <= 12
    assert 2 <= kinds[delta:].count("response.in_progress") <= 12
    assert answer.headers["x-relay-provider"] == "generic"


@bounded
async def test_no_heartbeats_for_a_client_without_a_stream() -> None:
    async with relay(delayed_stream(reply()), relay_heartbeat="0.05") as (_, port):
        assert completed_text(await ask_once(port, stream=False)) == "Hi."


@pytest.mark.parametrize(
    ("status", "code"), [(401, "invalid_prompt"), (500, "server_is_overloaded")]
)
@bounded
async def test_an_error_after_a_heartbeat_is_an_event(status: int, code: str) -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.25)
        call.reply(status, b'{"error": {"message": "The key is no good."}}')

    async with relay(handler, relay_heartbeat="0.1", relay_retries="0") as (_, port):
        error = stream_error(await ask_once(port))
    assert error["code"] == code
    assert "The key is no good." in error["message"]


@bounded
async def test_key_in_an_error_after_a_heartbeat_is_masked() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.25)
        call.reply(401, json.dumps({"error": {"message": call.headers["authorization"]}}).encode())

    options = {"relay_heartbeat": "0.1", "relay_retries": "0", "relay_api_key": "key-of-provider"}
    async with relay(handler, **options) as (_, port):
        error = stream_error(await ask_once(port))
    assert "Bearer (hidden)" in error["message"]
    assert "key-of-provider" not in error["message"]


@bounded
async def test_an_error_before_any_heartbeat_is_a_status() -> None:
    async with relay(refuses(503, retry_after="7"), relay_retries="0") as (_, port):
        answer = await ask_once(port)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "7"
    assert error_of(answer)["type"] == "server_error"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("death", ["cut", "reset", "end"])
def test_an_upstream_that_dies_in_mid_stream(death: str, stream: bool) -> None:
    async def run() -> None:
        async def handler(call: Call) -> None:
            call.stream(chat(chunk(content="Half a sen"), done=False))
            await asyncio.sleep(0.05)
            if death == "reset":
                await call.reset()
            else:
                getattr(call, death)()

        start = relay(handler, says(), relay_retries="0")
        async with start as (_, port), Client.connect(port) as client:
            answer = await ask(client, stream=stream)
            if stream:
                assert b"Half a sen" in answer.body
                assert stream_error(answer)["code"] == "server_error"
            else:
                assert answer.status == 502
                assert error_of(answer)["code"] == "server_error"
            assert completed_text(await ask(client)) == "Hi."  # a clean end: the connection lives

    bounded(run)()


@bounded
async def test_body_that_is_not_a_reply_ends_as_failed() -> None:
    bodies = [b"", b"<html>Welcome</html>", b"data: {\n\n", b"null", b"\0" * 9]
    # The relay asks for an empty stream once more, in one piece.
    pending = iter([b"", b"", *(body for body in bodies for _ in range(2))])
    handler: Handler = lambda call: call.reply(200, next(pending))  # noqa: E731
    async with relay(handler, relay_retries="0") as (_, port):
        for _ in bodies:
            assert stream_error(await ask_once(port))["code"] == "server_error"
            assert (await ask_once(port, stream=False)).status == 502


@bounded
async def test_an_empty_reply_after_a_heartbeat_ends_as_failed() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.2)
        call.reply(200)

    async with relay(handler, relay_heartbeat="0.1", relay_retries="0") as (_, port):
        assert stream_error(await ask_once(port))["code"] == "server_error"


@bounded
async def test_unreachable_upstream_is_a_502() -> None:
    unreachable = "http://127.0.0.1:9/v1"
    async with relay(says(), relay_upstream=unreachable, relay_retries="0") as (_, port):
        answer = await ask_once(port)
    assert answer.status == 502
    assert error_of(answer)["message"] == (
        "The upstream 127.0.0.1:9 cannot be reached: nothing listens at http://127.0.0.1:9; is the "
        "server running?"
    )


def old(body: bytes) -> Handler:
    """An HTTP/1.0 server: the end of the connection is the end of the reply."""

    def handler(call: Call) -> None:
        call.writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + body)
        call.cut()

    return handler


@bounded
async def test_an_upstream_of_http_1_0() -> None:
    async with relay(old(reply())) as (_, port), Client.connect(port) as client:
        assert completed_text(await ask(client)) == "Hi."
        assert completed_text(await ask(client)) == "Hi."


@bounded
async def test_a_client_of_http_1_0() -> None:
    """HTTP/1.0 has no chunks."""
    async with relay(says()) as (_, port), Client.connect(port) as client:
        body = json.dumps(HELLO).encode()
        head = "POST /v1/responses HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"
        client.writer.write(head.format(len(body)).encode() + body)
        assert "transfer-encoding" not in (await client.head()).headers
        client.answer.body = await asyncio.wait_for(client.reader.read(), 5)
        assert completed_text(client.answer) == "Hi."


# Several requests


def echo(pause: float = 0.0) -> Handler:
    """Repeats the prompt, word by word."""

    async def handler(call: Call) -> None:
        prompt = json.loads(call.body)["messages"][-1]["content"]
        call.stream()
        for word in prompt.split():
            call.chunks(chat(chunk(content=f"{word} "), done=False))
            await asyncio.sleep(pause)
        call.chunks(chat(chunk("stop")))
        call.end()

    return handler


@bounded
async def test_exchanges_at_once_do_not_mix() -> None:
    prompts = [f"{name} one two three {name} " for name in ("ann", "bob", "cyd", "dan")]
    async with relay(echo(0.02), relay_heartbeat="0.01") as (above, port):
        answers = await asyncio.gather(*(ask_once(port, input=prompt) for prompt in prompts))
    assert [completed_text(answer) for answer in answers] == prompts
    responses = {events_of(answer.body)[0]["response"]["id"] for answer in answers}
    assert len(responses) == len(prompts)
    assert above.connections == len(prompts)


@bounded
async def test_connections_are_kept_on_both_sides() -> None:
    async with relay(echo()) as (above, port), Client.connect(port) as client:
        for prompt in ("one ", "two ", "three "):
            assert completed_text(await ask(client, input=prompt)) == prompt
            assert completed_text(await ask(client, input=prompt, stream=False)) == prompt
    assert above.connections == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_client_that_leaves_closes_the_upstream_connection(when: str) -> None:
    async def run() -> None:
        received, closed_after = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def handler(call: Call) -> None:
            if when == "after":
                call.stream(chat(chunk(content="Well, "), done=False))
            received.set()
            closed_after.set_result(await call.closed_after())

        async with relay(handler) as (above, port):
            async with Client.connect(port) as client:
                client.send("/v1/responses", json.dumps(HELLO).encode())
                await received.wait()
                if when == "after":
                    await client.head()
                    await until(client, b"Well, ")
            assert await asyncio.wait_for(closed_after, 5) < SOON
        assert len(above.seen) == 1

    bounded(run)()


# Parts of the addon


def test_piece_without_an_event_is_not_the_end_of_the_reply() -> None:
    """To mitmproxy b"" would be the end of the reply."""
    exchange = prepare_exchange("http://127.0.0.1:9/v1").exchange
    step: Callable[[bytes], bytes | list[bytes]] = reply_translator(exchange)
    assert step(b"data: ") == []
    assert step(b"") != b""  # the end makes events …
    assert step(b"") == []  # … once


@bounded
async def test_the_key_goes_up_but_is_nowhere_on_the_flow() -> None:
    """Flows are shown in mitmweb, saved with -w and printed."""
    seen: list[HTTPFlow] = []

    class Watch:
        def response(self, flow: HTTPFlow) -> None:
            seen.append(flow)

    async with upstream(refuses(500), says()) as above:
        chain = exchange_addons(Watch())
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*chain, relay_upstream=url, relay_api_key="k-secret") as (_, port):
            assert completed_text(await ask_once(port)) == "Hi."
    assert [call.headers["authorization"] for call in above.seen] == ["Bearer k-secret"] * 2
    [flow] = seen
    assert "k-secret" not in repr(flow.get_state())


@bounded
async def test_a_flow_that_is_read_again_is_left_alone() -> None:
    flow = tflow.tflow(resp=False)
    flow.live = False
    flow.metadata["relay.route"] = "relay"
    original = flow.request.copy()
    async with proxy(Config(), relay_upstream="http://127.0.0.1:9/v1"):
        await Translator().request(flow)
    assert flow.response is None
    assert flow.request.get_state() == original.get_state()


@bounded
async def test_model_with_a_lone_surrogate_is_shown_in_the_comment() -> None:
    seen: list[str] = []

    class Watch:
        def response(self, flow: HTTPFlow) -> None:
            seen.append(flow.comment)

    async with upstream(says()) as above:
        chain = exchange_addons(Watch())
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*chain, relay_upstream=url) as (_, port), Client.connect(port) as client:
            await client.ask("/v1/responses", b'{"model": "\\ud800x", "input": "Hello."}')
    assert seen and seen[0].encode()


@bounded
async def test_conversation_is_named_in_a_header_for_a_provider_that_wants_it() -> None:
    async with relay(says(), relay_provider="xai") as (above, port):
        answer = await ask_once(port, prompt_cache_key="thread-1")
    assert completed_text(answer) == "Hi."
    assert above.seen[0].headers["x-grok-conv-id"] == "thread-1"
    assert "prompt_cache_key" not in json.loads(above.seen[0].body)
    assert "x-relay-dropped" not in answer.headers


@bounded
@pytest.mark.parametrize("stream", [True, False])
async def test_comment_names_what_was_dropped_from_the_reply(stream: bool) -> None:
    seen: list[str] = []

    class Watch:
        def response(self, flow: HTTPFlow) -> None:
            seen.append(flow.comment)

    choices = [{"index": n, "delta": {"content": "Hi."}, "finish_reason": "stop"} for n in (0, 1)]

    def both(call: Call) -> None:
        call.stream(chat({"choices": choices}))
        call.end()

    async with upstream(both) as above:
        chain = exchange_addons(Watch())
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*chain, relay_upstream=url) as (_, port), Client.connect(port) as client:
            body = {"model": "m", "input": "Hello.", "stream": stream}
            await client.ask("/v1/responses", json.dumps(body).encode())
    [comment] = seen
    assert comment.startswith("m · ~8 in · ~2 out")
    assert comment.endswith(" · dropped choices[1] · usage estimated")


@bounded
async def test_refused_requests_count_among_the_kept_exchanges() -> None:
    view = View()
    async with relay(says("Hi."), extra_addons=[view], relay_keep="2") as (_, port):
        for _ in range(5):
            assert (await ask_once(port, input=5)).status == 400
        assert len(view) == 2
