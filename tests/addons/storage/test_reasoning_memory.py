"""Reasoning remembered and put back: a real file, a real Redis, this process; no network."""

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
from addons.storage import reasoning_memory as continuity
from addons.storage import response_store as store
from addons.storage.response_store import Store
from tests.addons.proxy import bounded
from tests.redis import RedisServer, redis_server
from tests.translate.reply.test_responses_to_chat import COMPLETED
from tests.translate.reply.test_responses_to_responses import done, message
from tests.translate.state.test_reasoning_memory import (
    ALL,
    COUNTED,
    OWN,
    Items,
    call,
    plain,
    result,
    sent,
    thought,
    user,
)
from tests.translate.support import ACCOUNT, Json, chunks_of, events_wire, way
from translate import exchange
from translate.mappings.reasoning import DETAILS
from translate.reply.responses_to_chat import fold


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["file", "redis", "off"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("server")
        server.client.flushall()
        return server.url
    return "off" if request.param == "off" else str(tmp_path / "kept.db")


@contextmanager
def relay(place: str, **options: str) -> Iterator[None]:
    """The settings in force, and what keeps responses."""
    config, addon = Config(), Store()
    with taddons.context(Proxyserver(), config, addon) as context:
        context.configure(config, relay_store=place, **options)
        try:
            yield
        finally:
            addon.done()


def answered(messages: Items, owner: str, *items: Json) -> Json:
    """The message of a reply as its client has it."""
    body = {"model": "m", "messages": messages, "stream": True}
    heard = partial(continuity.keep, body, owner)
    crossing = exchange(body, client="chat", way=replace(way(ACCOUNT), heard=heard))
    events = [done(item, output_index=n) for n, item in enumerate(items)]
    wire = crossing.feed(events_wire(*events, COMPLETED))
    made: Json = fold([c for c in chunks_of(wire) if "id" in c])["choices"][0]["message"]
    return made


async def back(messages: Items, owner: str) -> Items:
    made: Items = (await continuity.restore({"model": "m", "messages": messages}, owner))[
        "messages"
    ]
    return made


async def loop(owner: str, names: tuple[str, str]) -> Items:
    """A plain client's tool loop; every request goes up as that of one which keeps everything."""
    first, second = names
    replies: list[list[Json]] = [
        [thought("a"), call("f", f"{first}1", a=1), thought("b"), call("f", f"{first}2", a=2)],
        [thought("c"), call("g", f"{second}3")],
        [thought("d"), message("Done.")],
    ]
    talk = [user("Begin.")]
    for items in replies:
        assert sent(await back(plain(talk), owner)) == sent(talk)
        made = answered(plain(talk), owner, *items)
        outputs = [result(one["id"], "It is so.") for one in made.get("tool_calls", ())]
        talk = [*talk, made, *outputs]
    return [*talk, user("Thanks.")]


def known(messages: Items) -> list[int]:
    return [len(one.get(DETAILS, ())) for one in messages if one["role"] == "assistant"]


COUNTS = [len(one) for one in ALL]


@pytest.mark.parametrize("names", [OWN, COUNTED], ids=["own", "counted"])
@bounded
async def test_loop_of_a_plain_client_keeps_its_reasoning(
    place: str, names: tuple[str, str]
) -> None:
    with relay(place):
        talk = await loop("ann", names)
        assert sent(await back(plain(talk), "ann")) == sent(talk)


@bounded
async def test_owners_do_not_share(place: str) -> None:
    with relay(place):
        talk = await loop("carl", OWN)
        assert known(await back(plain(talk), "carl")) == COUNTS
        assert known(await back(plain(talk), "dora")) == [0, 0, 0]


@bounded
async def test_it_is_there_after_a_restart(place: str) -> None:
    with relay(place):
        talk = await loop("eve", COUNTED)
    with relay(place):
        assert sent(await back(plain(talk), "eve")) == sent(talk)


def elsewhere(place: str, talk: Items) -> None:
    """What another process does."""
    with relay(place):
        answered(talk, "fred", thought("a"), call("f", "call_1"))


@bounded
async def test_it_is_there_for_another_process(server: RedisServer) -> None:
    with relay(server.url):
        talk = [user("A"), {"role": "assistant", "tool_calls": [CALL]}]
        assert known(await back(talk, "fred")) == [0]
        spawn = multiprocessing.get_context("spawn")
        other = spawn.Process(target=elsewhere, args=(server.url, talk[:1]))
        other.start()
        other.join(30)
        assert other.exitcode == 0
        assert known(await back(talk, "fred")) == [1]


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@bounded
async def test_switched_off_it_is_kept_in_this_process_and_bounded(tmp_path: Path) -> None:
    with relay("off", relay_store_megabytes="0.002"):
        assert store.keeper() is None
        talks = []
        for number in range(9):
            talk = [user(f"Begin {number}.")]
            talks.append([*talk, answered(talk, "gus", thought("a"), message("Done."))])
        found = [known(await back(plain(talk), "gus")) for talk in talks]
        assert found[0] == [0] and found[-1] == [1]


async def quiet(talk: Items, owner: str) -> None:
    """A turn that does without."""
    assert await back(plain(talk), owner) == plain(talk)
    answered(plain(talk), owner, thought("x"), message("Done."))


@bounded
async def test_turns_go_on_without_a_redis_and_with_it_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server(tmp_path) as server, relay(server.url):
        talk = await loop("hal", OWN)
        server.stop()
        begun = time.monotonic()
        for _ in range(5):
            await quiet(talk, "hal")
        assert time.monotonic() - begun < continuity.PATIENCE + 1
        [said] = [one for one in caplog.records if one.levelno >= logging.WARNING]
        assert "go on without" in said.message and "relay_store" in said.message
        server.start()
        await quiet(talk, "hal")  # is still left alone
        keeper = store.keeper()
        assert keeper and continuity._resting[keeper] > time.monotonic() + continuity.REST - 10
        continuity._resting[keeper] = time.monotonic()  # the rest is over
        talk = await loop("hal", OWN)
        assert known(await back(plain(talk), "hal")) == COUNTS
        assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == 1


@bounded
async def test_turns_go_on_where_no_file_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with relay(str(tmp_path / "file" / "kept.db")):
        talk = [user("A"), answered([user("A")], "ida", thought("a"), message("Done."))]
        for _ in range(3):
            await quiet(talk, "ida")
    said = [one.message for one in caplog.records if "go on without" in one.message]
    assert len(said) == 1


@bounded
async def test_request_that_has_nothing_to_find_opens_nothing(tmp_path: Path) -> None:
    with relay("", relay_store_days="1"):
        body = {"model": "m", "messages": [user("A")]}
        assert await continuity.restore(body, "ann") is body
        answered([user("A")], "ann", message("No thought."))
        keeper = store.keeper()
        assert keeper and keeper._place is None
