"""The work on large requests: in a thread, which gives way to the event loop."""

import asyncio
import gc
import json
import sys
import threading
import weakref
from typing import Any

import pytest

from addons import large_work
from addons.config.addon import Config
from addons.exchange.addon import Translator
from addons.large_work import (
    LARGE_WORK_GC,
    SWITCH_INTERVAL,
    LargeWorkUnavailable,
    return_unused_memory,
    run_in_turns,
    run_sized,
)
from addons.transport.addon import Transport
from tests.addons.proxy import Call, Client, bounded, proxy, upstream
from translate import LARGE_JSON, Exchange

Json = dict[str, Any]
REPLY = b'data: {"choices":[{"index":0,"delta":{"content":"Hi."},"finish_reason":"stop"}]}\n\n'


@bounded
async def test_only_large_work_runs_in_a_thread() -> None:
    here = threading.get_ident()
    assert await run_sized(LARGE_JSON, threading.get_ident) == here
    assert await run_sized(LARGE_JSON + 1, threading.get_ident) != here


def test_a_thread_gives_way_often_and_the_old_settings_return() -> None:
    before = sys.getswitchinterval(), gc.get_threshold()

    def settings() -> tuple[float, tuple[int, int, int]]:
        return sys.getswitchinterval(), gc.get_threshold()

    interval, threshold = run_in_turns(lambda: run_in_turns(settings))
    assert interval == pytest.approx(SWITCH_INTERVAL) and threshold == LARGE_WORK_GC
    assert settings() == before
    with pytest.raises(ZeroDivisionError):
        run_in_turns(lambda: 1 / 0)
    assert settings() == before


class Node:
    """An object that only the garbage collection frees, once it refers to itself."""

    itself: "Node"


@bounded
async def test_memory_is_given_back_once_no_large_request_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_work, "RETURN_DELAY", 0.05)
    node = Node()
    node.itself, reference = node, weakref.ref(node)
    del node
    gc.disable()
    try:
        await run_sized(LARGE_JSON + 1, int)
        while reference():
            await asyncio.sleep(0.01)
    finally:
        gc.enable()
    return_unused_memory()  # where there is nothing to free


@bounded
async def test_work_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    async with proxy(Config(), relay_timeout="1"):
        with pytest.raises(LargeWorkUnavailable, match="relay_timeout"):
            await run_sized(LARGE_JSON + 1, end.wait)
    end.set()


@bounded
async def test_queue_is_bounded_and_its_room_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_work, "QUEUE_BYTES", 3 * LARGE_JSON)
    size, end = LARGE_JSON + 1, threading.Event()
    async with proxy(Config()):
        assert await run_sized(100 * LARGE_JSON, int) == 0  # alone, any size is done
        works = [asyncio.create_task(run_sized(size, end.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        for _ in range(3):  # a refused one takes no room
            with pytest.raises(LargeWorkUnavailable, match="too many large requests"):
                await run_sized(size, int)
        assert await run_sized(LARGE_JSON, int) == 0  # small work goes on
        end.set()
        assert await asyncio.gather(*works) == [True, True]
        assert await run_sized(size, int) == 0
        with pytest.raises(ZeroDivisionError):
            await run_sized(size, lambda: 1 / 0)
        await asyncio.sleep(0.05)
    assert large_work._queued_bytes == 0


def answer(call: Call) -> None:
    call.stream(REPLY, b"data: [DONE]\n\n")
    call.end()


LARGE_TEXTS = [f"text {n} " + "x" * 3_000 for n in range(400)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": [{"role": "user", "content": text} for text in LARGE_TEXTS]}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": text} for text in LARGE_TEXTS]},
        ),
    ],
)
@pytest.mark.parametrize("is_large", [True, False])
@bounded
async def test_a_large_request_is_translated_in_a_thread(
    path: str, body: Json, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    translate_request = Exchange._translate_request

    def observed(self: Exchange, *arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return translate_request(self, *arguments)

    monkeypatch.setattr(Exchange, "_translate_request", observed)
    if not is_large:
        body = {name: items[:20] for name, items in body.items()}
    async with upstream(answer) as server:
        options = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", "relay_store": "off"}
        async with (
            proxy(Transport(), Config(), Translator(), **options) as (_, port),
            Client.connect(port) as client,
        ):
            request = json.dumps({"model": "m", "stream": True, **body}).encode()
            reply = await client.ask(path, request)
    assert reply.status == 200 and b"Hi." in reply.body
    sent = json.loads(server.seen[0].body)["messages"]
    assert [message["content"] for message in sent] == LARGE_TEXTS[: len(sent)]
    assert len(sent) == (len(LARGE_TEXTS) if is_large else 20)
    assert [thread != threading.get_ident() for thread in threads] == [is_large]
