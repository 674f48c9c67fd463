"""Calls, outputs and messages in any order become what Chat providers accept, and stay stable."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strict_chat import Rules, refusal
from tests.translate.support import Json, carry, messages, output, provider, replied, sent
from translate.request.conversation import NO_OUTPUT, paired


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def said(text: str) -> Json:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content}


def call(id: str, cmd: str = "ls") -> Json:
    arguments = json.dumps({"cmd": cmd})
    return {"type": "function_call", "call_id": id, "name": "run", "arguments": arguments}


def out(id: str, text: Any = "ok") -> Json:
    return {"type": "function_call_output", "call_id": id, "output": text}


def shape(*items: Json) -> list[str]:
    """Role and ids of each message: `assistant a b`, `tool a`, `user`."""
    return [
        " ".join(
            [
                message["role"],
                *[call["id"] for call in message.get("tool_calls", [])],
                *([message["tool_call_id"]] if "tool_call_id" in message else []),
            ]
        )
        for message in messages(*items)
    ]


def test_parallel_calls_are_one_message_with_their_outputs_behind() -> None:
    items = [call("a"), call("b"), out("b"), out("a"), said("Done.")]
    assert shape(*items) == ["assistant a b", "tool a", "tool b", "assistant"]


def test_calls_one_after_another_are_messages_of_their_own() -> None:
    items = [call("a"), out("a"), call("b"), out("b")]
    assert shape(*items) == ["assistant a", "tool a", "assistant b", "tool b"]


def test_text_and_calls_of_a_turn_are_one_message() -> None:
    made = messages(said("One."), call("a"), said("Two."), out("a"))
    assert made[0]["content"] == "One.\nTwo." and made[0]["tool_calls"]


def test_what_came_between_call_and_output_moves_behind_the_outputs() -> None:
    items = [call("a"), user("u"), call("b"), out("a"), user("v"), out("b"), user("w")]
    assert shape(*items) == [
        *["assistant a", "tool a", "user", "assistant b", "tool b", "user", "user"]
    ]


def test_orphan_output_becomes_text_that_names_its_call() -> None:
    [message] = messages(out("lost", "the text"))
    assert message["role"] == "user"
    assert "lost" in message["content"] and "the text" in message["content"]


def test_output_before_its_call_does_not_answer_it() -> None:
    items = [out("a"), call("a")]
    assert shape(*items) == ["user", "assistant a", "tool a"]
    assert messages(*items)[2]["content"] == NO_OUTPUT


def test_second_output_of_a_call_is_an_orphan() -> None:
    assert shape(call("a"), out("a", "1"), out("a", "2")) == ["assistant a", "tool a", "user"]


def test_unanswered_call_gets_an_output() -> None:
    made = messages(call("a"), call("b"), out("b"), user("Next."))
    assert [message.get("content") for message in made] == [None, NO_OUTPUT, "ok", "Next."]


def test_empty_output_stays_empty() -> None:
    assert messages(call("a"), out("a", ""))[1]["content"] == ""
    assert messages(call("a"), out("a", []))[1]["content"] == ""


def test_duplicate_ids_are_made_unique_and_paired_in_order() -> None:
    items = [call("a", "1"), call("a", "2"), out("a", "1"), out("a", "2"), call("a_2"), out("a_2")]
    assert shape(*items) == [
        *["assistant a a_2", "tool a", "tool a_2", "assistant a_2_2", "tool a_2_2"]
    ]
    assert [m["content"] for m in messages(*items) if m["role"] == "tool"] == ["1", "2", "ok"]


def test_output_answers_the_call_of_its_own_turn() -> None:
    made = messages(call("a", "1"), user("Stop."), call("a", "2"), out("a", "two"))
    assert [message["content"] for message in made] == [None, NO_OUTPUT, "Stop.", None, "two"]


def test_reply_never_reuses_an_id_of_the_history() -> None:
    crossing = carry(input=[call("a"), out("a"), user("Again.")])
    delta = {"index": 0, "id": "a", "function": {"name": "run", "arguments": "{}"}}
    [made] = output(replied({"choices": [{"delta": {"tool_calls": [delta]}}]}, by=crossing))
    assert made["call_id"] != "a"


def test_kinds_of_outputs_pair_by_id_alone() -> None:
    items = [
        {"type": "custom_tool_call", "call_id": "a", "name": "p", "input": "x"},
        {"type": "function_call_output", "call_id": "a", "output": "ok"},
    ]
    assert paired(items) == {0: 1}
    assert shape(*items) == ["assistant a", "tool a"]


def test_media_of_outputs_follow_all_outputs() -> None:
    image = [{"type": "input_image", "image_url": "https://example.com/a.png"}]
    made = messages(call("a"), call("b"), out("a", image), out("b", "text"), user("Next."))
    assert [message["role"] for message in made] == ["assistant", "tool", "tool", "user", "user"]
    assert made[3]["content"][0] == {"type": "text", "text": "[output of a]"}


def test_thinking_alone_makes_no_message_and_is_reported() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    crossing = carry(
        to=provider(reasoning_back="reasoning_content"), input=[user("a"), thought, user("b")]
    )
    assert [m["content"] for m in json.loads(crossing.body)["messages"]] == ["a", "b"]
    assert crossing.dropped == ["reasoning without a reply"]


# Any conversation

IDS = st.sampled_from(["a", "b", "a_2", ""])
WORDS = st.text("xyzé ", min_size=1, max_size=5).map(lambda text: f"<{text}>")
IMAGE = {"type": "input_image", "image_url": "https://example.com/a.png"}
PARTS = st.lists(
    WORDS.map(lambda text: {"type": "input_text", "text": text}) | st.just(IMAGE), max_size=3
)
ITEMS = st.lists(
    st.one_of(
        st.builds(
            lambda role, content: {"type": "message", "role": role, "content": content},
            st.sampled_from(["user", "assistant", "developer", "system"]),
            WORDS | PARTS,
        ),
        st.builds(call, IDS, WORDS),
        st.builds(out, IDS, WORDS | PARTS),
        st.builds(
            lambda id, text: {
                "type": "custom_tool_call", "call_id": id, "name": "p", "input": text,
            },
            IDS, WORDS,
        ),
        st.builds(
            lambda text: {"type": "custom_tool_call_output", "call_id": "a", "output": text}, WORDS
        ),
        st.builds(
            lambda text: {
                "type": "reasoning", "summary": [{"type": "summary_text", "text": text}],
            },
            WORDS,
        ),
        st.builds(
            lambda text: {
                "type": "agent_message", "author": "/a", "recipient": "/b",
                "content": [{"type": "encrypted_content", "encrypted_content": text}],
            },
            WORDS,
        ),
    ),
    max_size=12,
)  # fmt: skip
KEEPS = provider(reasoning_back="reasoning_content")


def texts(value: Any) -> list[str]:
    """Every text that hypothesis put in, wherever it ended."""
    if isinstance(value, str):
        try:
            return texts(json.loads(value))
        except ValueError:
            return [value]
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    return [text for inner in value for text in texts(inner)] if isinstance(value, list) else []


@settings(max_examples=400)
@given(ITEMS)
def test_any_conversation_is_accepted_and_nothing_is_lost(items: list[Json]) -> None:
    crossing = carry(to=KEEPS, input=[user("<begin>"), *items])
    body = json.loads(crossing.body)
    assert refusal(body, Rules()) is None
    carried = "\0".join(texts(body["messages"]))
    for item in items:
        reported = item["type"] == "reasoning" and "reasoning without a reply" in crossing.dropped
        for text in texts(item):
            if text.startswith("<"):
                assert text in carried or reported


TURNS = st.lists(
    st.one_of(
        st.builds(lambda a, b: [user(a), said(b)], WORDS, WORDS),
        st.builds(
            lambda a, n, outs: [
                user(a),
                said("calling"),
                *[call(f"c{i}") for i in range(n)],
                *[out(f"c{i}", outs) for i in range(n)],
            ],
            WORDS, st.integers(1, 3), WORDS | PARTS,
        ),
        st.builds(
            lambda a: [{"role": "developer", "content": a}, call("x"), call("x"), out("x")], WORDS
        ),
    ),
    min_size=2,
    max_size=5,
)  # fmt: skip


@given(TURNS)
def test_each_turn_begins_with_the_bytes_of_the_one_before(turns: list[list[Json]]) -> None:
    bodies = []
    for count in range(1, len(turns) + 1):
        items = [user("Hello."), *[item for turn in turns[:count] for item in turn]]
        bodies.append(json.dumps(sent(input=items)["messages"]))
    for before, after in zip(bodies, bodies[1:], strict=False):
        assert after.startswith(before[:-1])


@given(ITEMS)
def test_equal_requests_give_equal_bytes(items: list[Json]) -> None:
    request = {"input": [user("Hello."), *items], "temperature": 1, "top_p": 1}
    turned = dict(reversed(list(request.items())))
    assert carry(request).body == carry(turned).body
