"""What a person reads of an exchange: over every golden case, over anything at all, and chosen by
mitmproxy itself in a real relay."""

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import contentviews
from mitmproxy.addons.view import View
from mitmproxy.http import HTTPFlow
from mitmproxy.test import taddons, tflow, tutils

from addons.observe import flow_pair as rows
from addons.observe.exchange_record import FACTS
from addons.views import Views, media, parameters, stream
from addons.views import catalog_view as catalog
from addons.views import compare_view as both
from addons.views import entries as align
from addons.views import text as paper
from addons.views import turn_view as turn
from addons.views.entry import Entry
from addons.views.events import Clock, pieces
from addons.views.stream_view import steps
from tests.addons.exchange.test_addon import ask, refuses, relay, says
from tests.addons.proxy import Client, bounded
from tests.translate.cases import CASES, CHATS, EVERY, Case
from tests.translate.support import VALUES, Json, chunk
from tests.translate.support import stream as chat
from translate.reply.responses_to_chat import fold
from translate.wire.envelope import Envelope, seal

each = pytest.mark.parametrize("case", EVERY, ids=str)
NOBODY = both.Names("client", "provider")
PIXEL = base64.b64encode((Path(__file__).parents[2] / "codex" / "pixel.png").read_bytes()).decode()
BASE64 = re.compile(r";base64,([A-Za-z0-9+/_=-]{8,})")


# The golden cases


@each
def test_requests_of_every_case_are_readable(case: Case) -> None:
    facts = {"dropped": case.carry().dropped}
    for body in (case.request, case.upstream):
        text = paper.page(turn.asked(encoded(body), facts))
        assert not missing(words(body), text)
        assert not any(found in text for found in BASE64.findall(json.dumps(body)))
    text = paper.page(both.requests(case.request, case.upstream, NOBODY, facts))
    assert all(what in text for what in facts["dropped"])
    assert not any(found in text for found in BASE64.findall(json.dumps(case.upstream)))


@each
def test_replies_of_every_case_are_readable(case: Case) -> None:
    client = case.path / "client.sse"
    for body in filter(None, (case.reply, client.read_bytes() if client.exists() else b"")):
        for text in (shown(body), "".join(turn.replied(body, {}))):
            assert not missing(spoken(body), text)
    if client.exists() and case.reply:
        sides = [both.Side(body, Clock([]), "") for body in (case.reply, client.read_bytes())]
        assert list(both.replies(*sides, NOBODY, {}))


@pytest.mark.parametrize("case", CHATS, ids=str)
def test_all_that_a_chat_client_says_has_its_place(case: Case) -> None:
    """Of each message what became of it is told: what it is now, or as what it was dropped."""
    dropped = case.carry().dropped
    text = paper.page(both.requests(case.request, case.upstream, NOBODY, {"dropped": dropped}))
    lost = [line for line in text.splitlines() if "→ nothing" in line]
    assert all(re.search(r": dropped as messages\[|: it says nothing$", line) for line in lost)
    assert not re.search(r"(tokens|effort|verbosity|json_schema|function_call) .* – not", text)
    assert "\nnot sent: " not in text and "\nadded: " not in text


def missing(said: set[str], text: str) -> set[str]:
    """What is not there; long lines are broken at spaces."""
    there = "".join(text.split())
    return {one for one in said if "".join(one.split()) not in there}


def words(body: Json) -> set[str]:
    """What the user said, in either dialect."""
    said = body.get("messages") or body.get("input")
    if isinstance(said, str):
        return {said}
    texts = [one.get("content") for one in said or [] if one.get("role") == "user"]
    parts = [part for text in texts if isinstance(text, list) for part in text]
    found = [text for text in texts if isinstance(text, str)]
    found += [part["text"] for part in parts if "text" in part]
    return {text.strip() for text in found if ";base64," not in text}


def spoken(body: bytes) -> set[str]:
    """The finished texts of a Responses stream, or all that one of ours says to a Chat client."""
    found = [piece.data for piece in pieces(body) if isinstance(piece.data, dict)]
    done = (one for one in found if one.get("type") == "response.output_text.done")
    ours = [one for one in found if one.get("id") == "chatcmpl-case"]
    said = fold(ours)["choices"][0]["message"] if ours else {}
    calls = [call[call["type"]] for call in said.get("tool_calls") or ()]
    sources = [source["url_citation"]["url"] for source in said.get("annotations") or ()]
    texts = [said.get(name) for name in ("content", "reasoning_content", "refusal")]
    texts += [call.get(name) for call in calls for name in ("name", "input")]
    return {
        text.strip() for text in (*(str(one["text"]) for one in done), *texts, *sources) if text
    }


