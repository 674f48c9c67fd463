"""`relay_check`: a relay writes a capture, and a real mitmdump translates it again."""

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

from addons.exchange import fallback
from addons.observe import flow_pair
from addons.observe.flow_pair import CLIENT_SIDE, PAIR_SIDE, UPSTREAM_SIDE
from addons.replay.check import Check
from tests.addons import proxy as proxies
from tests.addons.config.test_addon import mitmdump
from tests.addons.exchange.test_addon import HELLO, delayed_stream, refuses, reply, says, until
from tests.addons.exchange.test_fallback import refusing
from tests.addons.exchange.test_images import image, image_bytes, image_url, message, sample_image
from tests.addons.exchange.test_native_upstreams import DONE, completed, stream_events
from tests.addons.proxy import Answer, Call, Client, Handler, Upstream, proxy, upstream
from tests.addons.replay.support import replay_addons, reply_in_json
from tests.addons.views.support import FlowRecorder
from tests.translate.support import chunk
from tests.translate.support import stream as chat

bounded = functools.partial(proxies.bounded, limit=55)  # s: whole programs start in it


@pytest.fixture(autouse=True)
def forget_lessons() -> None:
    fallback._learned_profiles.clear()


@asynccontextmanager
async def recording_relay(
    file: Path, *handlers: Handler, **options: Any
) -> AsyncIterator[tuple[Upstream, int, Any]]:
    """The relay, and a file that it writes every flow into."""
    async with upstream(*handlers) as server:
        options.setdefault("relay_upstream", f"http://127.0.0.1:{server.port}/v1")
        options.setdefault("relay_store", "off")
        async with proxy(*replay_addons(Check()), **options) as (master, port):
            chain = master.addons.chain
            # With a script, `save` comes behind the script's addons.
            chain.append(chain.pop(chain.index(master.addons.get("save"))))
            master.options.update(save_stream_file=str(file))
            yield server, port, master
            await upstream_flows_saved()


async def upstream_flows_saved() -> None:
    """Wait until the upstreams' flows are in the file, too."""
    await asyncio.sleep(0)
    await asyncio.gather(*flow_pair._saving_tasks)


async def ask_relay(port: int, path: str = "/v1/responses", **fields: Any) -> Answer:
    async with Client.connect(port) as client:
        return await client.ask(path, json.dumps({**HELLO, **fields}).encode(), host="localhost")


def check_capture(folder: Path, file: Path, *arguments: str) -> tuple[int, str]:
    """Check the capture with a mitmdump; its exit code and its log."""
    options = ["-nr", str(file), "--set", "relay_check=true", "--set", "relay_store=off"]
    with mitmdump(folder, *options, *arguments) as running:
        output, _ = running.communicate(timeout=40)
    assert "Traceback" not in output, output
    return running.returncode, output


def summary_line(output: str) -> str:
    return next(row for row in output.splitlines() if " exchange" in row).partition("] ")[2]


def reply_compressed(call: Call) -> None:
    call.stream(zlib.compress(reply(), wbits=31), content_encoding="gzip")
    call.end()


def reply_with_call(call: Call) -> None:
    function = {"name": "look", "arguments": '{"at": "it"}'}
    call.stream(chat(chunk(tool_calls=[{"index": 0, "id": "c1", "function": function}])))
    call.end()


def reply_with_nothing(call: Call) -> None:
    call.reply(200, b"")


def reply_and_cut(call: Call) -> None:
    call.stream(chat(chunk(content="Half a sen"), done=False))
    call.cut()


async def refuse_late(call: Call) -> None:
    await asyncio.sleep(0.25)
    call.reply(401, b'{"error": {"message": "The key is no good."}}')


