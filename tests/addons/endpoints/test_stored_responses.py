"""Stored responses through the whole relay, over real sockets."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http

from addons.config.addon import Config
from addons.demo_provider import DemoProvider
from addons.endpoints.addon import Endpoints
from addons.exchange.addon import Translator
from addons.ingress.addon import Ingress
from addons.storage import response_store
from addons.storage.breaker import breaker_for
from addons.storage.response_store import ResponseStore
from addons.transport.addon import Transport
from tests.addons.exchange.test_addon import ask, error_of, says
from tests.addons.proxy import Answer, Call, Client, Handler, Upstream, bounded, proxy, upstream
from tests.redis import RedisServer, redis_server
from tests.translate.support import chunk, events_of
from tests.translate.support import stream as chat

KEY = "a-client-key"
NAMED_KEYS = f"ada:{KEY}-a", f"bob:{KEY}-b", f"eve:{KEY}-c", f"admin:{KEY}-d"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def store_relay(*handlers: Handler, **options: Any) -> AsyncIterator[tuple[Upstream, int]]:
    async with upstream(*handlers) as server:
        chain = [Config(), Transport(), Ingress(), ResponseStore(), Endpoints()]
        url = f"http://127.0.0.1:{server.port}/v1"
        settings = {"relay_upstream": url, "relay_retries": "0", **options}
        async with proxy(*chain, Translator(), DemoProvider(), **settings) as (_, port):
            yield server, port


async def send_call(port: int, method: str, path: str, tunnel: str = "", **headers: str) -> Answer:
    async with Client.connect(port, tunnel=tunnel) as client:
        return await client.ask(path, b"", method=method, host=tunnel or "localhost", **headers)


def reply_json(answer: Answer) -> Any:
    return json.loads(answer.body)


async def make_turn(port: int, **fields: Any) -> dict[str, Any]:
    """The response to a request without streaming."""
    async with Client.connect(port) as client:
        answer = await ask(client, stream=False, **fields)
    assert answer.status == 200, answer.body
    response: dict[str, Any] = json.loads(answer.body)
    return response


def sent_messages(call: Call) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in json.loads(call.body)["messages"]]


@bounded
async def test_conversation_continues_from_a_stored_response(tmp_path: Path) -> None:
    async with store_relay(says("Hi."), relay_store=str(tmp_path / "kept.db")) as (server, port):
        first = await make_turn(port, input="Hello.", instructions="Be kind.")
        assert first["store"] is True
        second = await make_turn(port, input="And?", previous_response_id=first["id"])
        assert second["previous_response_id"] == first["id"]
        await make_turn(
            port, input="So?", previous_response_id=second["id"], instructions="Be brief."
        )
    assert sent_messages(server.seen[2]) == [
        ("system", "Be brief."),
        *(("user", "Hello."), ("assistant", "Hi."), ("user", "And?"), ("assistant", "Hi.")),
        ("user", "So?"),
    ]


@bounded
async def test_streamed_response_is_stored_once_the_client_has_its_end(tmp_path: Path) -> None:
    async def never_ends(call: Call) -> None:
        call.stream(chat(chunk("stop", content="Hi.")))
        await asyncio.sleep(60)

    async with (
        store_relay(never_ends, says("Again."), relay_store=str(tmp_path / "kept.db")) as (
            server,
            port,
        ),
        Client.connect(port) as client,
    ):
        client.send(
            "/v1/responses", b'{"model":"m","input":"Hello.","stream":true}', host="localhost"
        )
        await client.head()
        seen = b""
        while b"response.completed" not in seen:
            seen += await client.chunk()
        id = events_of(seen)[-1]["response"]["id"]
        assert (await make_turn(port, input="More.", previous_response_id=id))[
            "status"
        ] == "completed"
    assert sent_messages(server.seen[1])[1] == ("assistant", "Hi.")


@bounded
async def test_one_response_can_be_continued_many_times_at_once(tmp_path: Path) -> None:
    async with store_relay(says("Hi."), relay_store=str(tmp_path / "kept.db")) as (server, port):
        root = (await make_turn(port, input="Root."))["id"]
        texts = [f"Branch {number}." for number in range(8)]
        ids = await asyncio.gather(
            *(make_turn(port, input=text, previous_response_id=root) for text in texts)
        )
        for text, branch in zip(texts, ids, strict=True):
            await make_turn(port, input="What?", previous_response_id=branch["id"])
            messages = sent_messages(server.seen[-1])
            user_texts = [content for role, content in messages if role == "user"]
            assert user_texts == ["Root.", text, "What?"]


@pytest.mark.parametrize("tunnel", ["", "api.openai.com"])
@bounded
async def test_stored_response_is_retrieved_listed_and_deleted(
    tunnel: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("store") / "kept.db"
    async with store_relay(says("Hi."), relay_store=str(file)) as (_, port):
        response = await make_turn(port, input="Hello.", metadata={"a": "b"})
        path = f"/v1/responses/{response['id']}"
        assert reply_json(await send_call(port, "GET", path, tunnel)) == response
        listing = reply_json(await send_call(port, "GET", f"{path}/input_items", tunnel))
        [item] = listing["data"]
        assert item["content"] == [{"type": "input_text", "text": "Hello."}]
        assert listing == {
            "object": "list", "data": [item], "first_id": item["id"], "last_id": item["id"],
            "has_more": False,
        }  # fmt: skip
        cancelled = await send_call(port, "POST", f"{path}/cancel", tunnel)
        assert cancelled.status == 400 and "background" in error_of(cancelled)["message"]
        streamed = await send_call(port, "GET", f"{path}?stream=true", tunnel)
        assert (streamed.status, error_of(streamed)["param"]) == (400, "stream")
        deleted = await send_call(port, "DELETE", path, tunnel)
        assert reply_json(deleted) == {"id": response["id"], "object": "response", "deleted": True}
        for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            missing = await send_call(port, method, path.removeprefix("/v1") + tail)
            assert missing.status == 404
            assert error_of(missing) == {
                "message": f"Response with id '{response['id']}' not found.",
                "type": "invalid_request_error", "param": None, "code": None,
            }  # fmt: skip
        async with Client.connect(port) as client:
            refused = await ask(client, previous_response_id=response["id"])
        assert refused.status == 400
        assert error_of(refused)["code"] == "previous_response_not_found"
        assert response["id"] in error_of(refused)["message"]


@pytest.mark.parametrize(
    ("query", "expected_ids", "has_more"),
    [
        ("", "edcba", False), ("order=asc", "abcde", False), ("limit=2", "ed", True),
        ("limit=2&order=asc&after=id_b", "cd", True), ("after=id_b", "a", False),
        ("after=id_a", "", False), ("limit=5", "edcba", False),
    ],
)  # fmt: skip
@bounded
async def test_input_items_come_in_pages(
    query: str, expected_ids: str, has_more: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("store") / "kept.db"
    items = [{"role": "user", "content": name, "id": f"id_{name}"} for name in "abcde"]
    async with store_relay(says("Hi."), relay_store=str(file)) as (_, port):
        id = (await make_turn(port, input=items))["id"]
        listing = reply_json(await send_call(port, "GET", f"/responses/{id}/input_items?{query}"))
    assert [item["id"] for item in listing["data"]] == [f"id_{name}" for name in expected_ids]
    assert listing["has_more"] is has_more


@bounded
async def test_bad_pages_are_refused(tmp_path: Path) -> None:
    async with store_relay(says("Hi."), relay_store=str(tmp_path / "kept.db")) as (_, port):
        id = (await make_turn(port))["id"]
        digits = f"limit={'9' * 5000}"  # more than Python reads
        for query in ("limit=0", "limit=101", "limit=x", digits, "order=up", "after=none"):
            answer = await send_call(port, "GET", f"/responses/{id}/input_items?{query}")
            assert answer.status == 400
            assert error_of(answer)["param"] == query.partition("=")[0]


@bounded
async def test_response_with_store_false_is_not_stored(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    async with store_relay(says("Hi."), relay_store=str(file)) as (_, port):
        response = await make_turn(port, store=False)
        assert response["store"] is False
        assert (await send_call(port, "GET", f"/responses/{response['id']}")).status == 404
        async with Client.connect(port) as client:
            assert (await ask(client, previous_response_id="resp_\ud800")).status == 400


@bounded
async def test_nothing_is_stored_while_the_store_is_off() -> None:
    async with store_relay(says("Hi."), relay_store="off") as (_, port):
        response = await make_turn(port, store=True)
        assert response["store"] is False
        answer = await send_call(port, "GET", f"/responses/{response['id']}")
        assert answer.status == 404 and "relay_store is off" in error_of(answer)["message"]


@bounded
async def test_unknown_response_is_isolated_for_codex(tmp_path: Path) -> None:
    async with store_relay(says("Hi."), relay_store=str(tmp_path / "kept.db")) as (_, port):
        answer = await send_call(
            port, "GET", "/v1/responses/resp_theirs", "api.openai.com", originator="codex_exec"
        )
    assert answer.status == 404 and "relay_isolate" in error_of(answer)["message"]


class OpenAIStandIn:
    """Answers in place of OpenAI, as tests send nothing to the internet."""

    def request(self, flow: http.HTTPFlow) -> None:
        if not flow.response and flow.request.host == "api.openai.com":
            flow.response = http.Response.make(200, f"theirs: {flow.request.path}")


@pytest.mark.parametrize("location", ["kept.db", "off"])
@bounded
async def test_responses_that_openai_stored_stay_within_reach(
    location: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = location if location == "off" else str(tmp_path_factory.mktemp("store") / location)
    chain = [Config(), Transport(), Ingress(), ResponseStore(), Endpoints(), Translator()]
    async with proxy(*chain, OpenAIStandIn(), relay_store=store) as (_, port):
        for method, path in (("GET", "/v1/responses/resp_1"), ("DELETE", "/v1/responses/resp_1")):
            answer = await send_call(port, method, path, "api.openai.com")
            assert answer.body == f"theirs: {path}".encode()


@bounded
async def test_client_key_does_not_go_to_openai(tmp_path: Path) -> None:
    chain = [Config(), Transport(), Ingress(), ResponseStore(), Endpoints(), Translator()]
    settings = {"relay_store": str(tmp_path / "kept.db"), "relay_client_key": KEY}
    async with proxy(*chain, OpenAIStandIn(), **settings) as (_, port):
        bearer = {"authorization": f"Bearer {KEY}"}
        for method in ("GET", "DELETE"):
            answer = await send_call(
                port, method, "/v1/responses/resp_1", "api.openai.com", **bearer
            )
            assert answer.status == 404 and b"theirs" not in answer.body


@bounded
async def test_stored_responses_need_the_client_key(tmp_path: Path) -> None:
    settings = {"relay_store": str(tmp_path / "kept.db"), "relay_client_key": KEY}
    async with store_relay(says("Hi."), **settings) as (_, port):
        for tunnel, status in (("", 401), ("api.openai.com", 400)):
            for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
                answer = await send_call(port, method, f"/v1/responses/resp_1{tail}", tunnel)
                assert answer.status == status
                assert error_of(answer)["code"] == "invalid_api_key"
        bearer = {"authorization": f"Bearer {KEY}"}
        assert (await send_call(port, "GET", "/v1/responses/resp_1", **bearer)).status == 404


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_each_client_key_has_its_own_responses(
    tmp_path: Path, redis: RedisServer, kind: str
) -> None:
    location = redis.url if kind == "redis" else str(tmp_path / "kept.db")

    @bounded
    async def run() -> None:
        settings = {"relay_store": location, "relay_client_key": ",".join(NAMED_KEYS)}
        async with store_relay(says("Hi."), **settings) as (server, port):

            async def create(key: str, **fields: Any) -> Answer:
                body = json.dumps({"model": "m", "input": "Hello.", **fields}).encode()
                async with Client.connect(port) as client:
                    bearer = f"Bearer {KEY}-{key}"
                    return await client.ask("/v1/responses", body, authorization=bearer)

            async def stored_status(key: str, method: str, id: str, tail: str = "") -> int:
                bearer = {"authorization": f"Bearer {KEY}-{key}"}
                return (await send_call(port, method, f"/v1/responses/{id}{tail}", **bearer)).status

            first = reply_json(await create("a"))["id"]
            for other in "bc":
                for id in (first, f"ada%2F{first}"):
                    for method, tail in (("GET", ""), ("GET", "/input_items"), ("DELETE", "")):
                        assert await stored_status(other, method, id, tail) == 404
                for id in (first, f"ada/{first}"):
                    refused = await create(other, previous_response_id=id)
                    assert (refused.status, id in refused.body.decode()) == (400, True)
            second = await create("a", previous_response_id=first)
            assert reply_json(second)["previous_response_id"] == first
            assert ("user", "Hello.") in sent_messages(server.seen[-1])[:-1]
            assert await stored_status("a", "GET", first) == 200
            for tail in ("", "/input_items"):  # the admin sees them, and may delete them
                assert await stored_status("d", "GET", first, tail) == 200
            assert await stored_status("d", "DELETE", first) == 200
            assert await stored_status("a", "GET", first) == 404
            refused = await create("a", previous_response_id=reply_json(second)["id"])
            assert refused.status == 400 and "ada/" not in refused.body.decode()

    run()


@bounded
async def test_lost_redis_is_an_error_and_works_again_after_its_return(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with store_relay(says("Hi."), relay_store=redis.url) as (server, port):
        first = await make_turn(port)
        second = await make_turn(port, previous_response_id=first["id"])
        redis.stop()
        async with Client.connect(port) as client:
            refused = await ask(client, previous_response_id=second["id"])
        request_count = len(server.seen)
        retrieved = await send_call(port, "GET", f"/v1/responses/{second['id']}")
        for answer in (refused, retrieved):
            assert answer.status == 503
            assert "relay_store" in error_of(answer)["message"]
            assert "start that Redis" in error_of(answer)["message"]
        assert request_count == 2  # no request was sent without its history
        lost = await make_turn(port)
        assert (await send_call(port, "GET", f"/v1/responses/{lost['id']}")).status == 503
        told = [record.message for record in caplog.records if "Redis" in record.message]
        assert len(told) == 1 and "does not answer" in told[0]  # once, whatever is lost
        redis.start()
        shared = breaker_for(redis.url)
        assert shared
        shared._broken_until = time.monotonic()  # the pause is over
        assert (await make_turn(port, previous_response_id=(await make_turn(port))["id"]))[
            "store"
        ] is True


@bounded
async def test_silent_redis_does_not_hold_up_other_requests() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = "redis://{}:{}".format(*server.sockets[0].getsockname())
    async with (
        server,
        store_relay(says("Hi."), relay_store=url) as (_, port),
        Client.connect(port) as waiting_client,
        Client.connect(port) as other_client,
    ):
        waiting_client.send("/v1/responses/resp_1", b"", method="GET", host="localhost")
        assert (await ask(other_client, stream=False)).status == 200
        assert (await waiting_client.head(within=15)).status == 503
        start = time.monotonic()
        for _ in range(10):
            async with Client.connect(port) as client:
                refused = await ask(client, stream=False, previous_response_id="resp_1")
            assert refused.status == 503
        # Each would wait for several answers of 0.5 s; within this time the relay tries twice.
        assert time.monotonic() - start < 6


@bounded
async def test_unusable_file_is_named_in_the_error_and_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    store = str(tmp_path / "file" / "kept.db")
    async with store_relay(says("Hi."), relay_store=store) as (_, port):
        assert (await make_turn(port))["status"] == "completed"
        async with Client.connect(port) as client:
            refused = await ask(client, previous_response_id="resp_1")
    assert refused.status == 503
    assert "name a file that can be written" in error_of(refused)["message"]
    assert "CODEX_RELAY_STORE" in caplog.text


@bounded
async def test_another_file_takes_over_at_once(tmp_path: Path) -> None:
    first_file, second_file = tmp_path / "one.db", tmp_path / "two.db"
    async with upstream(says("Hi.")) as server:
        chain = [Config(), Transport(), Ingress(), ResponseStore(), Endpoints(), Translator()]
        url = f"http://127.0.0.1:{server.port}/v1"
        async with proxy(*chain, relay_upstream=url, relay_store=str(first_file)) as (master, port):
            path = f"/responses/{(await make_turn(port))['id']}"
            writer = response_store.response_writer()
            master.options.update(relay_heartbeat="1")
            assert response_store.response_writer() is writer
            master.options.update(relay_store=str(second_file))
            assert (await send_call(port, "GET", path)).status == 404
            master.options.update(relay_store=str(first_file))
            assert (await send_call(port, "GET", path)).status == 200
        assert response_store.response_writer() is None


def test_default_file_is_created_for_the_first_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("CODEX_RELAY_STORE", raising=False)

    @bounded
    async def run() -> None:
        async with store_relay(says("Hi.")) as (_, port):
            await make_turn(port, store=False)
            assert not list(tmp_path.iterdir())
            await make_turn(port)
        assert (tmp_path / "mitmcodex" / "responses.db").exists()

    run()
