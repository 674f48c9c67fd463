"""Kept responses through the whole relay, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http

from addons.config.addon import Config
from addons.config.given import read
from addons.demo_provider import Demo
from addons.endpoints.codex_calls import Codex
from addons.endpoints.models import Listing
from addons.endpoints.stored_responses import Stored
from addons.exchange.addon import Translator
from addons.ingress.access import Guard
from addons.ingress.routes import Routes
from addons.storage import response_store as store
from addons.storage.response_store import Keeper, Missing, Store
from addons.transport.relay_stream import Transport
from tests.addons.exchange.test_addon import ask, error_of, says
from tests.addons.proxy import Answer, Call, Client, Handler, Upstream, bounded, proxy, upstream
from tests.redis import RedisServer, redis_server
from tests.translate.support import chunk, events_of
from tests.translate.support import stream as chat
from translate import Kept

KEY = "a-client-key"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def relay(*handlers: Handler, **options: Any) -> AsyncIterator[tuple[Upstream, int]]:
    async with upstream(*handlers) as above:
        chain = [Config(), Transport(), Guard(), Routes(), Store(), Stored(), Codex(), Listing()]
        url = f"http://127.0.0.1:{above.port}/v1"
        every = {"relay_upstream": url, "relay_retries": "0", **options}
        async with proxy(*chain, Translator(), Demo(), **every) as (_, port):
            yield above, port


async def call(port: int, method: str, path: str, tunnel: str = "", **headers: str) -> Answer:
    async with Client.connect(port, tunnel=tunnel) as client:
        return await client.ask(path, b"", method=method, host=tunnel or "localhost", **headers)


def value(answer: Answer) -> Any:
    return json.loads(answer.body)


async def said(port: int, **fields: Any) -> dict[str, Any]:
    """The response to a request that is answered whole."""
    async with Client.connect(port) as client:
        answer = await ask(client, stream=False, **fields)
    assert answer.status == 200, answer.body
    response: dict[str, Any] = json.loads(answer.body)
    return response


def messages(call: Call) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in json.loads(call.body)["messages"]]


@bounded
async def test_a_turn_goes_on_from_the_last(tmp_path: Path) -> None:
    async with relay(says("Hi."), relay_store=str(tmp_path / "kept.db")) as (above, port):
        first = await said(port, input="Hello.", instructions="Be kind.")
        assert first["store"] is True
        second = await said(port, input="And?", previous_response_id=first["id"])
        assert second["previous_response_id"] == first["id"]
        await said(port, input="So?", previous_response_id=second["id"], instructions="Be brief.")
    assert messages(above.seen[2]) == [
        ("system", "Be brief."),
        *(("user", "Hello."), ("assistant", "Hi."), ("user", "And?"), ("assistant", "Hi.")),
        ("user", "So?"),
    ]


@bounded
async def test_a_stream_is_kept_when_its_end_is_seen(tmp_path: Path) -> None:
    async def never_ends(call: Call) -> None:
        call.stream(chat(chunk("stop", content="Hi.")))
        await asyncio.sleep(60)

    async with (
        relay(never_ends, says("Again."), relay_store=str(tmp_path / "kept.db")) as (above, port),
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
        assert (await said(port, input="More.", previous_response_id=id))["status"] == "completed"
    assert messages(above.seen[1])[1] == ("assistant", "Hi.")


@bounded
async def test_branches_at_once(tmp_path: Path) -> None:
    async with relay(says("Hi."), relay_store=str(tmp_path / "kept.db")) as (above, port):
        root = (await said(port, input="Root."))["id"]
        words = [f"Branch {number}." for number in range(8)]
        ids = await asyncio.gather(
            *(said(port, input=word, previous_response_id=root) for word in words)
        )
        for word, one in zip(words, ids, strict=True):
            await said(port, input="What?", previous_response_id=one["id"])
            assert [text for role, text in messages(above.seen[-1]) if role == "user"] == [
                *("Root.", word, "What?")
            ]


@pytest.mark.parametrize("tunnel", ["", "api.openai.com"])
@bounded
async def test_shown_listed_deleted(tunnel: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("store") / "kept.db"
    async with relay(says("Hi."), relay_store=str(file)) as (_, port):
        response = await said(port, input="Hello.", metadata={"a": "b"})
        path = f"/v1/responses/{response['id']}"
        assert value(await call(port, "GET", path, tunnel)) == response
        listing = value(await call(port, "GET", f"{path}/input_items", tunnel))
        [item] = listing["data"]
        assert item["content"] == [{"type": "input_text", "text": "Hello."}]
        assert listing == {
            "object": "list", "data": [item], "first_id": item["id"], "last_id": item["id"],
            "has_more": False,
        }  # fmt: skip
        cancelled = await call(port, "POST", f"{path}/cancel", tunnel)
        assert cancelled.status == 400 and "background" in error_of(cancelled)["message"]
        streamed = await call(port, "GET", f"{path}?stream=true", tunnel)
        assert (streamed.status, error_of(streamed)["param"]) == (400, "stream")
        gone = await call(port, "DELETE", path, tunnel)
        assert value(gone) == {"id": response["id"], "object": "response", "deleted": True}
        for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            missing = await call(port, method, path.removeprefix("/v1") + tail)
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
    ("query", "found", "more"),
    [
        ("", "edcba", False), ("order=asc", "abcde", False), ("limit=2", "ed", True),
        ("limit=2&order=asc&after=id_b", "cd", True), ("after=id_b", "a", False),
        ("after=id_a", "", False), ("limit=5", "edcba", False),
    ],
)  # fmt: skip
@bounded
async def test_pages_of_items(
    query: str, found: str, more: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("store") / "kept.db"
    items = [{"role": "user", "content": c, "id": f"id_{c}"} for c in "abcde"]
    async with relay(says("Hi."), relay_store=str(file)) as (_, port):
        id = (await said(port, input=items))["id"]
        listing = value(await call(port, "GET", f"/responses/{id}/input_items?{query}"))
    assert [item["id"] for item in listing["data"]] == [f"id_{c}" for c in found]
    assert listing["has_more"] is more


@bounded
async def test_pages_that_cannot_be(tmp_path: Path) -> None:
    async with relay(says("Hi."), relay_store=str(tmp_path / "kept.db")) as (_, port):
        id = (await said(port))["id"]
        for query in ("limit=0", "limit=101", "limit=x", "order=up", "after=none"):
            answer = await call(port, "GET", f"/responses/{id}/input_items?{query}")
            assert answer.status == 400
            assert error_of(answer)["param"] == query.partition("=")[0]


@bounded
async def test_only_what_is_wanted_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    async with relay(says("Hi."), relay_store=str(file)) as (_, port):
        response = await said(port, store=False)
        assert response["store"] is False
        assert (await call(port, "GET", f"/responses/{response['id']}")).status == 404
        async with Client.connect(port) as client:
            assert (await ask(client, previous_response_id="resp_\ud800")).status == 400


@bounded
async def test_off_keeps_nothing_and_says_so() -> None:
    async with relay(says("Hi."), relay_store="off") as (_, port):
        response = await said(port, store=True)
        assert response["store"] is False
        answer = await call(port, "GET", f"/responses/{response['id']}")
        assert answer.status == 404 and "relay_store is off" in error_of(answer)["message"]


@bounded
async def test_codex_is_told_as_ever_of_what_is_not_ours(tmp_path: Path) -> None:
    async with relay(says("Hi."), relay_store=str(tmp_path / "kept.db")) as (_, port):
        answer = await call(
            port, "GET", "/v1/responses/resp_theirs", "api.openai.com", originator="codex_exec"
        )
    assert answer.status == 404 and "relay_isolate" in error_of(answer)["message"]


class Theirs:
    """Stands for OpenAI behind the relay: nothing goes out of a test."""

    def request(self, flow: http.HTTPFlow) -> None:
        if not flow.response and flow.request.host == "api.openai.com":
            flow.response = http.Response.make(200, f"theirs: {flow.request.path}")


@pytest.mark.parametrize("place", ["kept.db", "off"])
@bounded
async def test_what_another_program_kept_at_openai_it_finds_there(
    place: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = place if place == "off" else str(tmp_path_factory.mktemp("store") / place)
    chain = [
        Config(),
        Transport(),
        Guard(),
        Routes(),
        Store(),
        Stored(),
        Codex(),
        Listing(),
        Translator(),
    ]
    async with proxy(*chain, Theirs(), relay_store=where) as (_, port):
        for method, path in (("GET", "/v1/responses/resp_1"), ("DELETE", "/v1/responses/resp_1")):
            answer = await call(port, method, path, "api.openai.com")
            assert answer.body == f"theirs: {path}".encode()


@bounded
async def test_a_client_key_does_not_go_to_openai(tmp_path: Path) -> None:
    chain = [Config(), Transport(), Guard(), Routes(), Store(), Stored(), Translator()]
    chosen = {"relay_store": str(tmp_path / "kept.db"), "relay_client_key": KEY}
    async with proxy(*chain, Theirs(), **chosen) as (_, port):
        bearer = {"authorization": f"Bearer {KEY}"}
        for method in ("GET", "DELETE"):
            answer = await call(port, method, "/v1/responses/resp_1", "api.openai.com", **bearer)
            assert answer.status == 404 and b"theirs" not in answer.body


@bounded
async def test_the_client_key_is_needed(tmp_path: Path) -> None:
    chosen = {"relay_store": str(tmp_path / "kept.db"), "relay_client_key": KEY}
    async with relay(says("Hi."), **chosen) as (_, port):
        for tunnel, status in (("", 401), ("api.openai.com", 400)):
            for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
                answer = await call(port, method, f"/v1/responses/resp_1{tail}", tunnel)
                assert answer.status == status
                assert error_of(answer)["code"] == "invalid_api_key"
        bearer = {"authorization": f"Bearer {KEY}"}
        assert (await call(port, "GET", "/v1/responses/resp_1", **bearer)).status == 404


@pytest.mark.parametrize("where", ["file", "redis"])
def test_each_key_has_its_own(tmp_path: Path, redis: RedisServer, where: str) -> None:
    place = redis.url if where == "redis" else str(tmp_path / "kept.db")

    @bounded
    async def run() -> None:
        chosen = {"relay_store": place, "relay_client_key": f"ada:{KEY}-a,bob:{KEY}-b,{KEY}-c"}
        async with relay(says("Hi."), **chosen) as (above, port):

            async def turn(key: str, **fields: Any) -> Answer:
                body = json.dumps({"model": "m", "input": "Hello.", **fields}).encode()
                async with Client.connect(port) as client:
                    bearer = f"Bearer {KEY}-{key}"
                    return await client.ask("/v1/responses", body, authorization=bearer)

            async def kept(key: str, method: str, id: str, tail: str = "") -> int:
                bearer = {"authorization": f"Bearer {KEY}-{key}"}
                return (await call(port, method, f"/v1/responses/{id}{tail}", **bearer)).status

            first = value(await turn("a"))["id"]
            for other in "bc":
                for id in (first, f"ada%2F{first}"):
                    for method, tail in (("GET", ""), ("GET", "/input_items"), ("DELETE", "")):
                        assert await kept(other, method, id, tail) == 404
                for id in (first, f"ada/{first}"):
                    refused = await turn(other, previous_response_id=id)
                    assert (refused.status, id in refused.body.decode()) == (400, True)
            second = await turn("a", previous_response_id=first)
            assert value(second)["previous_response_id"] == first
            assert ("user", "Hello.") in messages(above.seen[-1])[:-1]
            assert await kept("a", "GET", first) == 200
            assert await kept("a", "DELETE", first) == 200
            gone = await turn("a", previous_response_id=value(second)["id"])
            assert gone.status == 400 and "ada/" not in gone.body.decode()

    run()


@bounded
async def test_redis_that_is_gone_is_an_answer_and_not_a_loss(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with relay(says("Hi."), relay_store=redis.url) as (above, port):
        first = await said(port)
        again = await said(port, previous_response_id=first["id"])
        redis.stop()
        async with Client.connect(port) as client:
            refused = await ask(client, previous_response_id=again["id"])
        asked = len(above.seen)
        told = await call(port, "GET", f"/v1/responses/{again['id']}")
        for answer in (refused, told):
            assert answer.status == 503
            assert "relay_store" in error_of(answer)["message"]
            assert "start that Redis" in error_of(answer)["message"]
        assert asked == 2  # nothing went up without its history
        kept_nowhere = await said(port)
        assert (await call(port, "GET", f"/v1/responses/{kept_nowhere['id']}")).status == 503
        assert f"{kept_nowhere['id']} is not kept" in caplog.text
        redis.start()
        assert (await said(port, previous_response_id=(await said(port))["id"]))["store"] is True


@bounded
async def test_redis_that_is_silent_does_not_hold_the_client() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = "redis://{}:{}".format(*server.sockets[0].getsockname())
    async with (
        server,
        relay(says("Hi."), relay_store=url) as (_, port),
        Client.connect(port) as asking,
        Client.connect(port) as talking,
    ):
        asking.send("/v1/responses/resp_1", b"", method="GET", host="localhost")
        assert (await ask(talking, stream=False)).status == 200
        assert (await asking.head(within=15)).status == 503


@bounded
async def test_a_file_that_cannot_be_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    async with relay(says("Hi."), relay_store=str(tmp_path / "file" / "kept.db")) as (_, port):
        assert (await said(port))["status"] == "completed"
        async with Client.connect(port) as client:
            refused = await ask(client, previous_response_id="resp_1")
    assert refused.status == 503
    assert "name a file that can be written" in error_of(refused)["message"]
    assert "CODEX_RELAY_STORE" in caplog.text


@bounded
async def test_another_place_takes_over_at_once(tmp_path: Path) -> None:
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    async with upstream(says("Hi.")) as above:
        chain = [
            Config(),
            Transport(),
            Guard(),
            Routes(),
            Store(),
            Stored(),
            Codex(),
            Listing(),
            Translator(),
        ]
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*chain, relay_upstream=url, relay_store=str(one)) as (master, port):
            path = f"/responses/{(await said(port))['id']}"
            before = store.keeper()
            master.options.update(relay_heartbeat="1")
            assert store.keeper() is before
            master.options.update(relay_store=str(two))
            assert (await call(port, "GET", path)).status == 404
            master.options.update(relay_store=str(one))
            assert (await call(port, "GET", path)).status == 200
        assert store.keeper() is None


def test_without_a_choice_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("CODEX_RELAY_STORE", raising=False)

    @bounded
    async def run() -> None:
        async with relay(says("Hi.")) as (_, port):
            await said(port, store=False)
            assert not list(tmp_path.iterdir())
            await said(port)
        assert (tmp_path / "codex-relay" / "responses.db").exists()

    run()


@bounded
async def test_what_another_relay_is_still_writing_is_waited_for(tmp_path: Path) -> None:
    """It has told its client already, who may well come to us with it."""
    settings = read({"relay_store": str(tmp_path / "kept.db")}, {})
    here, there = Keeper(settings), Keeper(settings)
    id = f"resp_{'0' * 32}"
    waiting = asyncio.create_task(there.chain(id))
    await asyncio.sleep(0.15)  # it has looked, and found nothing
    assert not waiting.done()
    here.keep(Kept([], {"id": id, "output": [], "previous_response_id": None}))
    assert [one.id for one in await waiting] == [id]
    with pytest.raises(Missing):
        await there.chain("resp_of_nobody")
    for keeper in (here, there):
        keeper.close()