TRIGGER = {"type": "compaction_trigger"}
USER = {"role": "user", "content": "Hello."}
REASONING = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAA"}
REASONING_DONE = {"type": "response.output_item.done", "output_index": 0, "item": REASONING}
MESSAGE_DONE = {"type": "response.output_item.done", "output_index": 1, "item": DONE}
FIRST = chat(chunk(content="He"), done=False)
# The fields of the client's request; None: the relay asks again in the exchange before.
type ExchangeRow = tuple[Handler, dict[str, Any] | None]
RESPONSES_EXCHANGES: list[ExchangeRow] = [
    (says(), {}),
    (says(), {"stream": False, "temperature": 0.5}),
    (reply_in_json, {}),
    (reply_in_json, {"stream": False}),
    (reply_with_call, {"tools": [{"type": "function", "name": "look", "parameters": {}}]}),
    (reply_compressed, {}),
    (delayed_stream(FIRST, chat(chunk(content="llo."), chunk("stop"))), {}),
    (refuse_late, {}),
    (refuses(401), {}),
    (refuses(400), {"stream": False}),
    (refuses(429, retry_after="7"), {}),
    (refuses(500, body=b"<html>"), {}),
    (reply_and_cut, {}),
    (reply_and_cut, {"stream": False}),
    (reply_with_nothing, {}),
    (reply_with_nothing, None),
    (lambda call: call.reply(200, b"<html>"), {"stream": False}),
    (says(), {"input": [message(image(image_url(image_bytes(sample_image(3000, 10)))))]}),
    (says(), {"input": [message(image(image_url(b"no picture")))]}),
    (says(), {"input": [message({"type": "input_text", "text": "x"}), TRIGGER]}),
    (says(), {"path": "/v1/responses/compact"}),
]


async def ask_each(port: int, server: Upstream, rows: list[ExchangeRow], **common: Any) -> int:
    """The number of exchanges; after each, the upstream has seen its requests and no others."""
    requests = [fields for _, fields in rows]
    for number, fields in enumerate(requests):
        if fields is not None:
            await ask_relay(port, **{**common, **fields})
            expected = number + 1 + (requests[number + 1 : number + 2] == [None])
            posts = [call for call in server.seen if call.request_line.startswith("POST ")]
            assert len(posts) == expected, fields
    return len(requests) - requests.count(None)


@bounded
async def test_fresh_captures_have_no_difference(tmp_path: Path) -> None:
    file = tmp_path / "all.mitm"
    handlers = [handler for handler, _ in RESPONSES_EXCHANGES]
    options = {"relay_heartbeat": "0.1", "relay_retries": "0"}
    async with recording_relay(file, *handlers, **options) as (server, port, master):
        total = await ask_each(port, server, RESPONSES_EXCHANGES) + 1
    unreachable_file = file.with_name("unreachable.mitm")
    async with recording_relay(unreachable_file, **options) as (server, port, _):
        assert server.listener
        server.listener.close()
        await ask_relay(port)
    file.write_bytes(file.read_bytes() + unreachable_file.read_bytes())
    code, output = await asyncio.to_thread(check_capture, tmp_path, file)
    assert f"{total} exchanges, {total} without a difference, 0 changed" in summary_line(output), (
        output
    )
    assert code == 0


CHAT = "/v1/chat/completions"
CUSTOM = {"type": "custom", "custom": {"name": "look"}}
LEGACY = {"functions": [{"name": "look"}], "function_call": {"name": "look"}}
PICTURE = {
    "type": "image_url",
    "image_url": {"url": image_url(image_bytes(sample_image(3000, 10)))},
}
CHAT_EXCHANGES: list[ExchangeRow] = [
    (says(), {}),
    (says(), {"stream_options": {"include_usage": True}}),
    (says(), {"stream": False, "temperature": 0.5, "user": "me"}),
    (reply_in_json, {}),
    (reply_with_call, {"tools": [CUSTOM]}),
    (reply_with_call, {**LEGACY, "stream": False}),
    (
        delayed_stream(FIRST, chat(chunk(content="llo.", reasoning_content="Hm."), chunk("stop"))),
        {},
    ),
    (refuse_late, {}),
    (refuses(401), {}),
    (refuses(429, retry_after="7"), {"stream": False}),
    (reply_and_cut, {}),
    (reply_and_cut, {"stream": False}),
    (reply_with_nothing, {}),
    (reply_with_nothing, None),
    (says(), {"messages": [{"role": "user", "content": [PICTURE]}]}),
]


