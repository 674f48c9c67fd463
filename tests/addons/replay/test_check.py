"""A capture, written by a relay and read by a real mitmdump that translates it again."""

import asyncio
import functools
import json
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import io
from mitmproxy.http import HTTPFlow

from addons.config.addon import Config
from addons.demo_provider import Demo
from addons.endpoints.codex_calls import Codex
from addons.endpoints.models import Listing
from addons.exchange import fallback as turn
from addons.exchange.addon import Translator
from addons.ingress.access import Guard
from addons.ingress.routes import Routes
from addons.observe import flow_pair as rows_of
from addons.observe.flow_pair import LEG, UPSTREAM, Remember
from addons.replay.check import Check
from addons.replay.commands import Replay
from addons.storage.response_store import Store
from addons.transport.relay_stream import Transport
from tests.addons import proxy as wires
from tests.addons.config.test_addon import mitmdump
from tests.addons.exchange.test_addon import HELLO, late, refuses, reply, says, until
from tests.addons.exchange.test_fallback import refusing
from tests.addons.exchange.test_images import image, message, painted, url, written
from tests.addons.exchange.test_native_upstreams import DONE, completed, tells
from tests.addons.proxy import Answer, Call, Client, Handler, Upstream, proxy, upstream
from tests.translate.support import chunk
from tests.translate.support import stream as chat

