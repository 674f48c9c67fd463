"""Remembering and restoring reasoning, with a real file, a real Redis, and without a store."""

import logging
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from addons.config.addon import Config
from addons.storage import breaker
from addons.storage.breaker import breaker_for
from addons.storage.reasoning_memory import (
    RECALL_TIMEOUT,
    count_restored,
    remember_reasoning,
    restore_reasoning,
)
from addons.storage.response_store import ResponseStore, response_writer
from tests.addons.proxy import bounded
from tests.redis import RedisServer, redis_server
from tests.translate.reply.test_responses_to_chat import COMPLETED
from tests.translate.reply.test_responses_to_responses import done_event, message_item
from tests.translate.state.test_reasoning_memory import (
    ALL_IDS,
    COUNTED,
    UNIQUE,
    Items,
    call,
    reasoning_item,
    sent_body,
    tool_message,
    user,
    without_reasoning,
)
from tests.translate.support import ACCOUNT, Json, chunks_of, context_for, events_wire
from translate import read_conversation_keys, start_exchange
from translate.mappings.reasoning import REASONING_DETAILS
from translate.reply.responses_to_chat import fold_chunks


@pytest.fixture(params=["file", "redis", "off"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("redis").url)
    return "off" if request.param == "off" else str(tmp_path / "kept.db")


@contextmanager
def relay(location: str, **options: str) -> Iterator[None]:
    """The addons that remembering needs, with these settings."""
    config, addon = Config(), ResponseStore()
    with taddons.context(Proxyserver(), config, addon) as context:
        context.configure(config, relay_store=location, **options)
        try:
            yield
        finally:
            addon.done()


def reply_message(messages: Items, owner: str, *items: Json) -> Json:
    """The message that a client gets of a reply with these items."""
    body = {"model": "m", "messages": messages, "stream": True}
    context = replace(
        context_for(ACCOUNT),
        on_response_end=partial(remember_reasoning, read_conversation_keys(body, owner)),
    )
    exchange = start_exchange(body, client="chat", context=context)
    events = [done_event(item, output_index=n) for n, item in enumerate(items)]
    wire = exchange.feed(events_wire(*events, COMPLETED))
    chunks = [chunk for chunk in chunks_of(wire) if "id" in chunk]
    reply: Json = fold_chunks(chunks)["choices"][0]["message"]
    return reply


async def restore(messages: Items, owner: str) -> Items:
    body = {"model": "m", "messages": messages}
    restored: Items = (await restore_reasoning(body, read_conversation_keys(body, owner)))[
        "messages"
    ]
    return restored


async def run_tool_loop(owner: str, names: tuple[str, str]) -> Items:
    """A tool loop of a client that sends back plain messages only.

    Each of its requests must go up as if the client had kept all reasoning. `names`: prefixes of
    call ids."""
    first, second = names
    replies: list[list[Json]] = [
        [
            reasoning_item("a"),
            call("f", f"{first}1", a=1),
            reasoning_item("b"),
            call("f", f"{first}2", a=2),
        ],
        [reasoning_item("c"), call("g", f"{second}3")],
        [reasoning_item("d"), message_item("Done.")],
    ]
    talk = [user("Begin.")]
    for items in replies:
        assert sent_body(await restore(without_reasoning(talk), owner)) == sent_body(talk)
        reply = reply_message(without_reasoning(talk), owner, *items)
        outputs = [tool_message(call["id"], "It is so.") for call in reply.get("tool_calls", ())]
        talk = [*talk, reply, *outputs]
    return [*talk, user("Thanks.")]


def count_details(messages: Items) -> list[int]:
    return [
        len(message.get(REASONING_DETAILS, ()))
        for message in messages
        if message["role"] == "assistant"
    ]


COUNTS = [len(details) for details in ALL_IDS]


@pytest.mark.parametrize("names", [UNIQUE, COUNTED], ids=["own", "counted"])
@bounded
async def test_loop_of_a_plain_client_keeps_its_reasoning(
    location: str, names: tuple[str, str]
) -> None:
    with relay(location):
        talk = await run_tool_loop("ann", names)
        assert sent_body(await restore(without_reasoning(talk), "ann")) == sent_body(talk)


@bounded
async def test_owners_do_not_share(location: str) -> None:
    with relay(location):
        talk = await run_tool_loop("carl", UNIQUE)
        assert count_details(await restore(without_reasoning(talk), "carl")) == COUNTS
        assert count_details(await restore(without_reasoning(talk), "dora")) == [0, 0, 0]


@bounded
async def test_reasoning_survives_a_restart(location: str) -> None:
    with relay(location):
        talk = await run_tool_loop("eve", COUNTED)
    with relay(location):
        assert sent_body(await restore(without_reasoning(talk), "eve")) == sent_body(talk)


def run_in_another_process(location: str, talk: Items) -> None:
    with relay(location):
        reply_message(talk, "fred", reasoning_item("a"), call("f", "call_1"))


@bounded
async def test_reasoning_is_shared_with_another_process(redis: RedisServer) -> None:
    with relay(redis.url):
        talk = [user("A"), {"role": "assistant", "tool_calls": [CALL]}]
        assert count_details(await restore(talk, "fred")) == [0]
        spawn = multiprocessing.get_context("spawn")
        other = spawn.Process(target=run_in_another_process, args=(redis.url, talk[:1]))
        other.start()
        other.join(30)
        assert other.exitcode == 0
        assert count_details(await restore(talk, "fred")) == [1]


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@bounded
async def test_without_store_the_memory_is_in_this_process_and_bounded(tmp_path: Path) -> None:
    with relay("off", relay_store_limit="0.002MB"):
        assert response_writer() is None
        talks = []
        for number in range(9):
            talk = [user(f"Begin {number}.")]
            talks.append(
                [*talk, reply_message(talk, "gus", reasoning_item("a"), message_item("Done."))]
            )
        counts = [count_details(await restore(without_reasoning(talk), "gus")) for talk in talks]
        assert counts[0] == [0] and counts[-1] == [1]


async def take_turn_without_memory(talk: Items, owner: str) -> None:
    assert await restore(without_reasoning(talk), owner) == without_reasoning(talk)
    reply_message(without_reasoning(talk), owner, reasoning_item("x"), message_item("Done."))


@bounded
async def test_turns_go_on_without_redis_and_remember_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "PAUSE", 600.0)
    with redis_server(tmp_path) as redis, relay(redis.url):
        talk = await run_tool_loop("hal", UNIQUE)
        redis.stop()
        start = time.monotonic()
        for _ in range(5):
            await take_turn_without_memory(talk, "hal")
        assert time.monotonic() - start < RECALL_TIMEOUT + 1
        [line] = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert "does not answer" in line.message and "relay_store" in line.message
        redis.start()
        await take_turn_without_memory(talk, "hal")  # Redis is not asked yet
        assert len(caplog.records) == 1
        if shared := breaker_for(redis.url):
            shared._broken_until = time.monotonic()  # the pause is over
        talk = await run_tool_loop("hal", UNIQUE)
        assert count_details(await restore(without_reasoning(talk), "hal")) == COUNTS
        assert "answers again" in caplog.text and len(caplog.records) == 2


@bounded
async def test_turns_go_on_where_no_file_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with relay(str(tmp_path / "file" / "kept.db")):
        talk = [
            user("A"),
            reply_message([user("A")], "ida", reasoning_item("a"), message_item("Done.")),
        ]
        for _ in range(3):
            await take_turn_without_memory(talk, "ida")
    assert caplog.text.count("go on without") == 1


@bounded
async def test_request_without_missing_reasoning_opens_nothing(tmp_path: Path) -> None:
    with relay("", relay_store_limit="1d"):
        body = {"model": "m", "messages": [user("A")]}
        assert await restore_reasoning(body, read_conversation_keys(body, "ann")) is body
        reply_message([user("A")], "ann", message_item("No thought."))
        writer = response_writer()
        assert writer and not writer.is_open


def test_restored_messages_are_counted() -> None:
    body = {"messages": [user("A"), {"role": "assistant", "content": "B"}]}
    assert count_restored(body, body) == 0
    restored = {**body["messages"][1], REASONING_DETAILS: [{}]}
    assert count_restored(body, {"messages": [body["messages"][0], restored]}) == 1