def shown(body: bytes, times: Any = (), facts: Json | None = None) -> str:
    return paper.page(stream.streamed(body, Clock(times), facts or {}))


def encoded(body: Json) -> bytes:
    return json.dumps(body).encode()


# Anything at all


@pytest.fixture(scope="module")
def views() -> Iterator[Views]:
    with taddons.context():
        made = Views()
        made.load(None)
        yield made
        made.done()


def relayed(request: bytes, response: bytes, **metadata: Any) -> HTTPFlow:
    flow = tflow.tflow(req=tutils.treq(content=request), resp=tutils.tresp(content=response))
    flow.response.headers["content-type"] = flow.request.headers["content-type"] = "x/y"
    flow.metadata |= {rows.LEG: rows.CLIENT, **metadata}
    return flow


def view_of(message: Any, flow: HTTPFlow, name: str = "auto") -> tuple[str | None, str]:
    result = contentviews.prettify_message(message, flow, name)
    return result.view_name, result.text


def everywhere(body: bytes, other: bytes, **metadata: Any) -> None:
    """No view fails, whatever it is shown."""
    flow, leg = relayed(body, body, **metadata), relayed(other, other)
    rows.register(flow, leg)
    for name in ("turn", "stream", "both sides", "catalog"):
        for message in (flow.request, flow.response):
            assert "Couldn't parse as" not in view_of(message, flow, name)[1]


ITEMS = st.dictionaries(
    st.sampled_from(
        ["type", "role", "content", "text", "input", "output", "arguments", "call_id", "name",
         "tools", "tool_calls", "function", "delta", "choices", "item", "response", "usage",
         "error", "message", "summary", "encrypted_content", "image_url", "messages", "data",
         "id", "reasoning_content", "finish_reason", "output_index", "models", "slug",
         "function_call", "custom", "functions", "reasoning_details", "annotations", "images"]
    ),
    st.recursive(
        VALUES | st.sampled_from(["message", "function_call", "reasoning", "tool", "user",
                                  "function", "custom", "assistant", "reasoning.encrypted",
                                  "response.completed", "response.x.delta", "compaction"]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "text", "id", "url", "name", "function",
                                           "arguments", "content", "message", "delta", "custom",
                                           "input", "data", "url_citation", "refusal"]), inner,
                          max_size=4),
        max_leaves=10,
    ),
)  # fmt: skip


@given(body=ITEMS, other=ITEMS | st.lists(ITEMS, max_size=2), facts=VALUES)
def test_any_json_is_shown(views: Views, body: Any, other: Any, facts: Any) -> None:
    everywhere(encoded(body), encoded(other), **{FACTS: facts, rows.TIMES: facts})
    lines = b"".join(b"data: %s\n\n" % encoded(one) for one in (body, other))
    everywhere(lines, encoded(body))


@given(body=st.binary(max_size=200), times=VALUES)
def test_any_bytes_are_shown(views: Views, body: bytes, times: Any) -> None:
    everywhere(body, b"data: " + body, **{rows.TIMES: times})


@pytest.mark.parametrize("name", ["generic/reply_interleaved_calls", "deepseek/tool_turn"])
def test_half_a_stream_is_shown_as_far_as_it_goes(name: str) -> None:
    [case] = [case for case in CASES if str(case) == name] or CASES[:1]
    body = case.made()["client.sse"]
    for cut in range(0, len(body), 97):
        assert "could not be read" not in shown(body[:cut])


def test_bodies_that_are_no_json_are_shown(views: Views) -> None:
    flow = relayed(b'{"model": "m", "input": [', b"<html>Bad gateway</html>")
    assert '{"model": "m", "input": [' in view_of(flow.request, flow)[1]
    assert "Bad gateway" in view_of(flow.response, flow, "turn")[1]


def test_lone_surrogates_can_be_written() -> None:
    body = rb'{"input": "a \ud800 b"}'
    assert "a ? b" in paper.page(turn.asked(body, {}))


# What a turn looks like


