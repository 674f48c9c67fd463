"""Exchanges translated again: the compared values, and those that cannot be repeated."""

import json
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard
from mitmproxy.addons.view import View
from mitmproxy.http import Response
from mitmproxy.test import tflow

from addons.observe import RECORD, FlowPairIndex, partner_flow
from addons.replay.commands import Replay, describe_differences, find_recorded_exchange
from addons.replay.retranslate import (
    MAX_CONTENT_BYTES,
    MAX_DIFF_LINES,
    CannotRetranslate,
    ClientReply,
    ReplyIdentity,
    comparable_values,
    recorded_content,
    unified_json_diff,
)
from addons.storage import RESTORED_COUNT
from addons.views import Views
from tests.addons.accounts.test_gateway import ADA, message
from tests.addons.gateway import HI, gateway
from tests.addons.proxy import bounded
from tests.addons.replay.support import EndedFlows
from tests.addons.views.support import view_text
from tests.replies import call, say, think
from tests.translate.support import Json, chunk, events_wire
from tests.translate.support import stream as chat

TOOLS = [{"type": "function", "function": {"name": "ls", "parameters": {}}}]
CREATED: Json = {"type": "response.created", "response": {"id": "resp_1", "created_at": 5}}
HEARTBEAT: Json = {"type": "response.in_progress"}
COMPLETED: Json = {
    "type": "response.completed",
    "response": {"id": "resp_1", "created_at": 5, "completed_at": 9, "store": True},
}


def client_reply(body: bytes) -> ClientReply:
    return ClientReply.from_response(Response.make(200, body))


def test_sequence_numbers_and_repeated_heartbeats_are_not_compared() -> None:
    events = [CREATED, HEARTBEAT, HEARTBEAT, COMPLETED]
    numbered = [{**event, "sequence_number": n} for n, event in enumerate(events)]
    wire = events_wire(*numbered) + b": keep-alive\n\n"
    assert comparable_values(wire) == [CREATED, HEARTBEAT, COMPLETED]


def test_bodies_are_compared_as_json_or_as_text() -> None:
    assert comparable_values(b'{"a": 1}') == [{"a": 1}]
    assert comparable_values(b"<html>") == ["<html>"]
    assert comparable_values(b"data: {}\n\ndata: [DONE]\n\n") == [{}, "[DONE]"]


def test_identity_comes_from_the_whole_reply() -> None:
    reply = client_reply(events_wire(CREATED, COMPLETED))
    assert reply.response_identity == ReplyIdentity("resp_1", 5, 9, is_stored=True)
    assert reply.is_stream and reply.has_closing_event
    reply = client_reply(json.dumps({"id": "chatcmpl-x", "created": 7}).encode())
    assert reply.response_identity == ReplyIdentity("resp_x", 7) and not reply.is_stream
    chunks = [{**chunk(content="a"), "id": "chatcmpl-y", "created": 8}]
    assert client_reply(chat(*chunks)).response_identity == ReplyIdentity("resp_y", 8)
    assert client_reply(b"<html>").response_identity == ReplyIdentity()
    assert ClientReply.from_response(None).response_identity == ReplyIdentity()


@pytest.mark.parametrize(
    ("wire", "is_closed"),
    [
        (events_wire(CREATED), False),
        (events_wire(CREATED, {"type": "response.failed"}), True),
        (chat(chunk(content="a")), True),
        (chat(chunk(content="a"), done=False), False),
        (chat(chunk(content="a"), {"error": {}}, done=False), True),
    ],
)
def test_closing_events_of_both_dialects(wire: bytes, is_closed: bool) -> None:
    assert client_reply(wire).has_closing_event is is_closed