bounded = functools.partial(wires.bounded, limit=55)  # s: whole programs start in it
JSON = {"choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]}


@pytest.fixture(autouse=True)
def nothing_learned() -> None:
    turn._learned.clear()


@asynccontextmanager
async def relay(
    file: Path, *handlers: Handler, **options: Any
) -> AsyncIterator[tuple[Upstream, int, Any]]:
    """The relay as relay.py makes it, writing all that goes through it."""
    chain = [
        Config(),
        Transport(),
        Replay(),
        Guard(),
        Routes(),
        Remember(),
        Store(),
        Codex(),
        Listing(),
    ]
    chain += [Translator(), Demo(), Check()]
    async with upstream(*handlers) as above:
        options.setdefault("relay_upstream", f"http://127.0.0.1:{above.port}/v1")
        options.setdefault("relay_store", "off")
        async with proxy(*chain, **options) as (master, port):
            order = master.addons.chain
            order.append(order.pop(order.index(master.addons.get("save"))))  # as behind a script
            master.options.update(save_stream_file=str(file))
            yield above, port, master
            await settled()


async def settled() -> None:
    """The upstream rows are in the file, too."""
    await asyncio.sleep(0)
    await asyncio.gather(*rows_of._writing)


async def ask(port: int, path: str = "/v1/responses", **fields: Any) -> Answer:
    async with Client.connect(port) as client:
        return await client.ask(path, json.dumps({**HELLO, **fields}).encode(), host="localhost")


def check(folder: Path, file: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and the log of a mitmdump that checks this capture."""
    options = ["-nr", str(file), "--set", "relay_check=true", "--set", "relay_store=off"]
    with mitmdump(folder, *options, *arguments) as running:
        output, _ = running.communicate(timeout=40)
    assert "Traceback" not in output, output
    return running.returncode, output


def summary(output: str) -> str:
    return next(line for line in output.splitlines() if " exchange" in line).partition("] ")[2]


def packed(call: Call) -> None:
    call.stream(zlib.compress(reply(), wbits=31), content_encoding="gzip")
    call.end()


def calls(call: Call) -> None:
    function = {"name": "look", "arguments": '{"at": "it"}'}
    call.stream(chat(chunk(tool_calls=[{"index": 0, "id": "c1", "function": function}])))
    call.end()


def dies(call: Call) -> None:
    call.stream(chat(chunk(content="Half a sen"), done=False))
    call.cut()


async def refused_late(call: Call) -> None:
    await asyncio.sleep(0.25)
    call.reply(401, b'{"error": {"message": "The key is no good."}}')


def in_json(call: Call) -> None:
    call.reply(200, json.dumps(JSON).encode(), content_type="application/json")


TRIGGER = {"type": "compaction_trigger"}
USER = {"role": "user", "content": "Hello."}
THINKING = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAA"}
THOUGHT = {"type": "response.output_item.done", "output_index": 0, "item": THINKING}
SPOKEN = {"type": "response.output_item.done", "output_index": 1, "item": DONE}
FIRST = chat(chunk(content="He"), done=False)
EVERY: list[tuple[Handler, dict[str, Any]]] = [
    (says(), {}),
    (says(), {"stream": False, "temperature": 0.5}),
    (in_json, {}),
    (in_json, {"stream": False}),
    (calls, {"tools": [{"type": "function", "name": "look", "parameters": {}}]}),
    (packed, {}),
    (late(FIRST, chat(chunk(content="llo."), chunk("stop"))), {}),
    (refused_late, {}),
    (refuses(401), {}),
    (refuses(400), {"stream": False}),
    (refuses(429, retry_after="7"), {}),
    (refuses(500, body=b"<html>"), {}),
    (dies, {}),
    (dies, {"stream": False}),
    (lambda call: call.reply(200, b""), {}),
    (lambda call: call.reply(200, b"<html>"), {"stream": False}),
    (says(), {"input": [message(image(url(written(painted(3000, 10)))))]}),
    (says(), {"input": [message(image(url(b"no picture")))]}),
    (says(), {"input": [message({"type": "input_text", "text": "x"}), TRIGGER]}),
    (says(), {"path": "/v1/responses/compact"}),
]


@bounded
async def test_nothing_has_changed_since_just_now(tmp_path: Path) -> None:
    file = tmp_path / "all.mitm"
    handlers = [handler for handler, _ in EVERY]
    options = {"relay_heartbeat": "0.1", "relay_retries": "0"}
    async with relay(file, *handlers, **options) as (above, port, master):
        for number, (_, fields) in enumerate(EVERY, 1):
            await ask(port, **fields)
            assert sum(call.line.startswith("POST ") for call in above.seen) == number, fields
    async with relay(file.with_name("gone.mitm"), **options) as (above, port, master):
        assert above.listener
        above.listener.close()
        await ask(port)
    file.write_bytes(file.read_bytes() + file.with_name("gone.mitm").read_bytes())
    code, output = await asyncio.to_thread(check, tmp_path, file)
    total = len(EVERY) + 1
    assert f"{total} exchanges, {total} without a difference, 0 changed" in summary(output), output
    assert code == 0


CHAT = "/v1/chat/completions"
CUSTOM = {"type": "custom", "custom": {"name": "look"}}
LEGACY = {"functions": [{"name": "look"}], "function_call": {"name": "look"}}
PICTURE = {"type": "image_url", "image_url": {"url": url(written(painted(3000, 10)))}}
CHATS: list[tuple[Handler, dict[str, Any]]] = [
    (says(), {}),
    (says(), {"stream_options": {"include_usage": True}}),
    (says(), {"stream": False, "temperature": 0.5, "user": "me"}),
    (in_json, {}),
    (calls, {"tools": [CUSTOM]}),
    (calls, {**LEGACY, "stream": False}),
    (late(FIRST, chat(chunk(content="llo.", reasoning_content="Hm."), chunk("stop"))), {}),
    (refused_late, {}),
    (refuses(401), {}),
    (refuses(429, retry_after="7"), {"stream": False}),
    (dies, {}),
    (dies, {"stream": False}),
    (lambda call: call.reply(200, b""), {}),
    (says(), {"messages": [{"role": "user", "content": [PICTURE]}]}),
]


@pytest.mark.parametrize("native", [False, True])
@bounded
async def test_chat_clients_whichever_dialect_the_upstream_speaks(
    native: bool, tmp_path: Path
) -> None:
    file = tmp_path / "chat.mitm"
    handlers = [tells(THOUGHT, SPOKEN, completed(THINKING, DONE))] if native else []
    handlers += [handler for handler, _ in CHATS[len(handlers) :]]
    options = {"relay_heartbeat": "0.1", "relay_retries": "0"}
    options |= {"relay_provider": "responses"} if native else {}
    async with relay(file, *handlers, **options) as (above, port, _):
        for number, (_, fields) in enumerate(CHATS, 1):
            await ask(port, CHAT, **{"messages": [USER], **fields})
            assert len(above.seen) == number, fields
    code, output = await asyncio.to_thread(check, tmp_path, file)
    total = len(CHATS)
    assert f"{total} exchanges, {total} without a difference, 0 changed" in summary(output), output
    assert code == 0


@bounded
async def test_change_in_a_chat_clients_stream_is_shown(tmp_path: Path) -> None:
    file, edited = tmp_path / "chat.mitm", tmp_path / "edited.mitm"
    async with relay(file, says("one")) as (_, port, _):
        await ask(port, CHAT, messages=[USER])
    edit(file, edited, b'"one"', b'"ONE"')
    code, output = await asyncio.to_thread(check, tmp_path, edited)
    assert code == 1 and "--- replied then\n" in output
    assert '-    "content": "one"' in output and '+    "content": "ONE"' in output
    assert '+ "created"' not in output and '+ "id"' not in output  # only what time makes


@bounded
async def test_upstream_of_the_clients_own_dialect(tmp_path: Path) -> None:
    file, options = tmp_path / "native.mitm", {"relay_provider": "responses"}
    async with relay(file, tells(completed(DONE)), refuses(401), **options) as (_, port, _):
        await ask(port)
        await ask(port)
    code, output = await asyncio.to_thread(check, tmp_path, file)
    assert "2 exchanges, 2 without a difference" in output and code == 0, output


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
@bounded
async def test_client_that_left_was_told_the_beginning(path: str, tmp_path: Path) -> None:
    file, gone = tmp_path / "left.mitm", asyncio.Event()

    async def handler(call: Call) -> None:
        call.stream(chat(chunk(content="Well, "), done=False))
        await call.left()
        gone.set()

    async with relay(file, handler) as (_, port, _):
        async with Client.connect(port) as client:
            body = {**HELLO, "messages": [USER]} if path == CHAT else HELLO
            client.send(path, json.dumps(body).encode(), host="localhost")
            await client.head()
            await until(client, b"Well, ")
        await gone.wait()
    code, output = await asyncio.to_thread(check, tmp_path, file)
    assert "1 exchange, 1 without a difference" in output and code == 0, output


@bounded
async def test_what_a_table_changes_is_shown(tmp_path: Path) -> None:
    file, toml = tmp_path / "some.mitm", tmp_path / "relay.toml"
    async with relay(file, says(), refuses(401), says()) as (_, port, _):
        await ask(port, temperature=0.5)
        await ask(port)
        await ask(port, temperature=0.7)
    toml.write_text('[providers.generic]\nomits = ["temperature"]')
    chosen = ["--set", f"relay_config={toml}"]
    code, output = await asyncio.to_thread(check, tmp_path, file, *chosen)
    assert code == 1
    assert summary(output).startswith("3 exchanges, 1 without a difference, 2 changed, 0 that")
    assert output.count('- "temperature": 0.') == 2
    code, output = await asyncio.to_thread(check, tmp_path, file, *chosen, "-q")
    assert code == 1 and len(output.splitlines()) == 1 and "2 changed" in output
    toml.write_text('[providers.generic]\nrefuses = ["temperature"]\n')
    code, output = await asyncio.to_thread(check, tmp_path, file, *chosen)
    assert code == 1


@bounded
async def test_changed_reply_is_shown_from_where_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "some.mitm"
    async with relay(file, says("one"), says("two")) as (_, port, _):
        await ask(port)
        await ask(port, stream=False)
    edited = file.with_name("edited.mitm")
    edit(file, edited, b'"one"', b'"ONE"')
    code, output = await asyncio.to_thread(check, tmp_path, edited)
    assert code == 1
    assert summary(output).startswith("2 exchanges, 1 without a difference, 1 changed")
    assert re.search(r"--- replied then from event [3-9]", output)
    assert '-  "delta": "one"' not in output and '+ "delta": "ONE"' in output


def edit(file: Path, to: Path, old: bytes, new: bytes) -> None:
    """Another reply of the provider's in a capture."""
    with file.open("rb") as source, to.open("wb") as target:
        writer = io.FlowWriter(target)
        for flow in io.FlowReader(source).stream():
            assert isinstance(flow, HTTPFlow) and flow.response
            if flow.metadata[LEG] == UPSTREAM:
                flow.response.raw_content = (flow.response.raw_content or b"").replace(old, new)
            writer.add(flow)


@bounded
async def test_model_that_another_provider_had_to_answer(tmp_path: Path) -> None:
    file, toml = tmp_path / "some.mitm", tmp_path / "relay.toml"
    async with upstream(refuses(503)) as one, upstream(says()) as two:
        places = [f"http://127.0.0.1:{site.port}/v1" for site in (one, two)]
        toml.write_text(
            f'[providers.one]\nbase_urls = ["{places[0]}"]\n'
            f'[providers.two]\nbase_urls = ["{places[1]}"]\nomits = ["temperature"]\n'
            '[model_map]\n"*" = ["one/a", "two/b"]\n'
        )
        options = {"relay_config": str(toml), "relay_upstream": places[0], "relay_retries": "0"}
        async with relay(file, **options) as (_, port, _):
            await ask(port, temperature=0.5)
        assert len(two.seen) == 1
    chosen = ["--set", f"relay_config={toml}"]
    code, output = await asyncio.to_thread(check, tmp_path, file, *chosen)
    assert "1 exchange, 1 without a difference" in output and code == 0, output
    code, output = await asyncio.to_thread(check, tmp_path, file)
    assert "cannot be re-checked: there is no provider 'two' today" in output and code == 0


@bounded
async def test_what_was_learned_cannot_be_checked(tmp_path: Path) -> None:
    file = tmp_path / "some.mitm"
    async with relay(file, refusing("seed")) as (_, port, _):
        for fields in ({}, {"seed": 1}, {}):
            assert (await ask(port, **fields)).status == 200
    code, output = await asyncio.to_thread(check, tmp_path, file)
    assert output.count("had taught the relay: without seed") == 2
    assert "3 exchanges, 1 without a difference, 0 changed, 2 that cannot" in output and code == 0


@bounded
async def test_kept_history_is_read_where_it_is_kept(tmp_path: Path) -> None:
    file, store = tmp_path / "some.mitm", f"relay_store={tmp_path / 'kept.db'}"
    async with relay(file, says("One."), says(), relay_store=store.partition("=")[2]) as it:
        above, port, _ = it
        first = json.loads((await ask(port, stream=False)).body)
        assert (await ask(port, previous_response_id=first["id"])).status == 200
        assert b"One." in above.seen[1].body
    code, output = await asyncio.to_thread(check, tmp_path, file, "--set", "relay_retries=1")
    assert "cannot be re-checked: it continues a kept response" in output and code == 0
    options = ["-nr", str(file), "--set", "relay_check=true", "--set", store]
    with mitmdump(tmp_path, *options) as running:
        output, _ = await asyncio.to_thread(running.communicate, timeout=40)
    assert "2 exchanges, 2 without a difference" in output and running.returncode == 0


@bounded
async def test_resent_exchanges_count_and_replayed_ones_do_not(tmp_path: Path) -> None:
    file = tmp_path / "some.mitm"
    rows: list[HTTPFlow] = []

    class Watch:
        def response(self, flow: HTTPFlow) -> None:
            rows.append(flow)

    async with relay(file, says()) as (_, port, master):
        master.addons.add(Watch())
        await ask(port)
        for name in ("relay.resend", "replay.client"):
            while rows[0].live or master.commands.call("replay.client.count"):
                await asyncio.sleep(0)
            await settled()
            before = len(rows)
            master.commands.call(name, rows[:1])
            while len(rows) == before:
                await asyncio.sleep(0)
    code, output = await asyncio.to_thread(check, tmp_path, file)
    assert "2 without a difference, 0 changed, 1 that cannot" in output and code == 0, output


@pytest.mark.parametrize(
    ("keep", "line"),
    [
        (0, "no exchange of the relay's is in this file"),
        (1, "cannot be re-checked: its other row is not in the file"),
    ],
)
@bounded
async def test_capture_that_is_not_whole(keep: int, line: str, tmp_path: Path) -> None:
    file, part = tmp_path / "some.mitm", tmp_path / "part.mitm"
    async with relay(file, says()) as (_, port, _):
        await ask(port)
    with file.open("rb") as source, part.open("wb") as target:
        for flow in list(io.FlowReader(source).stream())[:keep]:
            io.FlowWriter(target).add(flow)
    code, output = await asyncio.to_thread(check, tmp_path, part)
    assert line in output
    assert code == (0 if keep else 1)


@bounded
async def test_file_that_breaks_off_is_no_success(tmp_path: Path) -> None:
    file = tmp_path / "some.mitm"
    async with relay(file, says()) as (_, port, _):
        await ask(port)
        await ask(port)
    file.write_bytes(file.read_bytes()[:-10])
    options = ["-nr", str(file), "--set", "relay_check=true"]
    with mitmdump(tmp_path, *options) as running:
        output, _ = await asyncio.to_thread(running.communicate, timeout=40)
    assert running.returncode == 1
    assert "Invalid data format" in output or "corrupted" in output, output


def test_nothing_to_read_is_said_at_the_start(tmp_path: Path) -> None:
    with mitmdump(tmp_path, "--set", "relay_check=true") as running:
        output, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "relay_check is set, and no capture is read: -nr FILE says which" in output