def test_request_in_a_few_lines() -> None:
    envelope = Envelope("deepseek", "deepseek-chat", {"reasoning_content": "First I look."})
    body = {
        "model": "gpt-5.5",
        "stream": True,
        "reasoning": {"effort": "high"},
        "tools": [
            {"type": "function", "name": "exec_command"},
            {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "add"}]},
            {"type": "custom", "name": "apply_patch"},
        ],
        "input": [
            {"role": "developer", "content": "\n".join(f"rule {n}" for n in range(50))},
            {"role": "user", "content": [
                {"type": "input_text", "text": "Look."},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
            ]},
            {"type": "reasoning", "summary": [], "encrypted_content": seal(envelope)},
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAA" * 100},
            {"type": "function_call", "name": "exec_command", "call_id": "c1",
             "arguments": '{"cmd": "ls", "yield": 5}'},
            {"type": "custom_tool_call", "name": "apply_patch", "call_id": "c2",
             "input": "*** Begin Patch\n+new\n*** End Patch"},
            {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "Done."},
        ],
    }  # fmt: skip
    text = paper.page(turn.asked(encoded(body), {"dropped": ["seed"], "notes": ["retried"]}))
    assert (
        text
        == """\
gpt-5.5 · streams · reasoning.effort high
3 tools: exec_command, mcp.add, apply_patch (custom)
dropped: seed
note: retried
8 entries; the last: output of c2: Done.

━━ 0 · developer
rule 0
rule 1
rule 2
rule 3
rule 4
rule 5
⋯ 389 B in all ⋯

━━ 1 · user
Look.
[image: image/png, 1×1 pixels, 70 B]

━━ 2 · reasoning · sealed by us for deepseek-chat (deepseek)
First I look.

━━ 3 · reasoning · sealed by another, 400 B


━━ 4 · call of exec_command · c1
cmd: ls
yield: 5

━━ 6 · output of c1
a.txt

━━ 5 · call of apply_patch · c2
*** Begin Patch
+new
*** End Patch

━━ 7 · output of c2
Done.
"""
    )


def test_summaries_are_opened_where_they_are_ours() -> None:
    ours = seal(Envelope("kimi", "kimi-k3", {"summary": "## Goal\nA poem."}))
    items = [{"type": "compaction", "encrypted_content": text} for text in (ours, "gAAA")]
    text = paper.page(turn.asked(encoded({"input": items}), {}))
    assert "summary of what was before, by kimi-k3 (kimi)\n## Goal\nA poem." in text
    assert "sealed by another\n[sealed, 4 B]" in text


def test_pictures_in_texts_and_unknown_items() -> None:
    url = f"data:image/png;base64,{PIXEL}"
    items = [
        {"type": "function_call_output", "call_id": "c", "output": f'{{"shot": "{url}"}}'},
        {"type": "image_generation_call", "result": "QUJD" * 100},
        {"role": "user", "content": [{"type": "input_file", "filename": "a.pdf",
                                      "file_data": f"data:application/pdf;base64,{PIXEL}"}]},
    ]  # fmt: skip
    text = paper.page(turn.asked(encoded({"input": items}), {}))
    assert PIXEL not in text and "QUJDQUJD" not in text
    assert '{"shot": "[image/png, 1×1 pixels, 70 B]"}' in text
    assert "[file: a.pdf, application/pdf" in text


def test_other_urls_and_broken_pictures() -> None:
    assert media.described("https://example.com/a.png") == "https://example.com/a.png"
    assert media.described("data:image/png;base64,AAAA") == "image/png, 3 B"


# What a stream looks like


def test_runs_of_deltas_are_one_line_with_their_times() -> None:
    parts = [chunk(role="assistant", content=""), chunk(reasoning_content="Hm"), chunk(content="A"),
             chunk(content="B\n"), chunk(content="C"), chunk("stop")]  # fmt: skip
    body = chat(*parts)
    ends = [piece.end for piece in pieces(body)]
    times = [[100 * n, end] for n, end in enumerate([0, *ends])]
    lines = [step.line() for step in steps(pieces(body), Clock(times))]
    assert lines == [
        "+0.00 s              an empty chunk",
        '+0.10 s              delta.reasoning_content  "Hm"',
        '+0.20 s … +0.40 s    delta.content × 3  "AB⏎C"',
        "+0.50 s              finish_reason  stop",
        "+0.60 s              [DONE]",
    ]


