"""Text and reasoning as items of a reply: their parts, their order and their events."""

from typing import Any

import pytest

from tests.translate.reply.test_call_items import A, delta
from tests.translate.support import chunk, output, reply_events


@pytest.mark.parametrize(
    "thinking", ["Hm.", [{"type": "text", "text": "Hm."}, "x", {"text": None}]]
)
def test_thinking_parts_become_reasoning(thinking: Any) -> None:
    content = [{"type": "thinking", "thinking": thinking}]
    item, _ = output(reply_events(chunk(content=content), chunk("stop", content="So.")))
    assert item["summary"] == [{"type": "summary_text", "text": "Hm."}]


def test_text_and_refusal_are_parts_of_one_message() -> None:
    [item] = output(reply_events(chunk(content="Hm. "), chunk(refusal="No."), chunk("stop")))
    assert [part["type"] for part in item["content"]] == ["output_text", "refusal"]


def test_text_on_both_sides_of_thinking_makes_items_in_order() -> None:
    chunks = [chunk(content="A"), chunk(reasoning="B"), chunk(content="C"), chunk("stop")]
    assert [item["type"] for item in output(reply_events(*chunks))] == [
        "message",
        "reasoning",
        "message",
    ]


def test_withheld_text_comes_before_the_call() -> None:
    call = delta(0, "x", "f", A)
    items = output(reply_events(chunk(content="<"), chunk(tool_calls=[call]), chunk("stop")))
    assert [item["type"] for item in items] == ["message", "function_call"]


def test_reasoning_alternates_with_text_under_ids_of_their_position() -> None:
    chunks = [chunk(reasoning="A"), chunk(content="B"), chunk(reasoning="C"), chunk("stop")]
    ids = [item["id"] for item in output(reply_events(*chunks))]
    assert ids == ["rs_1_0", "msg_1_1", "rs_1_2"]


def test_logprobs_are_in_the_events_and_in_the_finished_part() -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    choice = {"delta": {"content": "Hi"}, "logprobs": {"content": [token]}}
    events = reply_events({"choices": [choice]}, chunk("stop"))
    parts = [event for event in events if "logprobs" in event]
    assert [event["type"].rpartition(".")[2] for event in parts] == ["delta", "done"]
    assert all(event["logprobs"][0]["token"] == "Hi" for event in parts)
    assert output(events)[0]["content"][0]["logprobs"][0]["logprob"] == -0.5


def test_repeated_citations_are_one_annotation_of_the_finished_text() -> None:
    chunks = [{**chunk(content=text), "citations": ["https://a"]} for text in ("A", "B")]
    events = reply_events(*chunks, chunk("stop"))
    [annotation] = output(events)[0]["content"][0]["annotations"]
    assert (annotation["url"], annotation["end_index"]) == ("https://a", 2)
    assert [event["type"] for event in events].count("response.output_text.annotation.added") == 1
