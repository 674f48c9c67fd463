"""Stored responses as the official SDK uses them, in a file and in Redis, also after a restart."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests.codex.driver import Relay
from tests.fake_provider import FakeProvider, ReceivedRequest
from tests.redis import redis_server
from tests.replies import call, say, think
from tests.sdk.conftest import Ask, ConnectionMode, http_client_options, sdk_options

HELLO = {"model": "gpt-5.5", "input": "Hello."}
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The value of relay_store."""
    if request.param == "sqlite":
        yield str(tmp_path / "kept.db")
        return
    with redis_server(tmp_path) as server:
        yield server.url


@pytest.fixture
def start_relay(upstream: FakeProvider, tmp_path: Path) -> Iterator[Callable[..., Relay]]:
    running: list[Relay] = []

    def make(**settings: str) -> Relay:
        chosen = {
            "upstream": upstream.url,
            "api_key": upstream.key or "",
            "retries": "0",
            **settings,
        }
        running.append(Relay(tmp_path / f"relay{len(running)}", **chosen))
        return running[-1]

    yield make
    for relay in running:
        relay.stop()


def sdk_client(relay: Relay, mode: ConnectionMode = "base_url") -> OpenAI:
    return OpenAI(
        **sdk_options(relay, mode), http_client=httpx2.Client(**http_client_options(relay, mode))
    )


def texts_sent(request: ReceivedRequest) -> list[str]:
    """The texts of a request without those of the system."""
    return [
        str(message.get("content")) for message in request.messages if message["role"] != "system"
    ]


def test_conversation_continues_by_each_method_and_mode(
    ask: Ask, client: OpenAI, relay: Relay, provider: FakeProvider
) -> None:
    provider.reply(think("Greet."), say("Hi."))
    provider.reply(say("Yes."))
    first = ask(input="Hello.", instructions="Be kind.")
    second = ask(input="Still there?", previous_response_id=first.id)
    assert (second.previous_response_id, second.store) == (first.id, True)
    assert texts_sent(provider.posted_requests[1]) == ["Hello.", "Hi.", "Still there?"]
    assert "kind" not in provider.posted_requests[1].system
    stored = client.responses.retrieve(second.id)
    assert (stored.output_text, stored.usage) == (second.output_text, second.usage)
    assert stored.to_dict().keys() == second.to_dict().keys()
    [item] = client.responses.input_items.list(second.id)
    assert item.content[0].text == "Still there?"  # type: ignore[union-attr]
    assert client.responses.delete(second.id) is None
    with sdk_client(relay) as direct, pytest.raises(NotFoundError, match=second.id):
        direct.responses.retrieve(second.id)  # by proxy the request would go to OpenAI
    assert client.responses.retrieve(first.id).output_text == "Hi."


def test_input_items_are_listed_in_pages(client: OpenAI, provider: FakeProvider) -> None:
    provider.reply(say("Hi."))
    items: list[Any] = [{"role": "user", "content": f"Line {number}."} for number in range(25)]
    id = client.responses.create(model="gpt-5.5", input=items).id
    items = list(client.responses.input_items.list(id, limit=10, order="asc"))
    assert [item.content[0].text for item in items] == [f"Line {n}." for n in range(25)]  # type: ignore[union-attr]
    assert len({item.id for item in items}) == 25
    again = list(client.responses.input_items.list(id))
    assert [item.id for item in again] == [item.id for item in items][::-1]


