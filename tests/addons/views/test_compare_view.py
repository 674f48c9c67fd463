"""The view `Both sides`: requests compared, and replies merged by time."""

import json
import re

import pytest
from mitmproxy.test import tflow

from addons.views.compare_view import (
    ReplySide,
    all_tool_names,
    parameter_table,
    reply_comparison,
    reply_side,
    request_comparison,
    side_names,
    tool_changes,
)
from addons.views.stream_parsing import ArrivalTimes
from addons.views.text import join_page
from tests.addons.views.support import SIDE_NAMES
from tests.translate.cases import ALL_CASES, CHAT_CASES, RESPONSES_CASES, Case
from tests.translate.support import Json, chunk
from tests.translate.support import stream as chat

BASE64 = re.compile(r";base64,([A-Za-z0-9+/_=-]{8,})")


def comparison_text(old: Json, new: Json, dropped: list[str]) -> str:
    return join_page(request_comparison(old, new, SIDE_NAMES, {"dropped": dropped}))


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_every_case_can_be_compared(case: Case) -> None:
    dropped = case.start_exchange().dropped
    text = comparison_text(case.request, case.upstream, dropped)
    assert all(reason in text for reason in dropped)
    assert not any(data in text for data in BASE64.findall(json.dumps(case.upstream)))
    client = case.path / "client.sse"
    if client.exists() and case.reply:
        sides = [
            ReplySide(body, ArrivalTimes([]), "") for body in (case.reply, client.read_bytes())
        ]
        assert list(reply_comparison(*sides, SIDE_NAMES, {}))


@pytest.mark.parametrize("case", CHAT_CASES, ids=str)
def test_each_message_of_a_chat_client_has_its_entry_or_its_reason(case: Case) -> None:
    text = comparison_text(case.request, case.upstream, case.start_exchange().dropped)
    unmatched = [row for row in text.splitlines() if "→ nothing" in row]
    assert all(re.search(r": dropped as messages\[|: it says nothing$", row) for row in unmatched)
    assert not re.search(r"(tokens|effort|verbosity|json_schema|function_call) .* – not", text)
    assert "\nnot sent: " not in text and "\nadded: " not in text


def test_joined_and_unchanged_entries() -> None:
    [case] = [case for case in RESPONSES_CASES if str(case) == "generic/codex_first_turn"]
    text = comparison_text(case.request, case.upstream, [])
    assert "0 · developer, " in text and "0 · system, joined" in text
    assert "the same words" in text


def test_parameters_are_listed_with_their_new_names_or_as_dropped() -> None:
    old = {"model": "a", "max_output_tokens": 5, "reasoning": {"effort": "high"}, "seed": 1, "n": 1}
    new = {"model": "b", "max_tokens": 5, "reasoning_effort": "high", "extra": True}
    assert list(parameter_table(old, new, ["seed"])) == [
        "━━ parameters",
        "model              a     → model b",
        "max_output_tokens  5     → max_tokens 5",
        "reasoning.effort   high  → reasoning_effort high",
        "seed               1     ✗ dropped",
        "n                  1     – not sent",
        "                         + extra true",
        "",
    ]


def test_renamed_omitted_and_added_tools_are_listed() -> None:
    assert list(tool_changes(["a", "n.b", "c (custom)", "gone"], ["a", "n__b", "c", "new"])) == [
        "━━ tools: 4 → 4",
        "as they are: a, c (custom)",
        "renamed: n.b → n__b",
        "not sent: gone",
        "added: new",
        "",
    ]
    assert list(tool_changes([], [])) == []


def test_tools_of_the_input_are_listed_too() -> None:
    tools = [{"type": "function", "name": "a"}]
    request = {"tools": tools, "input": [{"tools": [*tools, {"name": "b"}]}, "odd"]}
    assert all_tool_names(request) == ["a", "b"]
    assert all_tool_names({"input": "Hi."}) == []


def test_dropped_items_say_so() -> None:
    old = {"input": [{"role": "user", "content": "Hi."}, {"type": "item_reference", "id": "x"}]}
    new = {"messages": [{"role": "user", "content": "Hi."}]}
    text = comparison_text(old, new, ["input[1] (item_reference)"])
    assert "client 1 · item_reference → nothing: dropped as input[1] (item_reference)" in text


def test_dropped_parts_are_named_as_the_client_names_them() -> None:
    old = {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hear!"}, {"type": "video_url"}]},
        {"role": "assistant", "content": "I hear.", "audio": {"id": "audio_1"}},
    ]}  # fmt: skip
    new = {"input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hear!"}]},
        {"type": "message", "role": "assistant", "content": [{"text": "I hear."}]},
    ]}  # fmt: skip
    text = comparison_text(old, new, ["messages[0].content[1] (video_url)", "messages[1].audio"])
    assert "client 0 · user → provider 0 · user\n" in text
    assert "client 1 · assistant → provider 1 · assistant, the same words" in text
    assert "1 · audio of assistant → nothing: dropped as messages[1].audio" in text


def test_events_of_both_streams_are_merged_by_time() -> None:
    body = chat(chunk(content="Hi"), done=False)
    upstream = ReplySide(body, ArrivalTimes([[20, 0]]), "HTTP 200")
    client = ReplySide(body, ArrivalTimes([[10, 0]]), "HTTP 200, it left")
    assert list(reply_comparison(upstream, client, SIDE_NAMES, {"seconds": 1.0})) == [
        "provider: HTTP 200 → client: HTTP 200, it left",
        "1.00 s in all",
        "",
        'client   │ +0.01 s              delta.content  "Hi"',
        'provider │ +0.02 s              delta.content  "Hi"',
    ]


def test_replies_that_do_not_stream_stand_one_below_the_other() -> None:
    upstream = ReplySide(b"<html>Bad gateway", ArrivalTimes(()), "HTTP 502")
    client = ReplySide(b'{"error": {"message": "It broke."}}', ArrivalTimes(()), "HTTP 502")
    text = join_page(reply_comparison(upstream, client, SIDE_NAMES, {}))
    assert "━━━━ provider: HTTP 502\n\n<html>Bad gateway" in text
    assert "━━━━ client: HTTP 502\n" in text and "It broke." in text


def test_status_of_a_flow_that_failed() -> None:
    flow = tflow.tflow(err=True)
    assert reply_side(flow).status_text == "no reply, error"


def test_codex_and_the_provider_are_named() -> None:
    flow = tflow.tflow()
    assert side_names(flow.request, {}).labels == ("client  ", "provider")
    flow.request.headers["originator"] = "codex_exec"
    assert side_names(flow.request, {"provider": "kimi"}).labels == ("Codex", "kimi ")
