"""Reasoning: read from a reply, sealed in the envelope, and sent back in the provider's field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import (
    Json,
    chunk,
    output,
    pieces,
    provider,
    reply_events,
    sent_messages,
)
from translate import Provider
from translate.mappings.reasoning import (
    ThinkTags,
    join_fields,
    merge_fields,
    readable_text,
    reasoning_fields,
    reasoning_to_chat,
    seal_fields,
)
from translate.wire.envelope import Envelope, seal_envelope

ECHO = provider(name="me")
NAMED = provider(name="me", reasoning_back="reasoning_content")
REASONING = provider(name="me", reasoning_back="reasoning")
NEVER = provider(name="me", reasoning_back="never")


def reasoning_item(state: Json | None, by: str = "me", summary: str = "", **fields: Any) -> Json:
    parts = [{"type": "summary_text", "text": summary}] if summary else []
    sealed = seal_envelope(Envelope(by, "m", state)) if state is not None else None
    return {"type": "reasoning", "summary": parts, "encrypted_content": sealed, **fields}


SEALED_BY_OPENAI = reasoning_item(None, summary="S", encrypted_content="gAAAAABinvented")


@pytest.mark.parametrize(
    ("to", "reasoning", "fields"),
    [
        (ECHO, reasoning_item({"reasoning": "r"}), {"reasoning": "r"}),
        (ECHO, reasoning_item({"reasoning": "r"}, by="other"), None),
        (ECHO, SEALED_BY_OPENAI, None),
        (ECHO, reasoning_item({"think": "t"}), {"think": "t"}),
        (
            ECHO,
            reasoning_item({"reasoning_details": [{"a": 1}]}),
            {"reasoning_details": [{"a": 1}]},
        ),
        (
            NAMED,
            reasoning_item({"reasoning_content": "r"}, summary="S"),
            {"reasoning_content": "r"},
        ),
        (NAMED, reasoning_item({"reasoning": "r"}), {"reasoning_content": "r"}),
        (NAMED, reasoning_item({"reasoning_content": "r"}, by="other"), {"reasoning_content": "r"}),
        (NAMED, reasoning_item({"think": "t"}), {"reasoning_content": "t"}),
        (NAMED, reasoning_item({"reasoning_details": [{"text": "d"}]}), {"reasoning_content": "d"}),
        (
            NAMED,
            reasoning_item({"reasoning_details": [{"data": "d"}]}, summary="S"),
            {"reasoning_content": "S"},
        ),
        (NAMED, SEALED_BY_OPENAI, {"reasoning_content": "S"}),
        (NAMED, reasoning_item(None), None),
        (
            NAMED,
            reasoning_item(None, content=[{"type": "reasoning_text", "text": "C"}], summary="S"),
            {"reasoning_content": "C\n\nS"},
        ),
        (NAMED, reasoning_item(None, content="C", summary="S"), {"reasoning_content": "S"}),
        (REASONING, reasoning_item({"reasoning_content": "r"}), {"reasoning": "r"}),
        (NEVER, reasoning_item({"reasoning": "r"}), None),
        # an envelope of the relay whose content is not valid
        (
            ECHO,
            reasoning_item({"reasoning": 5, "reasoning_details": [1, {"a": 1}], "x": 1}),
            {"reasoning_details": [{"a": 1}]},
        ),
        (ECHO, reasoning_item({"reasoning": 5}), None),
    ],
)
def test_reasoning_goes_back_in_the_providers_field(
    to: Provider, reasoning: Json, fields: Json | None
) -> None:
    assert reasoning_to_chat(reasoning, to) == fields


def test_reasoning_is_part_of_the_message_that_follows() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "run", "arguments": "{}"}
    items = [
        reasoning_item({"reasoning": "A"}),
        call,
        reasoning_item({"reasoning": "B"}),
        {**call, "call_id": "b"},
    ]
    [message, *_] = sent_messages(*items, to=ECHO)
    assert message["reasoning"] == "AB" and len(message["tool_calls"]) == 2


@pytest.mark.parametrize(
    ("to", "fields"),
    [(NAMED, {"reasoning_content": " "}), (REASONING, {"reasoning": " "}), (ECHO, {}), (NEVER, {})],
)
def test_message_without_reasoning_has_a_blank_field(to: Provider, fields: Json) -> None:
    answer = {"role": "assistant", "content": "Text."}
    prompt = {"role": "user", "content": "Go."}
    call = {"type": "function_call", "call_id": "a", "name": "run", "arguments": "{}"}
    first, second, third, _ = sent_messages(answer, prompt, call, to=to)
    assert (first, second) == ({**answer, **fields}, prompt)
    assert third.keys() == {"role", "content", "tool_calls", *fields}


def test_tagged_reasoning_goes_back_between_tags() -> None:
    answer = {"role": "assistant", "content": "Text."}
    [message] = sent_messages(reasoning_item({"think": "T"}), answer, to=ECHO)
    assert message == {"role": "assistant", "content": "<think>T</think>\n\nText."}


CALL = {"type": "function_call", "call_id": "a", "name": "run", "arguments": "{}"}


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "Thought."},
        {"reasoning": "Thought."},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Thought.", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "Thought.", "index": 0}]},
        {"reasoning": "Thought.", "reasoning_details": [{"type": "x", "text": "Thought."}]},
    ],
)
def test_reasoning_survives_the_round_trip_in_its_own_fields(delta: Json) -> None:
    reasoning, *_ = output(reply_events(chunk(**delta), chunk("stop", content="Text.")))
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Thought."}]
    [message, *_] = sent_messages(reasoning, CALL)
    assert {name: message[name] for name in delta} == delta


def signed_call(id: str, signature: str | None) -> Json:
    extra = {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}
    return {"index": 0, "id": id, "function": {"name": "run", "arguments": "{}"}, **extra}


def test_signature_of_a_call_comes_back_with_it() -> None:
    calls = [signed_call("a", "s1"), signed_call("b", None) | {"index": 1}]
    items = output(reply_events(chunk(reasoning="R", tool_calls=calls), chunk("stop")))
    types = ["reasoning", "function_call", "function_call", "reasoning"]
    assert [item["type"] for item in items] == types
    [message, *_] = sent_messages(*items)
    first, second = message["tool_calls"]
    assert first["extra_content"] == {"google": {"thought_signature": "s1"}}
    assert "extra_content" not in second and message["reasoning"] == "R"


def test_signature_never_goes_to_another_provider() -> None:
    items = output(reply_events(chunk(tool_calls=[signed_call("a", "s1")]), chunk("stop")))
    for other in (ECHO, NAMED):
        [message, *_] = sent_messages(*items, to=other)
        assert "extra_content" not in message["tool_calls"][0] and "calls" not in message


def test_signatures_of_several_items_are_joined() -> None:
    items = [
        CALL,
        reasoning_item({"calls": {"a": 1}}),
        {**CALL, "call_id": "b"},
        reasoning_item({"calls": {"b": 2}}),
    ]
    [message, *_] = sent_messages(*items, to=ECHO)
    assert [call["extra_content"] for call in message["tool_calls"]] == [1, 2]


@pytest.mark.parametrize("to", [NAMED, REASONING])
def test_signature_goes_back_beside_any_reasoning_field(to: Provider) -> None:
    for state in ({"reasoning": "r", "calls": {"a": 1}}, {"calls": {"a": 1}}):
        [message, *_] = sent_messages(reasoning_item(state), CALL, to=to)
        assert message["tool_calls"][0]["extra_content"] == 1


def test_sealed_details_make_an_item_without_a_summary() -> None:
    details = [{"type": "reasoning.encrypted", "data": "b3Blbg==", "index": 0}]
    reasoning, *_ = output(
        reply_events(chunk(reasoning_details=details), chunk("stop", content="Hi."))
    )
    assert reasoning["summary"] == []
    assert sent_messages(reasoning, CALL)[0]["reasoning_details"] == details


@pytest.mark.parametrize(
    ("details", "joined"),
    [
        ([{"type": "t", "index": 0, "text": "a"}, {"type": "t", "index": 0, "text": "b"}],
         [{"type": "t", "index": 0, "text": "ab"}]),
        ([{"type": "t", "index": 0, "text": "a"}, {"type": "t", "index": 1, "text": "b"}],
         [{"type": "t", "index": 0, "text": "a"}, {"type": "t", "index": 1, "text": "b"}]),
        ([{"type": "t", "text": "a", "id": None}, {"type": "t", "signature": "s", "text": None}],
         [{"type": "t", "text": "a", "id": None, "signature": "s"}]),
        ([{"type": "e", "id": "1", "data": "a"}, {"type": "e", "id": "2", "data": "b"}],
         [{"type": "e", "id": "1", "data": "a"}, {"type": "e", "id": "2", "data": "b"}]),
        ([{"type": "e", "id": "1", "data": "a"}, {"type": "e", "data": "b"}],
         [{"type": "e", "id": "1", "data": "ab"}]),
        ([{"type": "t", "text": None}, {"type": "t", "text": "b"}], [{"type": "t", "text": "b"}]),
    ],
)  # fmt: skip
def test_pieces_of_details_are_joined(details: list[Json], joined: list[Json]) -> None:
    fields: Json = {}
    for piece in details:
        merge_fields(fields, reasoning_fields({"reasoning_details": [piece, 5]}))
    assert join_fields(fields) == {"reasoning_details": joined}


@pytest.mark.parametrize(
    ("pieces", "blocks"),
    [
        ([{"type": "thinking", "thinking": "a"}, {"type": "thinking", "thinking": "b"},
          {"type": "thinking", "thinking": "", "signature": "s"}],
         [{"type": "thinking", "thinking": "ab", "signature": "s"}]),
        ([{"type": "thinking", "thinking": "a", "signature": "s"},
          {"type": "thinking", "thinking": "b"},
          {"type": "thinking", "thinking": "", "signature": "t"}],
         [{"type": "thinking", "thinking": "a", "signature": "s"},
          {"type": "thinking", "thinking": "b", "signature": "t"}]),
        ([{"type": "redacted_thinking", "data": "x"}, {"type": "redacted_thinking", "data": "y"}],
         [{"type": "redacted_thinking", "data": "x"}, {"type": "redacted_thinking", "data": "y"}]),
    ],
)  # fmt: skip
def test_a_signature_ends_a_block_of_thinking(pieces: list[Json], blocks: list[Json]) -> None:
    fields: Json = {}
    for piece in pieces:
        merge_fields(fields, reasoning_fields({"thinking_blocks": [piece, 5]}))
    assert join_fields(fields) == {"thinking_blocks": blocks}


def test_thinking_blocks_alone_are_shown_and_go_back() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    reasoning, *_ = output(reply_events(chunk(thinking_blocks=blocks), chunk("stop", content="Hi")))
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert sent_messages(reasoning, CALL)[0]["thinking_blocks"] == blocks


def test_details_that_are_not_text_are_not_shown() -> None:
    assert (
        readable_text({"reasoning_details": [{"text": 5}, {"data": "x"}, {"summary": "s"}]}) == "s"
    )


@pytest.mark.parametrize("delta", [{"reasoning": ""}, {"reasoning": {}}, {"reasoning_details": 5}])
def test_empty_reasoning_makes_no_item(delta: Json) -> None:
    items = output(reply_events(chunk(**delta), chunk("stop", content="Hi.")))
    assert [item["type"] for item in items] == ["message"]


# ThinkTags


def split_thinking(parts: list[str]) -> tuple[str, str]:
    tags = ThinkTags()
    pairs = [*map(tags.feed, parts), tags.close()]
    return "".join(thinking for thinking, _ in pairs), "".join(text for _, text in pairs)


TAGGED_TEXTS = [
    ("<think>a</think>b", ("a", "b")),
    ("<think>\na\n</think>\n\nb", ("\na\n", "b")),
    (" \n<think>a</think>b", ("a", "b")),
    ("<think></think>b", ("", "b")),
    ("<think>a</think>", ("a", "")),
    ("<think>a", ("a", "")),
    ("<think>a</thi", ("a</thi", "")),
    ("<think>a</th</think>b", ("a</th", "b")),
    ("<think>a<think>b</think>c", ("a<think>b", "c")),
    ("<think>a</think>b</think>c", ("a", "b</think>c")),
    ("<think>a</think>\n<think>b</think>", ("a", "<think>b</think>")),
    ("text <think>a</think>", ("", "text <think>a</think>")),
    ("  text", ("", "  text")),
    ("<thinking>a", ("", "<thinking>a")),
    ("<thi", ("", "<thi")),
    ("</think>a", ("", "</think>a")),
    ("\n \n", ("", "")),
    ("", ("", "")),
]


@pytest.mark.parametrize(("text", "expected"), TAGGED_TEXTS)
def test_tagged_thinking_is_separated_at_every_split(text: str, expected: tuple[str, str]) -> None:
    assert split_thinking(list(text)) == expected
    for cut in range(len(text) + 1):
        assert split_thinking([text[:cut], text[cut:]]) == expected


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "/", "think", ">", "\n", "a", " "])).map(
        lambda parts: "".join(parts).encode()
    ),
    st.data(),
)
def test_separation_does_not_depend_on_the_splits(wire: bytes, data: st.DataObject) -> None:
    parts = [part.decode() for part in data.draw(pieces(wire))]
    assert split_thinking(parts) == split_thinking([wire.decode()])


def test_unknown_upstream_never_gets_the_reasoning_of_another() -> None:
    """Both are `generic`, but an upstream like Groq would refuse the fields of the other."""
    first, second = ECHO.at_host("one.example"), ECHO.at_host("other.example")
    sealed = {"encrypted_content": seal_fields({"reasoning_content": "Hm."}, first, "m")}
    assert reasoning_to_chat(sealed, first) == {"reasoning_content": "Hm."}
    assert reasoning_to_chat(sealed, second) is None


@pytest.mark.parametrize("summary", [5, True, "text", {"text": "text"}, [5, None, ["text"]]])
def test_a_forged_envelope_may_hold_an_item_of_any_shape(summary: Any) -> None:
    seal = seal_envelope(Envelope("any", "m", {"item": {"summary": summary, "content": summary}}))
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": seal}
    assert reasoning_to_chat(item, provider(reasoning_back="reasoning_content")) is None