@pytest.mark.parametrize("native", [False, True])
@bounded
async def test_fresh_captures_of_chat_clients_have_no_difference(
    native: bool, tmp_path: Path
) -> None:
    file = tmp_path / "chat.mitm"
    handlers = (
        [stream_events(REASONING_DONE, MESSAGE_DONE, completed(REASONING, DONE))] if native else []
    )
    handlers += [handler for handler, _ in CHAT_EXCHANGES[len(handlers) :]]
    options = {"relay_heartbeat": "0.1", "relay_retries": "0"}
    options |= {"relay_provider": "responses"} if native else {}
    async with recording_relay(file, *handlers, **options) as (server, port, _):
        total = await ask_each(port, server, CHAT_EXCHANGES, path=CHAT, messages=[USER])
    code, output = await asyncio.to_thread(check_capture, tmp_path, file)
    assert f"{total} exchanges, {total} without a difference, 0 changed" in summary_line(output), (
        output
    )
    assert code == 0


@bounded
async def test_change_in_a_chat_clients_stream_is_shown(tmp_path: Path) -> None:
    file, edited = tmp_path / "chat.mitm", tmp_path / "edited.mitm"
    async with recording_relay(file, says("one")) as (_, port, _):
        await ask_relay(port, CHAT, messages=[USER])
    edit_capture(file, edited, b'"one"', b'"ONE"')
    code, output = await asyncio.to_thread(check_capture, tmp_path, edited)
    assert code == 1 and "--- replied then\n" in output
    assert '-    "content": "one"' in output and '+    "content": "ONE"' in output
    assert '+ "created"' not in output and '+ "id"' not in output  # they only depend on time


@bounded
async def test_upstream_with_the_dialect_of_the_client(tmp_path: Path) -> None:
    file, options = tmp_path / "native.mitm", {"relay_provider": "responses"}
    handlers = stream_events(completed(DONE)), refuses(401)
    async with recording_relay(file, *handlers, **options) as (_, port, _):
        await ask_relay(port)
        await ask_relay(port)
    code, output = await asyncio.to_thread(check_capture, tmp_path, file)
    assert "2 exchanges, 2 without a difference" in output and code == 0, output


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
@bounded
async def test_reply_to_a_client_that_disconnected_is_compared_up_to_there(
    path: str, tmp_path: Path
) -> None:
    file, client_gone = tmp_path / "left.mitm", asyncio.Event()

    async def handler(call: Call) -> None:
        call.stream(chat(chunk(content="Well, "), done=False))
        await call.closed_after()
        client_gone.set()

    async with recording_relay(file, handler) as (_, port, _):
        async with Client.connect(port) as client:
            body = {**HELLO, "messages": [USER]} if path == CHAT else HELLO
            client.send(path, json.dumps(body).encode(), host="localhost")
            await client.head()
            await until(client, b"Well, ")
        await client_gone.wait()
    code, output = await asyncio.to_thread(check_capture, tmp_path, file)
    assert "1 exchange, 1 without a difference" in output and code == 0, output


@bounded
async def test_changes_by_a_provider_table_are_shown(tmp_path: Path) -> None:
    file, toml = tmp_path / "some.mitm", tmp_path / "relay.toml"
    async with recording_relay(file, says(), refuses(401), says()) as (_, port, _):
        await ask_relay(port, temperature=0.5)
        await ask_relay(port)
        await ask_relay(port, temperature=0.7)
    toml.write_text('[providers.generic]\nomits = ["temperature"]')
    chosen = ["--set", f"relay_config={toml}"]
    code, output = await asyncio.to_thread(check_capture, tmp_path, file, *chosen)
    assert code == 1
    assert summary_line(output).startswith("3 exchanges, 1 without a difference, 2 changed, 0 that")
    assert output.count('- "temperature": 0.') == 2
    code, output = await asyncio.to_thread(check_capture, tmp_path, file, *chosen, "-q")
    assert code == 1 and len(output.splitlines()) == 1 and "2 changed" in output
    toml.write_text('[providers.generic]\nrefuses = ["temperature"]\n')
    code, output = await asyncio.to_thread(check_capture, tmp_path, file, *chosen)
    assert code == 1


