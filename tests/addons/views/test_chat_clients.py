"""What a person reads of a Chat client's exchange, whichever dialect its upstream speaks."""

import json
from typing import Any

from mitmproxy.addons.view import View
from mitmproxy.http import HTTPFlow

from addons.observe import flow_pair as rows
from addons.views import Views, stream
from addons.views import compare_view as both
from addons.views import text as paper
from addons.views import turn_view as turn
from addons.views.events import Clock
from tests.addons.exchange.test_addon import relay, says
from tests.addons.exchange.test_native_upstreams import DONE, completed, tells
from tests.addons.proxy import Answer, Client, bounded
from tests.addons.views.test_views import NOBODY, PIXEL, encoded, view_of
from tests.translate.support import Json, chunk
from tests.translate.support import stream as chat
from translate.wire.envelope import Envelope, seal

SEALED = seal(Envelope("account", "gpt-5.5", {"item": {"summary": [{"text": "First I look."}]}}))
DETAIL = {"type": "reasoning.encrypted", "id": "rs_1", "index": 0, "data": SEALED}
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
SOURCE = {"url": "https://example.org", "title": "Example", "start_index": 0, "end_index": 2}
REQUEST: Json = {
    "model": "gpt-5.5",
    "stream": True,
    "stream_options": {"include_usage": True},
    "reasoning_effort": "high",
    "max_completion_tokens": 9,
    "tools": [
        {"type": "function", "function": {"name": "weather", "parameters": {}}},
        {"type": "custom", "custom": {"name": "note"}},
    ],
    "functions": [{"name": "old"}],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "Rome?"}, IMAGE]},
        {"role": "assistant", "content": "", "reasoning_details": [DETAIL], "tool_calls": [
            {"id": "a", "type": "function",
             "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
            {"id": "b", "type": "custom", "custom": {"name": "note", "input": "one\ntwo"}},
        ]},
        {"role": "tool", "tool_call_id": "b", "content": "noted"},
        {"role": "tool", "tool_call_id": "a", "content": "Sunny."},
        {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}},
        {"role": "function", "name": "old", "content": "gone"},
        {"role": "assistant", "content": "No.", "refusal": "I cannot."},
    ],
}  # fmt: skip


def test_request_in_a_few_lines() -> None:
    text = paper.page(turn.asked(encoded(REQUEST), {"dropped": ["messages[1].name"]}))
    assert (
        text
        == """\
gpt-5.5 · streams · reasoning_effort high · max_completion_tokens 9
3 tools: weather, note (custom), old
dropped: messages[1].name
10 entries; the last: assistant: No.⏎[refused: I cannot.]

━━ 0 · system
Be brief.

━━ 1 · user · ann
Rome?
[image: image/png, 1×1 pixels, 70 B]

━━ 2 · reasoning of assistant · sealed by us for gpt-5.5 (account)
First I look.

━━ 2 · call of weather · a
city: Rome

━━ 4 · output of a
Sunny.

━━ 2 · call of note · b
one
two

━━ 3 · output of b
noted

━━ 5 · call of old


━━ 6 · output of old
gone

━━ 7 · assistant
No.
[refused: I cannot.]
"""
    )