def test_stream_tells_its_record_and_what_it_made() -> None:
    facts = {"first_byte": 0.5, "first_token": 0.81, "tokens_per_second": 44.5, "seconds": 2.1,
             "notes": ["again after 429"], "dropped": ["seed"]}  # fmt: skip
    usage = {"choices": [], "usage": {"prompt_tokens": 12300, "completion_tokens": 5}}
    text = shown(chat(chunk(content="Hello"), chunk("stop"), usage), [[500, 0]], facts)
    assert text.startswith(
        "stop · 12.3k in · 5 out · 4 events\n"
        "first byte 0.50 s · first token 0.81 s · 44.5 tokens/s · 2.10 s in all\n"
        "dropped: seed\nnote: again after 429\n\n━━ 0 · assistant\nHello\n"
    )


def test_a_stream_that_grows_says_so() -> None:
    text = shown(chat(chunk(content="Hel"), done=False) + b'data: {"choi')
    assert text.startswith("not finished · 2 events") and "Hel" in text


def test_open_items_of_a_stream_are_shown() -> None:
    events = [
        {"type": "response.output_item.added", "output_index": 0,
         "item": {"type": "function_call", "name": "exec", "call_id": "c", "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"cmd": '},
    ]  # fmt: skip
    body = b"".join(b"data: %s\n\n" % encoded(event) for event in events)
    assert '━━ 0 · call of exec · c\n{"cmd":' in shown(body)


# Both sides


def test_what_became_of_each_item() -> None:
    [case] = [case for case in CASES if str(case) == "generic/codex_first_turn"]
    text = paper.page(both.requests(case.request, case.upstream, NOBODY, {"dropped": []}))
    assert "0 · developer, " in text and "0 · system, joined" in text
    assert "the same words" in text


def test_parameters_have_their_other_names_and_what_was_dropped() -> None:
    before = {"model": "a", "max_output_tokens": 5, "reasoning": {"effort": "high"}, "seed": 1}
    after = {"model": "b", "max_tokens": 5, "reasoning_effort": "high", "extra": True}
    assert list(parameters.table(before, after, ["seed"])) == [
        "━━ parameters",
        "model              a     → model b",
        "max_output_tokens  5     → max_tokens 5",
        "reasoning.effort   high  → reasoning_effort high",
        "seed               1     ✗ dropped",
        "                         + extra true",
        "",
    ]


def test_tools_that_were_renamed_left_out_and_added() -> None:
    assert list(
        parameters.tools(["a", "n.b", "c (custom)", "gone"], ["a", "n__b", "c", "new"])
    ) == [
        "━━ tools: 4 → 4",
        "as they are: a, c (custom)",
        "renamed: n.b → n__b",
        "not sent: gone",
        "added: new",
        "",
    ]


def test_entries_are_paired_by_call_by_words_and_as_parts() -> None:
    before = [
        Entry(0, "system", "developer", "One."),
        Entry(1, "system", "developer", "Two."),
        Entry(2, "user", "user", "Hello."),
        Entry(3, "reasoning", "reasoning", ""),
        Entry(4, "call", "call of a", "x", "c1"),
    ]
    after = [
        Entry(0, "system", "system", "One.\n\nTwo."),
        Entry(1, "user", "user", "Hello."),
        Entry(2, "call", "call of a", "y", "c1"),
    ]
    assert align.paired(before, after) == {0: 0, 1: 0, 2: 1, 4: 2}
    assert list(align.groups(before, after)) == [
        (before[:2], after[:1]),
        (before[2:3], after[1:2]),
        (before[3:4], []),
        (before[4:], after[2:]),
    ]


def test_dropped_items_say_so() -> None:
    before = {"input": [{"role": "user", "content": "Hi."}, {"type": "item_reference", "id": "x"}]}
    after = {"messages": [{"role": "user", "content": "Hi."}]}
    facts = {"dropped": ["input[1] (item_reference)"]}
    text = paper.page(both.requests(before, after, NOBODY, facts))
    assert "client 1 · item_reference → nothing: dropped as input[1] (item_reference)" in text


# Catalog


def test_model_lists_are_tables() -> None:
    models = [
        {"slug": "gpt-6", "display_name": "GPT-6", "context_window": 400000, "tool_mode": "code",
         "input_modalities": ["text", "image"], "supported_reasoning_levels": [{"effort": "low"}]},
        {"slug": "tiny", "input_modalities": ["text"]},
    ]  # fmt: skip
    assert list(catalog.table(encoded({"models": models}))) == [
        "2 models",
        "",
        "slug   title  context  images  efforts  tool_mode",
        "gpt-6  GPT-6  400,000  yes     low      code",
        "tiny                   no",
    ]


def test_one_model_is_a_table_of_one(views: Views) -> None:
    flow = relayed(b"", encoded({"id": "m-1", "object": "model", "owned_by": "maker"}))
    flow.metadata = {"relay.route": "model"}
    name, text = view_of(flow.response, flow)
    assert name == "Catalog"
    assert text.splitlines() == ["1 model", " ", "slug  owned_by", "m-1   maker"]


# Limits


def test_pages_end_and_keep_their_end() -> None:
    text = paper.page(f"line {n} {'x' * 90}" for n in range(10_000))
    assert len(text) < paper.LIMIT + 200
    assert text.startswith("line 0 ") and "line 9999 " in text
    assert "of text left out here; the view `raw` has it all" in text


def test_prose_is_wrapped_and_what_a_tool_takes_is_not() -> None:
    text = "word " * 50
    assert Entry(0, "user", "user", text).body().count("\n") == 2
    assert "\n" not in Entry(0, "call", "call", text).body()
    assert paper.wrapped("x" * 300) == "x" * 300


def test_empty_lines_have_a_height() -> None:
    assert paper.tall("a\n\nb") == "a\n \nb"


def test_long_texts_lose_their_middle() -> None:
    text = paper.fold("a" * 50_000 + "b" * 50_000)
    assert text.startswith("aaa") and text.endswith("bbb") and "60.0 kB more" in text


@pytest.mark.parametrize("shape", ["one", "many", "image", "stream", "deltas"])
def test_eight_megabytes_are_shown_soon(views: Views, shape: str) -> None:
    body = large(shape)
    assert len(body) > 8_000_000
    flow, leg = relayed(body, body), relayed(body, body)
    rows.register(flow, leg)
    for name in ("turn", "stream", "both sides"):
        message = flow.response if shape in ("stream", "deltas") else flow.request
        start = time.process_time()
        _, text = view_of(message, flow, name)
        assert time.process_time() - start < 3  # s of work; measured: less than one
        assert len(text) < 2 * paper.LIMIT


def large(shape: str) -> bytes:
    if shape == "one":
        return encoded({"input": "word " * 1_700_000})
    if shape == "many":
        return encoded({"input": [{"role": "user", "content": f"{n} " * 400} for n in range(5000)]})
    if shape == "image":
        url = "data:image/png;base64," + "QUJD" * 2_100_000
        part = {"type": "input_image", "image_url": url}
        return encoded({"input": [{"role": "user", "content": [part]}]})
    if shape == "stream":
        return chat(*[chunk(content=f"{n} " * 20) for n in range(46_000)])
    event = {"type": "response.output_text.delta", "output_index": 0, "delta": "word "}
    return b"".join(b"event: x\ndata: %s\n\n" % encoded(event) for _ in range(90_000))


# In a relay


@bounded
async def test_mitmproxy_chooses_them_for_our_flows_alone() -> None:
    seen: list[HTTPFlow] = []

    class Watch:
        def response(self, flow: HTTPFlow) -> None:
            seen.append(flow)

    made = Views()
    async with relay(says("Hello there."), refuses(404), and_also=(View(), made, Watch())) as (
        _,
        port,
    ):
        async with Client.connect(port) as client:
            await ask(client)
            await client.ask("/v1/models", b"", method="GET", host="localhost")
        flow, models = seen
        leg = rows.other(flow)
        assert leg and leg.response
        assert view_of(flow.request, flow)[0] == view_of(leg.request, leg)[0] == "Turn"
        for one in (flow, leg):
            name, text = view_of(one.response, one)
            assert name == "Stream" and "Hello there." in text and "first byte" in text
            for message in (one.request, one.response):
                name, text = view_of(message, one, "both sides")
                assert "client" in text and "generic" in text
        assert view_of(models.response, models)[0] == "Catalog"
        stranger = relayed(flow.request.content or b"", b"{}")
        stranger.metadata.clear()
        assert view_of(stranger.request, stranger)[0] not in ("Turn", "Stream", "Both sides")
    assert "turn" not in contentviews.registry


def test_read_anew_they_are_there_once() -> None:
    with taddons.context():
        first, second = Views(), Views()
        first.load(None)
        second.load(None)
        first.done()  # of another's views it takes none away
        assert contentviews.registry["turn"] is second.views[0]
        second.done()
    assert "turn" not in contentviews.registry
