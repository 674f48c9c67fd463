"""A provider that refuses a field is asked once more, without it, and never with it again."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from addons.demo_provider import Demo
from addons.exchange import fallback as turn
from tests.addons.chain import chain_of
from tests.addons.proxy import Answer, Call, Client, Upstream, bounded, proxy, upstream
from tests.translate.support import PLAIN, chunk, provider, way
from tests.translate.support import stream as chat
from translate import exchange


@pytest.fixture(autouse=True)
def nothing_learned() -> None:
    turn._learned.clear()


def refusing(*names: str) -> Any:
    """A provider that takes none of these fields, and names the first of them."""

    def handler(call: Call) -> None:
        body = json.loads(call.body)
        if found := [name for name in names if name in body]:
            said = {"error": {"message": f"property '{found[0]}' is unsupported"}}
            call.reply(400, json.dumps(said).encode())
        else:
            call.stream(chat(chunk(content="Hi."), chunk("stop")))
            call.end()

    return handler


@asynccontextmanager
async def relay(handler: Any, **options: str) -> AsyncIterator[tuple[Any, int, Upstream]]:
    chain = chain_of(Demo())
    async with upstream(handler) as above:
        chosen = {"relay_upstream": f"http://127.0.0.1:{above.port}/v1", **options}
        async with proxy(*chain, **chosen) as (master, port):
            yield master, port, above


async def ask(port: int, **more: Any) -> Answer:
    body = {"model": "m", "input": "Hello.", "temperature": 0.5, "seed": 1, **more}
    async with Client.connect(port) as client:
        return await client.ask("/v1/responses", json.dumps(body).encode())


def fields(above: Upstream) -> list[set[str]]:
    return [json.loads(call.body).keys() & {"temperature", "seed"} for call in above.seen]


class Comments:
    """What the flow list says of each exchange."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def response(self, flow: Any) -> None:
        self.found.append(flow.comment)


@pytest.mark.parametrize("stream", [True, False])
def test_the_field_is_left_out_and_remembered(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        comments = Comments()
        async with relay(refusing("temperature")) as (master, port, above):
            master.addons.add(comments)
            for _ in range(2):
                answer = await ask(port, stream=stream)
                assert answer.status == 200
                assert b"Hi." in answer.body
                assert answer.headers["x-relay-dropped"] == "temperature"
                if stream:
                    assert answer.body.count(b"event: response.created") == 1
        assert fields(above) == [{"temperature", "seed"}, {"seed"}, {"seed"}]
        first, second = comments.found
        assert "learned: without temperature" in first
        assert "learned" not in second and "dropped temperature" in second

    with caplog.at_level(logging.WARNING):
        bounded(run)()
    [line] = [one for one in caplog.messages if "refused" in one]
    assert line.endswith("now without temperature")


@bounded
async def test_never_a_second_time() -> None:
    async with relay(refusing("temperature", "seed")) as (_, port, above):
        answer = await ask(port)
        assert answer.status == 400
        assert "seed" in json.loads(answer.body)["error"]["message"]
        assert fields(above) == [{"temperature", "seed"}, {"seed"}]
        assert (await ask(port)).status == 200  # what both refusals taught holds now
        assert fields(above)[2:] == [set()]


@bounded
async def test_a_lesson_is_of_one_model() -> None:
    async with relay(refusing("temperature")) as (_, port, above):
        await ask(port)
        await ask(port, model="other")
        assert fields(above) == [{"temperature", "seed"}, {"seed"}] * 2


@bounded
async def test_a_lesson_ends_with_the_table_that_it_was_learned_of() -> None:
    async with relay(refusing("temperature")) as (master, port, above):
        await ask(port)
        master.options.update(relay_tools_off="x")
        await ask(port)
        assert fields(above) == [{"temperature", "seed"}, {"seed"}] * 2


@bounded
async def test_no_other_request_once_the_client_has_a_head() -> None:
    async def slow(call: Call) -> None:
        await asyncio.sleep(0.4)
        refusing("temperature")(call)

    async with relay(slow, relay_heartbeat="0.1") as (_, port, above):
        answer = await ask(port, stream=True)
        assert answer.status == 200
        assert b"response.failed" in answer.body and b"temperature" in answer.body
        assert len(above.seen) == 1


def test_complaints_are_made_once_and_not_kept_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    turn._told.clear()
    tools = [{"type": "web_search", "filters": {"x": 1}}, {"type": "function", "name": "f"}]
    off = provider(tools_off=["f"], web_search={"tool": {"type": "s"}})
    with caplog.at_level(logging.WARNING):
        for to, model in [(off, "m"), (PLAIN, "m"), (PLAIN, "m"), (PLAIN, "n"), (PLAIN, "m")]:
            asked = {"model": "m", "input": "Hello.", "tools": tools}
            turn.complain(exchange(asked, client="responses", way=way(to, model)))
    assert [line.split(" did")[0] for line in caplog.messages] == [
        "The upstream (m)", "The upstream (n)",
    ]  # fmt: skip
    for number in range(2 * turn.KEPT):
        asked = {"model": "m", "input": "Hello.", "tools": [{"type": f"hosted_{number}"}]}
        turn.complain(exchange(asked, client="responses", way=way()))
        assert len(turn._told) <= turn.KEPT
