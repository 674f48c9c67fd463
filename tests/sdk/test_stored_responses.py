"""Kept responses as the official SDK uses them, with both places, also after a restart."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests.codex.driver import Relay
from tests.fake_provider import FakeProvider, Request
from tests.redis import redis_server
from tests.replies import call, say, think
from tests.sdk.conftest import Ask, Way, options, settings

HELLO = {"model": "gpt-5.5", "input": "Hello."}
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The value of relay_store."""
    if request.param == "sqlite":
        yield str(tmp_path / "kept.db")
        return
    with redis_server(tmp_path) as server:
        yield server.url


@pytest.fixture
def start(upstream: FakeProvider, tmp_path: Path) -> Iterator[Callable[..., Relay]]:
    running: list[Relay] = []

    def make(**more: str) -> Relay:
        chosen = {"upstream": upstream.url, "api_key": upstream.key or "", "retries": "0", **more}
        running.append(Relay(tmp_path / f"relay{len(running)}", **chosen))
        return running[-1]

    yield make
    for relay in running:
        relay.stop()


def sdk(relay: Relay, way: Way = "base_url") -> OpenAI:
    return OpenAI(**settings(relay, way), http_client=httpx2.Client(**options(relay, way)))


def talk(request: Request) -> list[str]:
    """What was said, without the system's words."""
    return [str(one.get("content")) for one in request.messages if one["role"] != "system"]


def test_a_chain_by_each_way_of_asking(
    ask: Ask, client: OpenAI, relay: Relay, provider: FakeProvider
) -> None:
    provider.reply(think("Greet."), say("Hi."))
    provider.reply(say("Yes."))
    first = ask(input="Hello.", instructions="Be kind.")
    second = ask(input="Still there?", previous_response_id=first.id)
    assert (second.previous_response_id, second.store) == (first.id, True)
    assert talk(provider.chats[1]) == ["Hello.", "Hi.", "Still there?"]
    assert "kind" not in provider.chats[1].system
    kept = client.responses.retrieve(second.id)
    assert (kept.output_text, kept.usage) == (second.output_text, second.usage)
    assert kept.to_dict().keys() == second.to_dict().keys()
    [item] = client.responses.input_items.list(second.id)
    assert item.content[0].text == "Still there?"  # type: ignore[union-attr]
    assert client.responses.delete(second.id) is None
    with sdk(relay) as direct, pytest.raises(NotFoundError, match=second.id):
        direct.responses.retrieve(second.id)  # by proxy it would be asked for at OpenAI
    assert client.responses.retrieve(first.id).output_text == "Hi."


def test_pages_of_input_items(client: OpenAI, provider: FakeProvider) -> None:
    provider.reply(say("Hi."))
    items: list[Any] = [{"role": "user", "content": f"Line {number}."} for number in range(25)]
    id = client.responses.create(model="gpt-5.5", input=items).id
    found = list(client.responses.input_items.list(id, limit=10, order="asc"))
    assert [item.content[0].text for item in found] == [f"Line {n}." for n in range(25)]  # type: ignore[union-attr]
    assert len({item.id for item in found}) == 25
    again = list(client.responses.input_items.list(id))
    assert [item.id for item in again] == [item.id for item in found][::-1]


