"""Calls, outputs and messages in any order become a conversation that Chat providers accept."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strict_chat import Rules, body_fault
from tests.translate.support import (
    Json,
    output,
    provider,
    reply_events,
    responses_exchange,
    sent_body,
    sent_messages,
)
from translate.request.conversation import NO_OUTPUT, output_positions


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def assistant(text: str) -> Json:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content}


def call_item(id: str, cmd: str = "ls") -> Json:
    arguments = json.dumps({"cmd": cmd})
    return {"type": "function_call", "call_id": id, "name": "run", "arguments": arguments}


def output_item(id: str, text: Any = "ok") -> Json:
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
        for message in sent_messages(*items)
    ]


def test_parallel_calls_are_one_message_with_their_outputs_behind() -> None:
    items = [call_item("a"), call_item("b"), output_item("b"), output_item("a"), assistant("Done.")]
    assert shape(*items) == ["assistant a b", "tool a", "tool b", "assistant"]


def test_sequential_calls_are_separate_messages() -> None:
    items = [call_item("a"), output_item("a"), call_item("b"), output_item("b")]
    assert shape(*items) == ["assistant a", "tool a", "assistant b", "tool b"]


def test_text_and_calls_of_a_turn_are_one_message() -> None:
    converted = sent_messages(
        assistant("One."), call_item("a"), assistant("Two."), output_item("a")
    )
    assert converted[0]["content"] == "One.\nTwo." and converted[0]["tool_calls"]


def test_messages_between_call_and_output_move_behind_the_outputs() -> None:
    items = [
        call_item("a"),
        user("u"),
        call_item("b"),
        output_item("a"),
        user("v"),
        output_item("b"),
        user("w"),
    ]
    assert shape(*items) == [
        *["assistant a", "tool a", "user", "assistant b", "tool b", "user", "user"]
    ]


def test_output_without_a_call_becomes_text_that_names_the_call() -> None:
    [message] = sent_messages(output_item("lost", "the text"))
    assert message["role"] == "user"
    assert "lost" in message["content"] and "the text" in message["content"]


def test_output_before_its_call_does_not_answer_it() -> None:
    items = [output_item("a"), call_item("a")]
    assert shape(*items) == ["user", "assistant a", "tool a"]
    assert sent_messages(*items)[2]["content"] == NO_OUTPUT


def test_second_output_of_a_call_becomes_text() -> None:
    assert shape(call_item("a"), output_item("a", "1"), output_item("a", "2")) == [
        "assistant a",
        "tool a",
        "user",
    ]


def test_call_without_an_output_gets_one() -> None:
    converted = sent_messages(call_item("a"), call_item("b"), output_item("b"), user("Next."))
    assert [message.get("content") for message in converted] == [None, NO_OUTPUT, "ok", "Next."]


def test_empty_output_stays_empty() -> None:
    assert sent_messages(call_item("a"), output_item("a", ""))[1]["content"] == ""
    assert sent_messages(call_item("a"), output_item("a", []))[1]["content"] == ""


def test_duplicate_ids_are_made_unique_and_paired_in_order() -> None:
    items = [
        call_item("a", "1"),
        call_item("a", "2"),
        output_item("a", "1"),
        output_item("a", "2"),
        call_item("a_2"),
        output_item("a_2"),
    ]
    assert shape(*items) == [
        *["assistant a a_2", "tool a", "tool a_2", "assistant a_2_2", "tool a_2_2"]
    ]
    assert [m["content"] for m in sent_messages(*items) if m["role"] == "tool"] == ["1", "2", "ok"]


def test_output_answers_the_call_of_its_own_turn() -> None:
    converted = sent_messages(
        call_item("a", "1"), user("Stop."), call_item("a", "2"), output_item("a", "two")
    )
    assert [message["content"] for message in converted] == [None, NO_OUTPUT, "Stop.", None, "two"]


def test_reply_never_reuses_an_id_of_the_history() -> None:
    exchange = responses_exchange(input=[call_item("a"), output_item("a"), user("Again.")])
    delta = {"index": 0, "id": "a", "function": {"name": "run", "arguments": "{}"}}
    [item] = output(
        reply_events({"choices": [{"delta": {"tool_calls": [delta]}}]}, exchange=exchange)
    )
    assert item["call_id"] != "a"


def test_calls_and_outputs_of_different_types_pair_by_id() -> None:
    items = [
        {"type": "custom_tool_call", "call_id": "a", "name": "p", "input": "x"},
        {"type": "function_call_output", "call_id": "a", "output": "ok"},
    ]
    assert output_positions(items) == {0: 1}
    assert shape(*items) == ["assistant a", "tool a"]


def test_media_of_outputs_follow_all_outputs() -> None:
    image = [{"type": "input_image", "image_url": "https://example.com/a.png"}]
    converted = sent_messages(
        call_item("a"),
        call_item("b"),
        output_item("a", image),
        output_item("b", "text"),
        user("Next."),
    )
    assert [message["role"] for message in converted] == [
        "assistant",
        "tool",
        "tool",
        "user",
        "user",
    ]
    assert converted[3]["content"][0] == {"type": "text", "text": "[output of a]"}


def test_reasoning_alone_makes_no_message_and_is_reported() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    exchange = responses_exchange(
        to=provider(reasoning_back="reasoning_content"), input=[user("a"), thought, user("b")]
    )
    assert [m["content"] for m in json.loads(exchange.body)["messages"]] == ["a", "b"]
    assert exchange.dropped == ["reasoning without a reply"]


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
        st.builds(call_item, IDS, WORDS),
        st.builds(output_item, IDS, WORDS | PARTS),
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
KEEPS_REASONING = provider(reasoning_back="reasoning_content")


def texts(value: Any) -> list[str]:
    """All texts in a value, also those inside JSON strings."""
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
    exchange = responses_exchange(to=KEEPS_REASONING, input=[user("<begin>"), *items])
    body = json.loads(exchange.body)
    assert body_fault(body, Rules()) is None
    sent_texts = "\0".join(texts(body["messages"]))
    for item in items:
        reported = item["type"] == "reasoning" and "reasoning without a reply" in exchange.dropped
        for text in texts(item):
            if text.startswith("<"):
                assert text in sent_texts or reported


TURNS = st.lists(
    st.one_of(
        st.builds(lambda a, b: [user(a), assistant(b)], WORDS, WORDS),
        st.builds(
            lambda a, n, outs: [
                user(a),
                assistant("calling"),
                *[call_item(f"c{i}") for i in range(n)],
                *[output_item(f"c{i}", outs) for i in range(n)],
            ],
            WORDS, st.integers(1, 3), WORDS | PARTS,
        ),
        st.builds(
            lambda a: [
                {"role": "developer", "content": a},
                *[call_item("x"), call_item("x"), output_item("x")],
            ],
            WORDS,
        ),
    ),
    min_size=2,
    max_size=5,
)  # fmt: skip


@given(TURNS)
def test_longer_conversation_begins_with_the_bytes_of_the_shorter_one(
    turns: list[list[Json]],
) -> None:
    bodies = []
    for count in range(1, len(turns) + 1):
        items = [user("Hello."), *[item for turn_items in turns[:count] for item in turn_items]]
        bodies.append(json.dumps(sent_body(input=items)["messages"]))
    for shorter, longer in zip(bodies, bodies[1:], strict=False):
        assert longer.startswith(shorter[:-1])


@given(ITEMS)
def test_equal_requests_give_equal_bytes(items: list[Json]) -> None:
    request = {"input": [user("Hello."), *items], "temperature": 1, "top_p": 1}
    reordered = dict(reversed(list(request.items())))
    assert responses_exchange(request).body == responses_exchange(reordered).body