def test_tool_loop_sends_only_the_outputs(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(think("Look."), call("weather", id="call_1", city="Bern"))
    provider.reply(say("Sunny."))
    first = ask(input="Weather in Bern?", tools=[WEATHER])
    [function_call] = [item for item in first.output if item.type == "function_call"]
    output: Any = {
        "type": "function_call_output",
        "call_id": function_call.call_id,
        "output": "22 C",
    }
    second = ask(input=[output], tools=[WEATHER], previous_response_id=first.id)
    assert second.output_text == "Sunny."
    assert [message["role"] for message in provider.posted_requests[1].messages] == [
        "user",
        "assistant",
        "tool",
    ]
    assert provider.posted_requests[1].outputs == ["22 C"]


def test_response_that_is_not_stored_is_refused(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(say("Hi."))
    unkept = ask(input="Hello.", store=False)
    assert unkept.store is False
    for id in (unkept.id, "resp_never"):
        with pytest.raises(BadRequestError, match=id) as refused:
            ask(input="More.", previous_response_id=id)
        assert refused.value.code == "previous_response_not_found"
        assert refused.value.param == "previous_response_id"


def test_references_stand_for_stored_items(ask: Ask, provider: FakeProvider) -> None:
    """As the AI SDK sends them by default, from its second turn on."""
    provider.reply(think("Look."), call("weather", id="call_1", city="Bern"))
    provider.reply(say("Sunny."))
    first = ask(input="Weather in Bern?", tools=[WEATHER])
    references: list[Any] = [{"type": "item_reference", "id": item.id} for item in first.output]
    output = {"type": "function_call_output", "call_id": "call_1", "output": "22 C"}
    question = {"role": "user", "content": "Weather in Bern?"}
    second = ask(input=[question, *references, output], tools=[WEATHER])
    assert second.output_text == "Sunny."
    messages = provider.posted_requests[1].messages
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[1]["tool_calls"][0]["function"]["name"] == "weather"
    assert messages[1]["reasoning_content"] == "Look."


def test_reference_to_an_unknown_item_is_refused(ask: Ask) -> None:
    with pytest.raises(BadRequestError, match="Item with id 'msg_never' not found") as refused:
        ask(input=[{"type": "item_reference", "id": "msg_never"}])
    assert (refused.value.code, refused.value.param) == ("item_not_found", "input[0]")


@pytest.mark.parametrize("fields", [{"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}])
def test_conversations_and_prompts_of_openai_are_refused(client: OpenAI, fields: Any) -> None:
    [name] = fields
    with pytest.raises(BadRequestError, match=f"{name}: ") as refused:
        client.responses.create(**HELLO, **fields)
    assert refused.value.param == name


def test_background_is_refused(client: OpenAI, provider: FakeProvider) -> None:
    with pytest.raises(BadRequestError, match="background"):
        client.responses.create(**HELLO, background=True)
    provider.reply(say("Hi."))
    id = client.responses.create(**HELLO).id
    with pytest.raises(BadRequestError, match="background"):
        client.responses.cancel(id)
    with pytest.raises(BadRequestError, match="stream"):
        client.responses.retrieve(id, stream=True)


def test_stored_conversation_is_compacted(relay: Relay, provider: FakeProvider) -> None:
    provider.reply(say("Ada."))
    provider.reply(say("A name was chosen: Ada."))
    provider.reply(say("Ada, I said."))
    with sdk_client(relay) as client:
        first = client.responses.create(model="gpt-5.5", input="Give me a name.")
        compacted = client.responses.compact(model="gpt-5.5", previous_response_id=first.id)
        items: Any = [item.model_dump(warnings=False) for item in compacted.output]
        who = {"role": "user", "content": "Who?"}
        client.responses.create(model="gpt-5.5", input=[*items, who])
    assert texts_sent(provider.posted_requests[1])[:2] == ["Give me a name.", "Ada."]
    assert "A name was chosen: Ada." in str(provider.posted_requests[2].messages)


def test_responses_survive_a_restart(
    store: str, start_relay: Callable[..., Relay], provider: FakeProvider
) -> None:
    provider.reply(say("Hi."))
    relay = start_relay(store=store)
    with sdk_client(relay) as client:
        first = client.responses.create(**HELLO)
    relay.stop()  # at once, so that pending writes must still happen
    provider.reply(say("I do."))
    with sdk_client(start_relay(store=store), "proxy") as client:
        assert client.responses.retrieve(first.id).output_text == "Hi."
        client.responses.create(
            model="gpt-5.5", input="Remember?", previous_response_id=first.id, stream=False
        )
    assert texts_sent(provider.posted_requests[1]) == ["Hello.", "Hi.", "Remember?"]


def test_two_relays_continue_branches_at_the_same_time(
    store: str, start_relay: Callable[..., Relay], provider: FakeProvider
) -> None:
    provider.reply(say("Hi."))
    for _ in range(12):
        provider.reply(lambda request: say(f"Heard {request.prompt}"))
    relays = [start_relay(store=store), start_relay(store=store)]
    with (
        sdk_client(relays[0]) as first,
        sdk_client(relays[1]) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        root = first.responses.create(**HELLO).id

        def go_on(client: OpenAI, name: str) -> list[str]:
            """The texts of the last of three requests."""
            id = root
            for number in range(3):
                fields = {"input": f"{name}{number}", "previous_response_id": id}
                id = client.responses.create(model="gpt-5.5", **fields).id
            [last] = [chat for chat in provider.posted_requests if chat.prompt == f"{name}2"]
            return texts_sent(last)

        for _ in range(2):
            names = ["left", "right"] if len(provider.posted_requests) == 1 else ["up", "down"]
            histories = list(pool.map(go_on, (first, second), names))
            for name, lines in zip(names, histories, strict=True):
                expected = [x for n in range(2) for x in (f"{name}{n}", f"Heard {name}{n}")]
                assert lines == ["Hello.", "Hi.", *expected, f"{name}2"]


def test_store_is_limited_by_days_and_megabytes(
    store: str, start_relay: Callable[..., Relay], provider: FakeProvider
) -> None:
    for _ in range(4):
        provider.reply(say("Hi."))
    relay = start_relay(store=store, store_limit="0.1MB")
    with sdk_client(relay) as client:
        first = client.responses.create(model="gpt-5.5", input="x" * 60_000)
        second = client.responses.create(model="gpt-5.5", input="y" * 60_000)
        assert client.responses.retrieve(second.id).id == second.id
        with pytest.raises(NotFoundError):
            client.responses.retrieve(first.id)
        lost = client.responses.create(model="gpt-5.5", input="z" * 120_000)
        with pytest.raises(BadRequestError, match=lost.id):
            client.responses.create(**HELLO, previous_response_id=lost.id)
        assert f"{lost.id} is not stored" in relay.log and "relay_store_limit" in relay.log
    with sdk_client(start_relay(store=store, store_limit="0.0000001d")) as client:  # 9 ms
        with pytest.raises(NotFoundError):
            client.responses.retrieve(second.id)
        client.responses.create(**HELLO)


def test_damaged_file_is_replaced(
    start_relay: Callable[..., Relay], provider: FakeProvider, tmp_path: Path
) -> None:
    file = tmp_path / "kept.db"
    file.write_bytes(b"\0nonsense" * 1_000)
    provider.reply(say("Hi."))
    relay = start_relay(store=f"sqlite://{file}")
    with sdk_client(relay) as client:
        assert client.responses.retrieve(client.responses.create(**HELLO).id).output_text == "Hi."
    assert "is damaged" in relay.log
    [aside] = tmp_path.glob("kept.db.damaged-*")
    assert aside.read_bytes() == b"\0nonsense" * 1_000