def test_a_tool_loop_of_which_only_the_output_is_sent(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(think("Look."), call("weather", id="call_1", city="Bern"))
    provider.reply(say("Sunny."))
    first = ask(input="Weather in Bern?", tools=[WEATHER])
    [wanted] = [item for item in first.output if item.type == "function_call"]
    output: Any = {"type": "function_call_output", "call_id": wanted.call_id, "output": "22 C"}
    second = ask(input=[output], tools=[WEATHER], previous_response_id=first.id)
    assert second.output_text == "Sunny."
    assert [one["role"] for one in provider.chats[1].messages] == ["user", "assistant", "tool"]
    assert provider.chats[1].outputs == ["22 C"]


def test_what_nobody_kept_is_refused(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(say("Hi."))
    unkept = ask(input="Hello.", store=False)
    assert unkept.store is False
    for id in (unkept.id, "resp_never"):
        with pytest.raises(BadRequestError, match=id) as refused:
            ask(input="More.", previous_response_id=id)
        assert refused.value.code == "previous_response_not_found"
        assert refused.value.param == "previous_response_id"


def test_the_background_is_refused(client: OpenAI, provider: FakeProvider) -> None:
    with pytest.raises(BadRequestError, match="background"):
        client.responses.create(**HELLO, background=True)
    provider.reply(say("Hi."))
    id = client.responses.create(**HELLO).id
    with pytest.raises(BadRequestError, match="background"):
        client.responses.cancel(id)
    with pytest.raises(BadRequestError, match="stream"):
        client.responses.retrieve(id, stream=True)


def test_compaction_of_what_is_kept(relay: Relay, provider: FakeProvider) -> None:
    provider.reply(say("Ada."))
    provider.reply(say("A name was chosen: Ada."))
    provider.reply(say("Ada, I said."))
    with sdk(relay) as client:
        first = client.responses.create(model="gpt-5.5", input="Give me a name.")
        compacted = client.responses.compact(model="gpt-5.5", previous_response_id=first.id)
        items: Any = [item.model_dump(warnings=False) for item in compacted.output]
        who = {"role": "user", "content": "Who?"}
        client.responses.create(model="gpt-5.5", input=[*items, who])
    assert talk(provider.chats[1])[:2] == ["Give me a name.", "Ada."]
    assert "A name was chosen: Ada." in str(provider.chats[2].messages)


def test_it_outlives_the_relay(
    place: str, start: Callable[..., Relay], provider: FakeProvider
) -> None:
    provider.reply(say("Hi."))
    relay = start(store=place)
    with sdk(relay) as client:
        first = client.responses.create(**HELLO)
    relay.stop()  # at once: what is not written yet must be
    provider.reply(say("I do."))
    with sdk(start(store=place), "proxy") as client:
        assert client.responses.retrieve(first.id).output_text == "Hi."
        client.responses.create(
            model="gpt-5.5", input="Remember?", previous_response_id=first.id, stream=False
        )
    assert talk(provider.chats[1]) == ["Hello.", "Hi.", "Remember?"]


def test_two_branches_at_once_in_two_relays(
    place: str, start: Callable[..., Relay], provider: FakeProvider
) -> None:
    provider.reply(say("Hi."))
    for _ in range(12):
        provider.reply(lambda request: say(f"Heard {request.prompt}"))
    relays = [start(store=place), start(store=place)]
    with sdk(relays[0]) as one, sdk(relays[1]) as two, ThreadPoolExecutor(2) as pool:
        root = one.responses.create(**HELLO).id

        def go_on(client: OpenAI, name: str) -> list[str]:
            """Three turns, and what the model was told at the last."""
            id = root
            for turn in range(3):
                more = {"input": f"{name}{turn}", "previous_response_id": id}
                id = client.responses.create(model="gpt-5.5", **more).id
            [last] = [chat for chat in provider.chats if chat.prompt == f"{name}2"]
            return talk(last)

        for _ in range(2):
            names = ["left", "right"] if len(provider.chats) == 1 else ["up", "down"]
            told = list(pool.map(go_on, (one, two), names))
            for name, lines in zip(names, told, strict=True):
                heard = [x for n in range(2) for x in (f"{name}{n}", f"Heard {name}{n}")]
                assert lines == ["Hello.", "Hi.", *heard, f"{name}2"]


def test_days_and_megabytes_bound_it(
    place: str, start: Callable[..., Relay], provider: FakeProvider
) -> None:
    for _ in range(4):
        provider.reply(say("Hi."))
    relay = start(store=place, store_megabytes="0.1")
    with sdk(relay) as client:
        first = client.responses.create(model="gpt-5.5", input="x" * 60_000)
        second = client.responses.create(model="gpt-5.5", input="y" * 60_000)
        assert client.responses.retrieve(second.id).id == second.id
        with pytest.raises(NotFoundError):
            client.responses.retrieve(first.id)
        lost = client.responses.create(model="gpt-5.5", input="z" * 120_000)
        with pytest.raises(BadRequestError, match=lost.id):
            client.responses.create(**HELLO, previous_response_id=lost.id)
        assert f"{lost.id} is not kept" in relay.log and "relay_store_megabytes" in relay.log
    with sdk(start(store=place, store_days="0.0000001")) as client:  # 9 ms
        with pytest.raises(NotFoundError):
            client.responses.retrieve(second.id)
        client.responses.create(**HELLO)


def test_a_damaged_file_costs_no_turn(
    start: Callable[..., Relay], provider: FakeProvider, tmp_path: Path
) -> None:
    file = tmp_path / "kept.db"
    file.write_bytes(b"\0nonsense" * 1_000)
    provider.reply(say("Hi."))
    relay = start(store=f"sqlite://{file}")
    with sdk(relay) as client:
        assert client.responses.retrieve(client.responses.create(**HELLO).id).output_text == "Hi."
    assert "is damaged" in relay.log
    [aside] = tmp_path.glob("kept.db.damaged-*")
    assert aside.read_bytes() == b"\0nonsense" * 1_000
