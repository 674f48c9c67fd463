"""Thinking on its way: out of a reply, into the envelope, and back to who needs it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import Json, chunk, messages, output, pieces, provider, replied
from translate import Provider
from translate.mappings.reasoning import ThinkTags, fields_of, merge, sealed, shown, to_chat
from translate.wire.envelope import Envelope, seal

ECHO = provider(name="me")
NAMED = provider(name="me", reasoning_back="reasoning_content")
PLAIN = provider(name="me", reasoning_back="reasoning")
NEVER = provider(name="me", reasoning_back="never")


def item(state: Json | None, by: str = "me", summary: str = "", **more: Any) -> Json:
    parts = [{"type": "summary_text", "text": summary}] if summary else []
    sealed = seal(Envelope(by, "m", state)) if state is not None else None
    return {"type": "reasoning", "summary": parts, "encrypted_content": sealed, **more}


BLOB = item(None, summary="S", encrypted_content="gAAAAABinvented")


@pytest.mark.parametrize(
    ("to", "thought", "fields"),
    [
        (ECHO, item({"reasoning": "r"}), {"reasoning": "r"}),
        (ECHO, item({"reasoning": "r"}, by="other"), None),
        (ECHO, BLOB, None),
        (ECHO, item({"think": "t"}), {"think": "t"}),
        (ECHO, item({"reasoning_details": [{"a": 1}]}), {"reasoning_details": [{"a": 1}]}),
        (NAMED, item({"reasoning_content": "r"}, summary="S"), {"reasoning_content": "r"}),
        (NAMED, item({"reasoning": "r"}), {"reasoning_content": "r"}),
        (NAMED, item({"reasoning_content": "r"}, by="other"), {"reasoning_content": "r"}),
        (NAMED, item({"think": "t"}), {"reasoning_content": "t"}),
        (NAMED, item({"reasoning_details": [{"text": "d"}]}), {"reasoning_content": "d"}),
        (NAMED, item({"reasoning_details": [{"data": "d"}]}, summary="S"),
         {"reasoning_content": "S"}),
        (NAMED, BLOB, {"reasoning_content": "S"}),
        (NAMED, item(None), None),
        (NAMED, item(None, content=[{"type": "reasoning_text", "text": "C"}], summary="S"),
         {"reasoning_content": "C\n\nS"}),
        (NAMED, item(None, content="C", summary="S"), {"reasoning_content": "S"}),
        (PLAIN, item({"reasoning_content": "r"}), {"reasoning": "r"}),
        (NEVER, item({"reasoning": "r"}), None),
        # an envelope of ours that was changed on its way
        (ECHO, item({"reasoning": 5, "reasoning_details": [1, {"a": 1}], "x": 1}),
         {"reasoning_details": [{"a": 1}]}),
        (ECHO, item({"reasoning": 5}), None),
    ],
)  # fmt: skip
def test_thinking_goes_back_as_the_provider_wants_it(
    to: Provider, thought: Json, fields: Json | None
) -> None:
    assert to_chat(thought, to) == fields


def test_thinking_is_part_of_the_message_that_follows() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "run", "arguments": "{}"}
    two = [item({"reasoning": "A"}), call, item({"reasoning": "B"}), {**call, "call_id": "b"}]
    [message, *_] = messages(*two, to=ECHO)
    assert message["reasoning"] == "AB" and len(message["tool_calls"]) == 2


@pytest.mark.parametrize(
    ("to", "fields"),
    [(NAMED, {"reasoning_content": " "}), (PLAIN, {"reasoning": " "}), (ECHO, {}), (NEVER, {})],
)
def test_message_without_thinking_has_the_field_all_the_same(to: Provider, fields: Json) -> None:
    said = {"role": "assistant", "content": "Text."}
    asked = {"role": "user", "content": "Go."}
    call = {"type": "function_call", "call_id": "a", "name": "run", "arguments": "{}"}
    spoken, heard, called, _ = messages(said, asked, call, to=to)
    assert (spoken, heard) == ({**said, **fields}, asked)
    assert called.keys() == {"role", "content", "tool_calls", *fields}


def test_tagged_thinking_goes_back_between_tags() -> None:
    said = {"role": "assistant", "content": "Text."}
    [message] = messages(item({"think": "T"}), said, to=ECHO)
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
def test_thinking_survives_the_round_trip_in_its_own_fields(delta: Json) -> None:
    thought, *_ = output(replied(chunk(**delta), chunk("stop", content="Text.")))
    assert thought["summary"] == [{"type": "summary_text", "text": "Thought."}]
    [message, *_] = messages(thought, CALL)
    assert {name: message[name] for name in delta} == delta


def signed(id: str, signature: str | None) -> Json:
    extra = {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}
    return {"index": 0, "id": id, "function": {"name": "run", "arguments": "{}"}, **extra}


def test_signature_of_a_call_comes_back_with_it() -> None:
    calls = [signed("a", "s1"), signed("b", None) | {"index": 1}]
    made = output(replied(chunk(reasoning="R", tool_calls=calls), chunk("stop")))
    assert [one["type"] for one in made] == [
        *["reasoning", "function_call", "function_call", "reasoning"]
    ]
    [message, *_] = messages(*made)
    one, two = message["tool_calls"]
    assert one["extra_content"] == {"google": {"thought_signature": "s1"}}
    assert "extra_content" not in two and message["reasoning"] == "R"


def test_signature_never_goes_to_another_provider() -> None:
    made = output(replied(chunk(tool_calls=[signed("a", "s1")]), chunk("stop")))
    for other in (ECHO, NAMED):
        [message, *_] = messages(*made, to=other)
        assert "extra_content" not in message["tool_calls"][0] and "calls" not in message


def test_signatures_of_several_items_are_all_kept() -> None:
    more = [CALL, item({"calls": {"a": 1}}), {**CALL, "call_id": "b"}, item({"calls": {"b": 2}})]
    [message, *_] = messages(*more, to=ECHO)
    assert [call["extra_content"] for call in message["tool_calls"]] == [1, 2]


@pytest.mark.parametrize("to", [NAMED, PLAIN])
def test_signature_goes_beside_thinking_under_any_name(to: Provider) -> None:
    for state in ({"reasoning": "r", "calls": {"a": 1}}, {"calls": {"a": 1}}):
        [message, *_] = messages(item(state), CALL, to=to)
        assert message["tool_calls"][0]["extra_content"] == 1


def test_sealed_details_make_an_item_without_a_summary() -> None:
    details = [{"type": "reasoning.encrypted", "data": "b3Blbg==", "index": 0}]
    thought, *_ = output(replied(chunk(reasoning_details=details), chunk("stop", content="Hi.")))
    assert thought["summary"] == []
    assert messages(thought, CALL)[0]["reasoning_details"] == details


@pytest.mark.parametrize(
    ("pieces", "joined"),
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
def test_details_are_joined_piece_by_piece(pieces: list[Json], joined: list[Json]) -> None:
    fields: Json = {}
    for piece in pieces:
        merge(fields, fields_of({"reasoning_details": [piece, 5]}))
    assert fields == {"reasoning_details": joined}


def test_details_that_are_not_text_are_not_shown() -> None:
    assert shown({"reasoning_details": [{"text": 5}, {"data": "x"}, {"summary": "s"}]}) == "s"


@pytest.mark.parametrize("delta", [{"reasoning": ""}, {"reasoning": {}}, {"reasoning_details": 5}])
def test_thinking_that_is_none_makes_no_item(delta: Json) -> None:
    made = output(replied(chunk(**delta), chunk("stop", content="Hi.")))
    assert [one["type"] for one in made] == ["message"]


# ThinkTags


def split(parts: list[str]) -> tuple[str, str]:
    tags = ThinkTags()
    found = [*map(tags.feed, parts), tags.close()]
    return "".join(thinking for thinking, _ in found), "".join(text for _, text in found)


HEADS = [
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


@pytest.mark.parametrize(("text", "both"), HEADS)
def test_think_tags_are_split_off_at_every_split(text: str, both: tuple[str, str]) -> None:
    assert split(list(text)) == both
    for cut in range(len(text) + 1):
        assert split([text[:cut], text[cut:]]) == both


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "/", "think", ">", "\n", "a", " "])).map(
        lambda parts: "".join(parts).encode()
    ),
    st.data(),
)
def test_think_tags_do_not_depend_on_the_cuts(wire: bytes, data: st.DataObject) -> None:
    parts = [part.decode() for part in data.draw(pieces(wire))]
    assert split(parts) == split([wire.decode()])


def test_one_unknown_upstream_never_gets_the_thinking_of_another() -> None:
    """Both are `generic`; Groq's like, behind the second, would refuse the first's fields."""
    one, other = ECHO.at("one.example"), ECHO.at("other.example")
    mine = {"encrypted_content": sealed({"reasoning_content": "Hm."}, one, "m")}
    assert to_chat(mine, one) == {"reasoning_content": "Hm."}
    assert to_chat(mine, other) is None
