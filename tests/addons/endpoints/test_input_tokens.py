"""`POST …/responses/input_tokens` through the whole relay, over real sockets."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from addons.endpoints import input_tokens
from tests.addons.endpoints.test_stored_responses import make_turn, store_relay
from tests.addons.exchange.test_addon import error_of, says
from tests.addons.proxy import Answer, Client, bounded
from translate import estimate_input_tokens

PROMPT = "Where does the bread come from? " * 100


async def count_tokens(
    port: int, body: bytes, path: str = "/v1/responses/input_tokens", tunnel: str = ""
) -> Answer:
    async with Client.connect(port, tunnel=tunnel) as client:
        return await client.ask(path, body, host=tunnel or "localhost")


def request_body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", **fields}).encode()


@bounded
@pytest.mark.parametrize(
    ("path", "tunnel"),
    [
        ("/v1/responses/input_tokens", ""),
        ("/responses/input_tokens", ""),
        ("/backend-api/codex/responses/input_tokens", ""),
        ("/v1/responses/input_tokens", "api.openai.com"),
    ],
)
async def test_tokens_are_estimated_on_all_prefixes_and_nothing_is_sent(
    path: str, tunnel: str
) -> None:
    async with store_relay(relay_store="off") as (server, port):
        answer = await count_tokens(port, request_body(input=PROMPT), path, tunnel)
        assert answer.status == 200 and not server.seen
    count = json.loads(answer.body)
    tokens = count.pop("input_tokens")
    assert count == {"object": "response.input_tokens", "estimated": True}
    assert 700 < tokens < 900  # o200k: 800


@bounded
async def test_earlier_responses_and_referenced_items_count(tmp_path: Path) -> None:
    async with store_relay(says(PROMPT), relay_store=str(tmp_path / "kept.db")) as (_, port):
        first = await make_turn(port, input="Hello.")
        [item] = first["output"]
        reference = {"type": "item_reference", "id": item["id"]}
        for fields in ({"previous_response_id": first["id"]}, {"input": [reference]}):
            answer = await count_tokens(port, request_body(**fields))
            assert 700 < json.loads(answer.body)["input_tokens"] < 950


@bounded
@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", None),
        (request_body(input=5), "input"),
        (request_body(conversation="conv_1"), "conversation"),
        (request_body(previous_response_id="resp_1"), "previous_response_id"),
        (request_body(input=[{"id": "msg_1"}]), "input[0]"),
    ],
)
async def test_request_that_would_be_refused_is_not_counted(body: bytes, param: str | None) -> None:
    async with store_relay(relay_store="off") as (_, port):
        answer = await count_tokens(port, body)
    assert answer.status == 400 and error_of(answer)["param"] == param


@bounded
@pytest.mark.parametrize(("text", "in_loop"), [(PROMPT, True), (PROMPT * 500, False)])
async def test_large_request_is_counted_in_a_thread(
    text: str, in_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def count_and_record(*arguments: Any) -> int:
        threads.append(threading.current_thread() is threading.main_thread())
        return estimate_input_tokens(*arguments)

    monkeypatch.setattr(input_tokens, "estimate_input_tokens", count_and_record)
    async with store_relay(relay_store="off") as (_, port):
        answer = await count_tokens(port, request_body(input=text))
    assert threads == [in_loop]
    tokens = json.loads(answer.body)["input_tokens"]
    assert len(text) / 4.5 < tokens < len(text) / 3.5
