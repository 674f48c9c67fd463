"""Citations of a text in the forms of several providers, and log probabilities."""

from typing import Any

import pytest

from tests.translate.support import (
    PROVIDERS,
    Json,
    chunk,
    output,
    reply_events,
    responses_exchange,
    sent_body,
)

URL = "https://example.com/oven"
LOCATED = {"url": URL, "title": "Ovens", "start_index": 4, "end_index": 8}
NESTED = {"type": "url_citation", "url_citation": LOCATED}


def annotations_of(*chunks: Json) -> list[Json]:
    events = reply_events(*chunks, chunk("stop"))
    added = [event for event in events if event["type"].endswith("annotation.added")]
    [message] = output(events)
    annotations: list[Json] = message["content"][0]["annotations"]
    assert [event["annotation"] for event in added] == annotations
    assert [event["annotation_index"] for event in added] == list(range(len(added)))
    return annotations


def citation(start: int, end: int, title: str = "Ovens") -> Json:
    return {
        "type": "url_citation", "url": URL, "title": title,
        "start_index": start, "end_index": end,
    }  # fmt: skip


TEXT = chunk(content="Hot ovens.")


@pytest.mark.parametrize(
    ("chunks", "annotations"),
    [
        ([TEXT, chunk(annotations=[NESTED])], [citation(4, 8)]),
        ([chunk(annotations=[NESTED]), TEXT], [citation(4, 8)]),
        ([TEXT, chunk(annotations=[{"type": "url_citation", **LOCATED}])], [citation(4, 8)]),
        ([TEXT, chunk(annotations=[NESTED]), chunk(annotations=[NESTED])], [citation(4, 8)]),
        (
            [TEXT | {"citations": [URL]}, {"choices": [], "citations": [URL]}],
            [citation(10, 10, URL)],
        ),
        (
            [TEXT, {"choices": [], "citations": [{"url": URL, "title": "Ovens"}]}],
            [citation(10, 10)],
        ),
        ([TEXT, chunk("stop"), {"choices": [], "citations": [URL]}], [citation(10, 10, URL)]),
        # a position outside this text
        (
            [TEXT, chunk(annotations=[{**NESTED, "url_citation": {**LOCATED, "end_index": 99}}])],
            [citation(10, 10)],
        ),
        (
            [TEXT, chunk(annotations=[{**NESTED, "url_citation": {**LOCATED, "end_index": None}}])],
            [citation(10, 10)],
        ),
        # no citation
        ([TEXT, chunk(annotations=None)], []),
        ([TEXT, chunk(annotations=["x", {"type": "file", "file": {"hash": "h"}}])], []),
        ([TEXT, chunk(annotations=[{"type": "url_citation", "url_citation": {}}])], []),
        ([TEXT | {"citations": [5, None, {}]}], []),
    ],
)
def test_citations_become_annotations(chunks: list[Json], annotations: list[Json]) -> None:
    assert annotations_of(*chunks) == annotations


def test_positions_count_from_the_start_of_their_own_part() -> None:
    citation_of_later_part = {
        **NESTED,
        "url_citation": {**LOCATED, "start_index": 9, "end_index": 11},
    }
    chunks = [chunk(content="Before."), chunk(reasoning="Hm."), chunk(content="So hot.")]
    events = reply_events(*chunks, chunk(annotations=[citation_of_later_part]), chunk("stop"))
    assert output(events)[2]["content"][0]["annotations"] == [citation(2, 4)]


def test_citation_without_a_text_is_reported() -> None:
    exchange = responses_exchange(tools=[{"type": "function", "name": "f"}])
    call = {"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}
    reply_events(
        chunk(tool_calls=[call]), chunk(annotations=[NESTED]), chunk("stop"), exchange=exchange
    )
    assert exchange.dropped == ["annotations"]


def test_citation_that_every_chunk_repeats_is_sent_once() -> None:
    exchange = responses_exchange(tools=[{"type": "function", "name": "f"}])
    call = {"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}
    chunks = [TEXT, chunk(tool_calls=[call]), chunk("stop")]
    events = reply_events(*[chunk | {"citations": [URL]} for chunk in chunks], exchange=exchange)
    assert output(events)[0]["content"][0]["annotations"] == [citation(10, 10, URL)]
    assert exchange.dropped == []


# Log probabilities

REQUESTED = {"include": ["message.output_text.logprobs"]}
OPENROUTER = PROVIDERS["openrouter"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (REQUESTED, {"logprobs": True}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({**REQUESTED, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
    ],
)
def test_request_for_logprobs_has_chats_form(fields: Json, expected: Json) -> None:
    body = sent_body(fields, OPENROUTER)
    assert {name: body[name] for name in ("logprobs", "top_logprobs") if name in body} == expected


def test_logprobs_that_the_provider_refuses_are_reported() -> None:
    exchange = responses_exchange({**REQUESTED, "top_logprobs": 3}, PROVIDERS["groq"])
    assert exchange.dropped == ["message.output_text.logprobs", "top_logprobs"]


def chat_logprob(token: str, **fields: Any) -> Json:
    return {"token": token, "logprob": -0.5, **fields}


def logprob(token: str, *top: Json) -> Json:
    return {"token": token, "bytes": list(token.encode()), "logprob": -0.5, "top_logprobs": [*top]}


def text_chunk(text: str, *tokens: Json, **delta: Any) -> Json:
    piece = chunk(content=text, **delta)
    piece["choices"][0]["logprobs"] = {"content": list(tokens), "refusal": None}
    return piece


def test_logprobs_are_sent_with_their_text() -> None:
    top = {"token": "Ho", "bytes": [72, 111], "logprob": -1}
    first = text_chunk("Hot ", chat_logprob("Hot ", top_logprobs=[top]))
    events = reply_events(first, text_chunk("oven", chat_logprob("oven")), chunk("stop"))
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [event["logprobs"] for event in deltas] == [[logprob("Hot ", top)], [logprob("oven")]]
    [done] = [event for event in events if event["type"] == "response.output_text.done"]
    [message] = output(events)
    assert (
        done["logprobs"]
        == message["content"][0]["logprobs"]
        == [logprob("Hot ", top), logprob("oven")]
    )


def test_logprobs_of_thinking_are_left_out() -> None:
    events = reply_events(
        text_chunk("<think>Hm.", chat_logprob("<think>Hm.")),
        text_chunk("</think>Hot", chat_logprob("Hot")),
        chunk("stop"),
    )
    _, message = output(events)
    assert message["content"][0]["logprobs"] == [logprob("Hot")]
    events = reply_events(
        text_chunk("", chat_logprob("x"), reasoning="Hm."), chunk("stop", content="Hot")
    )
    assert "logprobs" not in output(events)[1]["content"][0]


@pytest.mark.parametrize(
    "logprobs",
    [None, 5, {}, {"content": None}, {"content": [5, {}, {"token": "x"}, {"logprob": 1}]},
     {"tokens": ["x"], "token_logprobs": [-1]}],
)  # fmt: skip
def test_other_forms_of_logprobs_are_ignored(logprobs: Any) -> None:
    piece = chunk(content="Hot")
    piece["choices"][0]["logprobs"] = logprobs
    [message] = output(reply_events(piece, chunk("stop")))
    assert "logprobs" not in message["content"][0]