@bounded
async def test_changed_reply_is_shown_from_where_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "some.mitm"
    async with recording_relay(file, says("one"), says("two")) as (_, port, _):
        await ask_relay(port)
        await ask_relay(port, stream=False)
    edited = file.with_name("edited.mitm")
    edit_capture(file, edited, b'"one"', b'"ONE"')
    code, output = await asyncio.to_thread(check_capture, tmp_path, edited)
    assert code == 1
    assert summary_line(output).startswith("2 exchanges, 1 without a difference, 1 changed")
    assert re.search(r"--- replied then from event [3-9]", output)
    assert '-  "delta": "one"' not in output and '+ "delta": "ONE"' in output


def edit_capture(file: Path, to: Path, old: bytes, new: bytes) -> None:
    """Change the provider's replies in a capture."""
    with file.open("rb") as source, to.open("wb") as target:
        writer = io.FlowWriter(target)
        for flow in io.FlowReader(source).stream():
            assert isinstance(flow, HTTPFlow) and flow.response
            if flow.metadata[PAIR_SIDE] == UPSTREAM_SIDE:
                flow.response.raw_content = (flow.response.raw_content or b"").replace(old, new)
            writer.add(flow)


@bounded
async def test_exchange_that_fell_back_to_another_provider(tmp_path: Path) -> None:
    file, toml = tmp_path / "some.mitm", tmp_path / "relay.toml"
    async with upstream(refuses(503)) as first, upstream(says()) as second:
        base_urls = [f"http://127.0.0.1:{site.port}/v1" for site in (first, second)]
        toml.write_text(
            f'[providers.one]\nbase_urls = ["{base_urls[0]}"]\n'
            f'[providers.two]\nbase_urls = ["{base_urls[1]}"]\nomits = ["temperature"]\n'
            '[model_map]\n"*" = ["one/a", "two/b"]\n'
        )
        options = {"relay_config": str(toml), "relay_upstream": base_urls[0], "relay_retries": "0"}
        async with recording_relay(file, **options) as (_, port, _):
            await ask_relay(port, temperature=0.5)
        assert len(second.seen) == 1
    chosen = ["--set", f"relay_config={toml}"]
    for capture in (file, sorted_by_start(file)):
        code, output = await asyncio.to_thread(check_capture, tmp_path, capture, *chosen)
        assert "1 exchange, 1 without a difference" in output and code == 0, output
    code, output = await asyncio.to_thread(check_capture, tmp_path, file)
    assert "cannot be re-checked: there is no provider 'two' today" in output and code == 0


def sorted_by_start(file: Path) -> Path:
    """The capture as mitmweb saves it: the client's flow before those of all attempts."""
    with file.open("rb") as source:
        flows = [flow for flow in io.FlowReader(source).stream() if isinstance(flow, HTTPFlow)]
    flows.sort(key=lambda flow: flow.request.timestamp_start)
    assert [flow.metadata[PAIR_SIDE] for flow in flows] == [CLIENT_SIDE, *[UPSTREAM_SIDE] * 2]
    to = file.with_name("sorted.mitm")
    with to.open("wb") as target:
        writer = io.FlowWriter(target)
        for flow in flows:
            writer.add(flow)
    return to