def test_diff_begins_at_the_first_event_that_differs() -> None:
    assert unified_json_diff("sent", [1, 2], [1, 2]) == []
    assert unified_json_diff("sent", [1, 2], [1, 3]) == [
        *("--- sent then from event 1", "+++ sent today from event 1"),
        *("@@ -1 +1 @@", "-2", "+3"),
    ]
    assert unified_json_diff("sent", [1], [1, 2])[0] == "--- sent then from event 1"
    long = unified_json_diff("sent", [list(range(500))], [[]])
    assert len(long) == MAX_DIFF_LINES + 1 and long[-1].endswith(" more lines")


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_exchange_of_an_account_has_no_difference(stream: bool, tmp_path: Path) -> None:
    """Also one whose effort came with the name of the model."""
    ended_flows = EndedFlows()
    addons = (View(), Replay(), FlowPairIndex(), Views(), ended_flows)
    options = {"relay_instructions": "Be kind."}
    async with gateway(tmp_path, ADA, extra_addons=addons, **options) as relay:
        relay.backend.reply(think("Hm."), say("Hello"))
        await relay.chat(model="codex-high", stream=stream, stop="x", user="me")
        flow = await ended_flows.wait_for(len(ended_flows.flows))
        assert relay.master.commands.call("relay.diff", [flow]) == ["no difference"]
        assert relay.backend.responses_requests[-1].body["reasoning"]["effort"] == "high"
        assert flow.metadata[RECORD]["variant"]["effort"] == "high"
        upstream = partner_flow(flow)
        assert upstream
        text = view_text(upstream.request, upstream, "both sides")[1]
        assert "chatgpt instructions, added here\nchatgpt │ Be kind." in text
        text = view_text(flow.response, flow, "both sides")[1]
        assert "Hello" in text and "response.completed" in text or not stream


@bounded
async def test_restored_reasoning_is_restored_again_or_reported_as_lost(tmp_path: Path) -> None:
    ended_flows = EndedFlows()
    addons = (View(), Replay(), FlowPairIndex(), ended_flows)
    async with gateway(tmp_path, ADA, extra_addons=addons) as relay:
        relay.backend.reply(think("Hm."), call("ls", path="."))
        reply = message(await relay.chat(tools=TOOLS))
        without_reasoning = {
            "role": "assistant",
            "content": None,
            "tool_calls": reply["tool_calls"],
        }
        output = {"role": "tool", "tool_call_id": reply["tool_calls"][0]["id"], "content": "a"}
        relay.backend.reply(say("Done."))
        await relay.chat(tools=TOOLS, messages=[*HI, without_reasoning, output])
        flow = await ended_flows.wait_for(len(ended_flows.flows))
        recorded = find_recorded_exchange([flow])
        assert flow.metadata[RESTORED_COUNT] == 1
        flow.metadata[RESTORED_COUNT] = 2
        [reason] = await describe_differences(recorded)
        assert reason == (
            "cannot be re-checked: the relay had restored reasoning that it no longer remembers"
        )
        flow.metadata[RESTORED_COUNT] = 1
        assert await describe_differences(recorded) == ["no difference"]


def test_diff_of_many_lines_begins_at_the_first_difference() -> None:
    """The whole lists would take a diff of minutes."""
    old = [str(number % 150) for number in range(200_000)]
    new = [*old[:150_000], *(str((number + 1) % 149) for number in range(50_000))]
    lines = unified_json_diff("sent", [old], [new])
    assert lines[0] == "--- sent then from line 149999" and len(lines) <= MAX_DIFF_LINES + 1
    assert lines[2].startswith("@@ -1,")
    removed = unified_json_diff("sent", [old], [old[:-1]])
    assert '- "49"' in removed and len(removed) < 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_bomb_in_a_capture_is_not_unpacked(encoding: str) -> None:
    flow = tflow.tflow(resp=True)
    assert flow.response
    flow.response.headers["content-encoding"] = encoding
    bomb = {
        "gzip": lambda data: zlib.compress(data, wbits=31),
        "deflate": zlib.compress,
        "br": lambda data: brotli.compress(data, quality=1),
        "zstd": zstandard.compress,
    }[encoding]
    flow.response.raw_content = bomb(bytes(MAX_CONTENT_BYTES + 1))
    assert len(flow.response.raw_content) < 1 << 20
    with pytest.raises(CannotRetranslate, match="larger than"):
        recorded_content(flow.response)
    flow.response.raw_content = bomb(b"Hi.")
    assert recorded_content(flow.response) == b"Hi."
    assert recorded_content(None) == b""