def test_stream_in_a_few_lines() -> None:
    call = {"index": 0, "id": "b", "type": "custom", "custom": {"name": "note", "input": ""}}
    more = [{"index": 0, "custom": {"input": "one\n"}}, {"index": 0, "custom": {"input": "two"}}]
    body = b": keep-alive\n\n: keep-alive\n\n" + chat(
        chunk(role="assistant", reasoning_content="Hm."),
        chunk(reasoning_details=[DETAIL]),
        chunk(content="Look: "),
        chunk(content="rye."),
        chunk(annotations=[{"type": "url_citation", "url_citation": SOURCE}]),
        chunk(images=[IMAGE]),
        *(chunk(tool_calls=[one]) for one in (call, *more)),
        chunk("tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}},
    )
    text = paper.page(stream.streamed(body, Clock(()), {}))
    assert (
        text
        == """\
tool_calls · 5 in · 3 out · 14 events

━━ 0 · reasoning of assistant · sealed by us for gpt-5.5 (account)
First I look.

━━ 0 · assistant
Look: rye.

━━ 0 · call of note · b
one
two

━━ 0 · annotations of assistant
[source: Example, https://example.org]

━━ 0 · images of assistant
[image: image/png, 1×1 pixels, 70 B]

━━ events, from when the request went up
                     comment  keep-alive × 2
                     delta.reasoning_content  "Hm."
                     delta.reasoning_details  "[sealed by us for gpt-5.5 (account), 135 B]"
                     delta.content × 2  "Look: rye."
                     delta.annotations  "[source: Example, https://example.org]"
                     delta.images  "[image: image/png, 1×1 pixels, 70 B]"
                     delta.tool_calls[0]  note · b
                     delta.tool_calls[0] × 2  "one⏎two"
                     finish_reason  tool_calls
                     usage  5 in · 3 out
                     [DONE]"""
    )


def test_call_of_the_time_before_tools() -> None:
    pieces = [{"name": "old", "arguments": ""}, {"arguments": '{"a"'}, {"arguments": ": 1}"}]
    body = chat(*(chunk(function_call=one) for one in pieces), chunk("function_call"))
    text = paper.page(stream.streamed(body, Clock(()), {}))
    assert text.startswith("function_call · 5 events\n\n━━ 0 · call of old\na: 1\n")
    assert 'delta.function_call × 2  "{"a": 1}"' in text


def test_end_without_words_and_end_with_an_error() -> None:
    assert paper.page(stream.streamed(chat(chunk("stop")), Clock(()), {})).startswith("stop · 2 ")
    error = {"error": {"message": "It broke.", "type": "server_error"}}
    text = paper.page(stream.streamed(chat(chunk(content="Wel"), error, done=False), Clock(()), {}))
    assert text.startswith("not finished · 2 events")
    assert "━━ 0 · error\nIt broke." in text


def test_what_was_dropped_is_named_as_the_client_names_it() -> None:
    before = {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hear!"}, {"type": "video_url"}]},
        {"role": "assistant", "content": "I hear.", "audio": {"id": "audio_1"}},
    ]}  # fmt: skip
    after = {"input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hear!"}]},
        {"type": "message", "role": "assistant", "content": [{"text": "I hear."}]},
    ]}  # fmt: skip
    facts = {"dropped": ["messages[0].content[1] (video_url)", "messages[1].audio"]}
    text = paper.page(both.requests(before, after, NOBODY, facts))
    assert "client 0 · user → provider 0 · user\n" in text
    assert "client 1 · assistant → provider 1 · assistant, the same words" in text
    assert "1 · audio of assistant → nothing: dropped as messages[1].audio" in text


# In a relay


async def ask(port: int, **fields: Any) -> Answer:
    async with Client.connect(port) as client:
        return await client.ask("/v1/chat/completions", json.dumps({**REQUEST, **fields}).encode())


class Watch:
    def __init__(self) -> None:
        self.seen: list[HTTPFlow] = []

    def response(self, flow: HTTPFlow) -> None:
        self.seen.append(flow)

    error = response


@bounded
async def test_chosen_for_chat_clients_with_a_second_row_and_without() -> None:
    watch, messages = Watch(), [{"role": "user", "content": "Hi."}]
    async with relay(says("Hello there."), and_also=(Views(), watch)) as (_, port):
        await ask(port, messages=messages)
        await ask(port, messages=messages, stream=False)
        [streamed, whole] = watch.seen
        assert view_of(streamed.request, streamed)[0] == "Turn"
        name, text = view_of(whole.response, whole)
        assert name == "Turn" and "stop" in text and "Hello there." in text
    async with relay(says("Hello there."), and_also=(View(), Views(), watch)) as (_, port):
        await ask(port, messages=messages)
        flow = watch.seen[-1]
        leg = rows.other(flow)
        assert leg
        for one in (flow, leg):
            text = view_of(one.response, one, "both sides")[1]
            assert "generic │ " in text and "client  │ " in text and "delta.content" in text
            assert "[DONE]" in text and "first token" in text
            text = view_of(one.request, one, "both sides")[1]
            assert "max_completion_tokens         9" in text and "→ max_tokens 9" in text


@bounded
async def test_beside_an_upstream_that_speaks_responses() -> None:
    watch = Watch()
    options = {"relay_provider": "responses", "and_also": (View(), Views(), watch)}
    async with relay(tells(completed(DONE)), **options) as (_, port):
        assert (await ask(port)).status == 200
        [flow] = watch.seen
        leg = rows.other(flow)
        assert leg
        for one in (flow, leg):
            assert view_of(one.response, one)[0] == "Stream"
            text = view_of(one.response, one, "both sides")[1]
            assert "response.completed" in text and "finish_reason  stop" in text
            text = view_of(one.request, one, "both sides")[1]
            assert "client 0 · system → responses instructions, the same words" in text
            assert "client 2 · call of note · b → responses " in text
            assert "reasoning_effort              high" in text and "→ reasoning.effort" in text