@bounded
async def test_exchange_with_lessons_of_refusals_cannot_be_checked(tmp_path: Path) -> None:
    file = tmp_path / "some.mitm"
    async with recording_relay(file, refusing("seed")) as (_, port, _):
        for fields in ({}, {"seed": 1}, {}):
            assert (await ask_relay(port, **fields)).status == 200
    code, output = await asyncio.to_thread(check_capture, tmp_path, file)
    assert output.count("had taught the relay: without seed") == 2
    assert "3 exchanges, 1 without a difference, 0 changed, 2 that cannot" in output and code == 0


@bounded
async def test_stored_history_is_read_from_its_store(tmp_path: Path) -> None:
    file, store = tmp_path / "some.mitm", str(tmp_path / "stored.db")
    handlers = says("One."), says()
    async with recording_relay(file, *handlers, relay_store=store) as (server, port, _):
        first = json.loads((await ask_relay(port, stream=False)).body)
        assert (await ask_relay(port, previous_response_id=first["id"])).status == 200
        assert b"One." in server.seen[1].body
    code, output = await asyncio.to_thread(check_capture, tmp_path, file)
    assert "cannot be re-checked: it continues a stored response" in output and code == 0
    options = ["-nr", str(file), "--set", "relay_check=true", "--set", f"relay_store={store}"]
    with mitmdump(tmp_path, *options) as running:
        output, _ = await asyncio.to_thread(running.communicate, timeout=40)
    assert "2 exchanges, 2 without a difference" in output and running.returncode == 0


@bounded
async def test_resent_exchanges_are_checked_and_replayed_ones_are_not(tmp_path: Path) -> None:
    file = tmp_path / "some.mitm"
    recorder = FlowRecorder()
    async with recording_relay(file, says()) as (_, port, master):
        master.addons.add(recorder)
        await ask_relay(port)
        for name in ("relay.resend", "replay.client"):
            while recorder.flows[0].live or master.commands.call("replay.client.count"):
                await asyncio.sleep(0)
            await upstream_flows_saved()
            count = len(recorder.flows)
            master.commands.call(name, recorder.flows[:1])
            while len(recorder.flows) == count:
                await asyncio.sleep(0)
    code, output = await asyncio.to_thread(check_capture, tmp_path, file)
    assert "2 without a difference, 0 changed, 1 that cannot" in output and code == 0, output


@pytest.mark.parametrize(
    ("flow_count", "log_text"),
    [
        (0, "no exchange of the relay's is in this file"),
        (1, "cannot be re-checked: its other flow is not in the file"),
    ],
)
@bounded
async def test_incomplete_capture(flow_count: int, log_text: str, tmp_path: Path) -> None:
    file, part = tmp_path / "some.mitm", tmp_path / "part.mitm"
    async with recording_relay(file, says()) as (_, port, _):
        await ask_relay(port)
    with file.open("rb") as source, part.open("wb") as target:
        for flow in list(io.FlowReader(source).stream())[:flow_count]:
            io.FlowWriter(target).add(flow)
    code, output = await asyncio.to_thread(check_capture, tmp_path, part)
    assert log_text in output
    assert code == (0 if flow_count else 1)


@bounded
async def test_truncated_file_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "some.mitm"
    async with recording_relay(file, says()) as (_, port, _):
        await ask_relay(port)
        await ask_relay(port)
    file.write_bytes(file.read_bytes()[:-10])
    options = ["-nr", str(file), "--set", "relay_check=true"]
    with mitmdump(tmp_path, *options) as running:
        output, _ = await asyncio.to_thread(running.communicate, timeout=40)
    assert running.returncode == 1
    assert "Invalid data format" in output or "corrupted" in output, output


def test_missing_capture_is_an_error_at_the_start(tmp_path: Path) -> None:
    with mitmdump(tmp_path, "--set", "relay_check=true") as running:
        output, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "relay_check is set, and no capture is read: -nr FILE says which" in output


# Captures that others have changed

