"""A client that has seen the end of its reply can rely on its stored response, even if the relay is
killed the moment after; a real process, killed in mid-air."""

import asyncio
import http.client
import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http import _events as wire
from mitmproxy.test import tflow

from addons.launch import RelayProcess, start
from addons.storage import response_store
from addons.storage.backend import StorageLimits
from addons.storage.response_store import ResponseSaver
from addons.storage.sqlite_backend import SqliteBackend
from addons.transport.attempts import Steps
from addons.transport.plan import attach_plan
from addons.transport.stream_hooks import RelayWriteHook
from addons.transport.write_barrier import hold_until_written
from tests.addons.proxy import bounded
from tests.fake_provider import FakeProvider
from tests.replies import say
from translate import StoredResponse

ENDED = re.compile(rb'response.completed|"status": ?"completed"')
REQUEST = {"model": "deepseek-chat", "input": "Say hello."}


@pytest.fixture
def killed_relay(provider: FakeProvider, tmp_path: Path) -> Iterator[RelayProcess]:
    relay = start(
        upstream=provider.url,
        api_key=provider.key,
        store=str(tmp_path / "kept.db"),
        log=tmp_path / "relay.log",
    )
    yield relay
    relay.kill()
    relay.wait(10)


def kill_at_the_end(relay: RelayProcess, **fields: Any) -> str:
    """The id of a response whose relay was killed as soon as the client had its end."""
    headers, read = {"content-type": "application/json"}, b""
    with closing(http.client.HTTPConnection("127.0.0.1", relay.port, timeout=20)) as connection:
        connection.request("POST", "/v1/responses", json.dumps(REQUEST | fields), headers)
        reply = connection.getresponse()
        while not ENDED.search(read):
            piece = reply.read1()
            assert piece, read
            read += piece
        relay.kill()
        relay.wait(10)
    return str(json.loads(b'"resp_' + read.split(b'"resp_', 1)[1].split(b'"', 1)[0] + b'"'))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_response_outlives_a_kill_right_after_its_end(
    stream: bool, killed_relay: RelayProcess, provider: FakeProvider, tmp_path: Path
) -> None:
    SqliteBackend(tmp_path / "kept.db", StorageLimits(1e9, 10**9)).close()
    provider.reply(say("Hello."))
    db = sqlite3.connect(tmp_path / "kept.db", isolation_level=None, check_same_thread=False)
    db.execute("BEGIN IMMEDIATE")  # the write has to wait for a moment
    timer = threading.Timer(0.3, db.execute, ["COMMIT"])
    timer.start()
    response_id = kill_at_the_end(killed_relay, stream=stream)
    timer.join()
    stored = db.execute("SELECT id FROM response").fetchall()
    db.close()
    assert stored == [(response_id,)]


class RecordedPlan(SimpleNamespace):
    """As much of a RelayPlan as the barrier asks."""

    writes = 1

    def is_writing(self) -> bool:
        return bool(self.writes)


def test_only_what_the_client_gets_waits() -> None:
    flow, client = tflow.tflow(), object()
    attach_plan(flow, RecordedPlan())  # type: ignore[arg-type]  # it has no exchange
    to_client = SendHttp(wire.ResponseData(1, b"end"), client)  # type: ignore[arg-type]
    to_upstream = SendHttp(wire.RequestEndOfMessage(1), object())  # type: ignore[arg-type]
    answers = []

    def steps() -> Steps:
        answers.append((yield to_upstream))
        answers.append((yield to_client))

    held = hold_until_written(flow, steps(), client)
    assert next(held) is to_upstream
    wait = held.send("sent")
    assert isinstance(wait, RelayWriteHook) and wait.blocking is True and wait.flow is flow
    assert isinstance(wait, commands.StartHook)
    assert held.send(None) is to_client
    with pytest.raises(StopIteration):
        held.send("sent too")
    assert answers == ["sent", "sent too"]


def test_without_a_write_nothing_waits() -> None:
    flow, client = tflow.tflow(), object()
    step = SendHttp(wire.ResponseData(1, b"x"), client)  # type: ignore[arg-type]
    for plan in (None, RecordedPlan(writes=0)):
        if plan:
            attach_plan(flow, plan)  # type: ignore[arg-type]
        assert list(hold_until_written(flow, iter_steps(step), client)) == [step]


def iter_steps(step: commands.Command) -> Steps:
    yield step


@bounded
async def test_write_that_does_not_end_holds_the_reply_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(response_store, "WRITE_TIMEOUT", 0.05)
    write: Future[None] = Future()
    writer: Any = SimpleNamespace(save_response=lambda response, owner: write)
    saver = ResponseSaver(writer, "")
    assert not saver.is_busy()
    await saver.wait_until_written()  # nothing to wait for
    saver(StoredResponse([], {"id": "r"}))
    start_time, ticks = time.monotonic(), 0
    waiting = asyncio.create_task(saver.wait_until_written())
    while not waiting.done():  # the event loop goes on
        ticks += 1
        await asyncio.sleep(0.001)
    assert ticks > 1 and time.monotonic() - start_time < 5
    assert saver.is_busy() and not write.cancelled()
    write.set_exception(OSError("disk full"))
    await saver.wait_until_written()
    assert not saver.is_busy()