POISON: list[Any] = [
    None,
    True,
    -1,
    1.5,
    "",
    "../../x",
    "\x1b[2J\n",
    b"\xff",
    [],
    [[]],
    {},
    {"a": []},
]
METADATA_KEYS = ("leg", "other", "facts", "route", "restored", "client", "attempts", "times")


def poisoned_flows(flows: list[HTTPFlow]) -> list[HTTPFlow]:
    """Copies of the two flows with each value in each place of the relay's metadata."""
    client = next(flow for flow in flows if flow.metadata[PAIR_SIDE] == CLIENT_SIDE)
    upstream_flow = next(flow for flow in flows if flow is not client)
    record = client.metadata["relay.facts"]
    changes = [{f"relay.{name}": value} for name in METADATA_KEYS for value in POISON]
    changes += [{"relay.facts": {**record, name: value}} for name in record for value in POISON]
    changes += [{"relay.facts": {**record, "output_tokens": 10**400}}]
    copies = []
    for change in changes:
        pair = client.copy(), upstream_flow.copy()
        for flow, other in (pair, pair[::-1]):
            flow.metadata["relay.other"] = other.id
        pair[0].metadata |= change
        copies += pair
    return copies


def poisoned_bodies(flows: list[HTTPFlow]) -> list[HTTPFlow]:
    bodies = [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"model": {}}',
        b"data: {\n\n",
        b"\xff",
        b'{"input": 1e999}',
    ]
    copies = []
    for body in bodies:
        for side in flows:
            pair = [flow.copy() for flow in flows]
            for flow, other in (pair, pair[::-1]):
                flow.metadata["relay.other"] = other.id
            changed = pair[flows.index(side)]
            changed.request.raw_content = body
            if changed.response:
                changed.response.raw_content = body
            copies += pair
    return copies


@bounded
async def test_poisoned_capture_is_read_without_a_traceback(tmp_path: Path) -> None:
    file, poisoned_file = tmp_path / "flows", tmp_path / "poisoned"
    async with recording_relay(file, says()) as (_, port, _):
        await ask_relay(port)
    with file.open("rb") as capture:
        flows = [flow for flow in io.FlowReader(capture).stream() if isinstance(flow, HTTPFlow)]
    with poisoned_file.open("wb") as capture:
        writer = io.FlowWriter(capture)
        for flow in [*poisoned_flows(flows), *poisoned_bodies(flows)]:
            writer.add(flow)
    _, output = await asyncio.to_thread(check_capture, tmp_path, poisoned_file)
    assert "Addon error" not in output and "cannot be re-checked" in output
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", output), output
    assert max(map(len, output.splitlines())) < 2100


@bounded
async def test_capture_is_checked_without_contact_to_any_host(tmp_path: Path) -> None:
    """Every address in a capture may be somebody else's."""
    file, poisoned_file = tmp_path / "flows", tmp_path / "poisoned"
    async with recording_relay(file, says()) as (_, port, _):
        await ask_relay(port)
    with file.open("rb") as capture:
        flows = [flow for flow in io.FlowReader(capture).stream() if isinstance(flow, HTTPFlow)]
    async with upstream(says()) as evil:
        url = f"http://127.0.0.1:{evil.port}"
        picture = {"type": "input_image", "image_url": f"{url}/picture.png"}
        file_part = {"type": "input_file", "file_url": f"{url}/file.pdf"}
        content = [{"role": "user", "content": [picture, file_part]}]
        for flow in flows:
            flow.request.host, flow.request.port = "127.0.0.1", evil.port
            if (record := flow.metadata.get("relay.facts")) is not None:
                record |= {"url": f"{url}/v1/chat/completions", "host": f"127.0.0.1:{evil.port}"}
                flow.request.content = json.dumps({**HELLO, "input": content}).encode()
        with poisoned_file.open("wb") as capture:
            writer = io.FlowWriter(capture)
            for flow in flows:
                writer.add(flow)
        _, output = await asyncio.to_thread(check_capture, tmp_path, poisoned_file)
        assert "1 exchange" in output
        assert not evil.seen and not evil.connections
