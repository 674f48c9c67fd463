"""The reply of a Responses upstream as Chat chunks: the laws, over every case and any input."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tests.translate.cases import CASES, CHATS, Case
from tests.translate.reply.test_responses_to_responses import EVENTS, added, delta, done, message
from tests.translate.support import (
    ACCOUNT,
    DONE,
    PROVIDERS,
    TEXTS,
    Json,
    answered,
    ask,
    carry,
    chunk,
    chunks_of,
    events_of,
    events_wire,
    feed_every_way,
    lawful_chunks,
    newlines,
    pieces,
    stream,
)
from translate.mappings import annotations as citations
from translate.mappings import reasoning
from translate.mappings.outcome import usage_to_chat, usage_to_responses
from translate.reply.responses_to_chat import fold

REPLIES = [case for case in CHATS if case.reply]
each = pytest.mark.parametrize("case", REPLIES, ids=str)
COMPLETED = {"type": "response.completed", "response": {"status": "completed"}}
NATIVE = PROVIDERS["responses"]


def run(case: Case, parts: Iterable[bytes]) -> bytes:
    crossing = case.carry()
    crossing.streaming = True
    return b"".join(crossing.feed(part) for part in parts) + crossing.feed(b"")


def told(*events: Json, to: Any = ACCOUNT, **fields: Any) -> list[Json]:
    crossing = ask(fields, to=to)
    return lawful_chunks(crossing.feed(events_wire(*events)) + crossing.feed(b""))


def answer(*events: Json, **fields: Any) -> Json:
    """The one choice of the folded answer."""
    choice: Json = fold(told(*events, COMPLETED, **fields))["choices"][0]
    return choice


# 1. every split


@each
def test_every_split_gives_the_same_chunks(case: Case) -> None:
    feed_every_way(lambda parts: run(case, parts), case.reply, every=0)


@each
@settings(max_examples=10)
@given(st.data())
def test_any_cuts_give_the_same_chunks(case: Case, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(newlines(case.reply)))
    assert run(case, data.draw(pieces(form))) == run(case, [case.reply])


# 3. pair


def by_sdk(chunks: list[Json]) -> Json:
    """What the official SDK makes of chunks."""
    state = ChatCompletionStreamState()
    for one in chunks:
        head = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        state.handle_chunk(ChatCompletionChunk.model_validate({**head, **one}))
    folded: Json = state.current_completion_snapshot.model_dump()
    return folded


def essence(folded: Json) -> Json:
    """What was said, thought and called, and how it ended; paragraphs aside."""
    [choice] = folded["choices"]
    message, usage = choice["message"], folded["usage"] or {}
    calls = message.get("tool_calls") or []
    return {
        **{name: _joined(message.get(name)) for name in SAID},
        "calls": [(c["id"], c.get("function") and _pair(c["function"])) for c in calls],
        "finish": choice["finish_reason"],
        "usage": [usage.get(name) for name in ("prompt_tokens", "completion_tokens")],
    }


SAID = ("content", "refusal", "reasoning_content")


def _joined(text: str | None) -> str:
    return (text or "").replace("\n\n", "")


def _pair(function: Json) -> tuple[str, str]:
    return function["name"], function["arguments"]


IDS = st.lists(st.text("abc", min_size=1, max_size=3), max_size=3, unique=True)
WORDS = st.text("xyz é🍞", min_size=1, max_size=4).map(lambda text: f"w{text}w")


@st.composite
def replies(draw: st.DrawFn) -> list[Json]:
    """Chunks of a well-behaved Chat upstream."""
    chunks = [chunk(reasoning_content=text) for text in draw(st.lists(WORDS, max_size=3))]
    chunks += [chunk(content=text) for text in draw(st.lists(WORDS, max_size=3))]
    chunks += [chunk(refusal=text) for text in draw(st.lists(WORDS, max_size=1))]
    begun = {"role": "assistant", "content": ""}
    ids = draw(IDS) if len(chunks) else ["a"]
    for index, id in enumerate(ids):
        arguments = json.dumps({"a": draw(WORDS)})
        cut = draw(st.integers(0, len(arguments)))
        head = {"name": "f", "arguments": arguments[:cut]}
        call = {"index": index, "id": id, "type": "function", "function": head}
        rest = {"index": index, "function": {"arguments": arguments[cut:]}}
        chunks += [chunk(tool_calls=[call]), chunk(tool_calls=[rest])]
    finish = draw(st.sampled_from(["length", "content_filter", "tool_calls" if ids else "stop"]))
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return [chunk(**begun), *chunks, chunk(finish), {"choices": [], "usage": usage}]


TOOL: Json = {"type": "function", "name": "f"}


@given(replies())
def test_chat_to_responses_and_back_is_what_it_was(chunks: list[Json]) -> None:
    up = carry(tools=[TOOL])
    events = up.feed(stream(*chunks)) + up.feed(b"")
    down = ask(stream_options={"include_usage": True})
    made = lawful_chunks(down.feed(events) + down.feed(b""))
    expected = essence(by_sdk(chunks))
    if expected["finish"] == "stop" and not expected["content"] + expected["refusal"]:
        expected["content"] = expected["reasoning_content"]  # thinking alone is the answer
    assert essence(fold(made)) == expected
    assert essence(by_sdk(made)) == expected


def of_response(response: Json) -> Json:
    """The same of a Responses reply."""
    output, usage = response["output"], response["usage"]
    parts = [p for item in output if item["type"] == "message" for p in item["content"]]
    thoughts = [item for item in output if item["type"] == "reasoning"]
    calls = [item for item in output if item["type"] == "function_call"]
    reason = (response["incomplete_details"] or {}).get("reason")
    called = any(item["type"] in ("function_call", "custom_tool_call") for item in output)
    return {
        "content": _joined("".join(part.get("text", "") for part in parts)),
        "refusal": _joined("".join(part.get("refusal", "") for part in parts)),
        "reasoning_content": _joined("".join(reasoning.summary(one) for one in thoughts)),
        "calls": [(item["call_id"], _pair(item)) for item in calls],
        "finish": FINISH.get(reason, "tool_calls" if called else "stop"),
        "usage": [usage["input_tokens"], usage["output_tokens"]],
    }


FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
ENDED = [
    case
    for case in CASES
    if case.reply and case.carry().streaming and "compaction" not in str(case)
]


@pytest.mark.parametrize("case", ENDED, ids=str)
def test_reply_of_every_case_is_the_same_in_chat_and_back(case: Case) -> None:
    crossing = case.carry()
    events = crossing.feed(case.reply) + crossing.feed(b"")
    response = events_of(events)[-1]["response"]
    down = ask(stream_options={"include_usage": True})
    wire = down.feed(events) + down.feed(b"")
    chunks = lawful_chunks(wire)
    if response["status"] == "failed":
        assert chunks[-1]["error"]["code"] == response["error"]["code"]
        return
    made, expected = essence(fold(chunks)), of_response(response)
    made["calls"] = [call for call in made["calls"] if call[1]]  # custom ones have no function
    if response["status"] == "incomplete":  # a call that was cut off stays as it was told
        made["calls"] = made["calls"][: len(expected["calls"])]
    assert made == expected
    if all(item["type"] in ("message", "function_call") for item in response["output"]):
        again = carry(tools=[TOOL])
        back = events_of(again.feed(wire) + again.feed(b""))[-1]["response"]
        assert of_response(back) == expected


@given(replies())
def test_chat_to_chat_is_what_it_was(chunks: list[Json]) -> None:
    passed = ask(to=PROVIDERS["generic"], stream_options={"include_usage": True})
    made = lawful_chunks(passed.feed(stream(*chunks)) + passed.feed(b""))
    expected = essence(by_sdk(chunks))
    if expected["finish"] == "stop" and not expected["content"] + expected["refusal"]:
        expected["content"] = expected["reasoning_content"]  # thinking alone is the answer
    assert essence(fold(made)) == expected


# 4. well-formed, also where a reply breaks off

ENDS = (b"response.completed", b"response.incomplete", b'"finish_reason": "')


@each
def test_reply_that_breaks_off_anywhere_ends_once(case: Case) -> None:
    blocks = case.reply.split(b"\n\n")
    for count in range(len(blocks)):
        crossing = case.carry()
        crossing.streaming = True
        sent = b"\n\n".join(blocks[:count]) + b"\n\n"
        wire = crossing.feed(sent) + crossing.heartbeat() + crossing.cut("connection reset")
        chunks = lawful_chunks(wire)
        assert any(end in sent for end in ENDS) or "error" in chunks[-1]
        assert crossing.feed(case.reply) == crossing.cut("again") == crossing.heartbeat() == b""


@each
def test_heartbeats_anywhere_are_comments(case: Case) -> None:
    crossing = case.carry()
    crossing.streaming = True
    blocks = case.reply.split(b"\n\n")
    wire = b"".join(crossing.heartbeat() + crossing.feed(block + b"\n\n") for block in blocks)
    made = chunks_of(wire + crossing.feed(b""))
    assert [one for one in made if one] == chunks_of(run(case, [case.reply]))
    assert {} in made


# 5. total


@settings(max_examples=300)
@given(st.lists(EVENTS, max_size=7), st.sampled_from([ACCOUNT, NATIVE]), st.booleans())
def test_any_events_make_a_well_formed_reply(events: list[Json], to: Any, legacy: bool) -> None:
    named = {"functions": [{"name": "f"}]} if legacy else {}
    crossing = ask(named, to=to)
    lawful_chunks(crossing.feed(events_wire(*events)) + crossing.feed(b""))


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_make_a_well_formed_reply(parts: list[bytes]) -> None:
    crossing = ask()
    wire = b"".join(crossing.feed(part) for part in parts if part)
    lawful_chunks(wire + crossing.feed(b""))


@given(st.binary())
def test_any_whole_body_becomes_an_answer(body: bytes) -> None:
    assert json.loads(ask(stream=False).whole(body).body)


@each
@settings(max_examples=8)
@given(st.data())
def test_damaged_reply_ends_well_formed(case: Case, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(case.reply)))
    damage = data.draw(st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"\n\n", b"data:"]))
    lawful_chunks(run(case, [case.reply[:at] + damage + case.reply[at + len(damage) :]]))


# 6. typed, and the same with and without a stream


@each
def test_fold_is_what_the_sdk_makes_and_what_is_answered_whole(case: Case) -> None:
    chunks = lawful_chunks(run(case, [case.reply]))
    whole = case.carry().whole(case.reply)
    body = json.loads(whole.body)
    if "error" in chunks[-1]:
        assert whole.status >= 400 and body == chunks[-1]
        return
    folded = answered(fold(chunks))
    assert folded["choices"] == answered(body)["choices"]
    if "custom" not in json.dumps(chunks):  # of which the SDK's types do not know
        assert essence(by_sdk(chunks)) == essence(folded)


def test_whole_answer_has_its_usage_unasked() -> None:
    wire = events_wire(done(message("Hi.")), COMPLETED)
    assert json.loads(ask(stream=False).whole(wire).body)["usage"]["prompt_tokens"] > 0
    assert all("usage" not in one for one in told(done(message("Hi.")), COMPLETED))


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_usage_survives_the_round_trip(spent: int, cached: int, thought: int, odd: bool) -> None:
    chat = {
        "prompt_tokens": spent, "completion_tokens": thought, "total_tokens": spent + thought,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }  # fmt: skip
    usage = usage_to_responses(chat) | ({"estimated": True} if odd else {})
    assert usage_to_responses(usage_to_chat(usage)) | ({"estimated": True} if odd else {}) == usage


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_citation_survives_the_round_trip(offset: int, start: int, length: int) -> None:
    one = {"type": "url_citation", "url": "u", "title": "t", "start_index": start,
           "end_index": start + length}  # fmt: skip
    [found] = citations.annotated({"annotations": [citations.to_chat(one, offset)]})
    assert citations.to_responses(found, offset, start + length) == one


# what a client sees


def test_stream_ends_with_done_unless_it_failed() -> None:
    crossing = ask()
    assert chunks_of(crossing.feed(events_wire(done(message("Hi.")), COMPLETED)))[-1] is DONE
    assert chunks_of(ask().feed(events_wire({"type": "error", "message": "x"})))[-1].keys() == {
        "error"
    }


def test_first_delta_alone_has_the_role() -> None:
    first, second, *_ = told(delta("output_text", "A"), delta("output_text", "B"), COMPLETED)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "A"}
    assert second["choices"][0]["delta"] == {"content": "B"}


def test_second_call_for_a_client_of_the_time_before_tools_is_reported() -> None:
    calls = [
        {"type": "custom_tool_call", "call_id": "a", "name": "p", "input": "x"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
    ]
    crossing = ask(functions=[{"name": "f"}])
    events = [done(call, output_index=n) for n, call in enumerate(calls)]
    made = lawful_chunks(crossing.feed(events_wire(*events, COMPLETED)))
    assert fold(made)["choices"][0]["finish_reason"] == "function_call"
    assert crossing.dropped == ["tool_calls (a function_call holds one)"]


def test_thinking_before_each_call_has_its_own_seal() -> None:
    thoughts = [{"type": "reasoning", "id": f"rs_{n}", "summary": []} for n in range(2)]
    items = [*thoughts, message("B")]
    made = answer(*[done(one, output_index=n) for n, one in enumerate(items)])["message"]
    assert [one["index"] for one in made["reasoning_details"]] == [0, 1]
    again = [{"role": "user", "content": "A"}, {**made, "content": "B"}]
    [_, *back, _] = json.loads(ask(messages=again).body)["input"]
    assert back == thoughts


def test_exchange_knows_how_far_its_response_is() -> None:
    crossing = ask()
    assert crossing.response["status"] == "in_progress"
    crossing.feed(events_wire(done(message("Hi.")), COMPLETED))
    assert crossing.response["status"] == "completed"
    talk = crossing.conversation()
    assert talk and [one["role"] for one in talk["messages"]] == ["user", "assistant"]


def test_conversation_has_what_was_thought_and_called_as_chat_has_it() -> None:
    """Whoever sealed the thinking; what only pleases a server is not in it."""
    words = [{"type": "summary_text", "text": "Hm."}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": words, "encrypted_content": "gAAA"}
    call = {"type": "custom_tool_call", "call_id": "c", "name": "note", "input": "a"}
    first = answer(done(thought), done(call, output_index=1))["message"]
    messages = [{"role": "user", "content": "A"}, first]
    messages += [{"role": "tool", "tool_call_id": "c", "content": "noted"}]
    crossing = ask(messages=messages, tools=[{"type": "custom", "custom": {"name": "note"}}])
    crossing.feed(events_wire(done(message("B")), COMPLETED))
    talk = crossing.conversation()
    assert talk and talk["tools"][0]["function"]["name"] == "note"
    arguments = '{"input":"a"}'
    called = {"id": "c", "type": "function", "function": {"name": "note", "arguments": arguments}}
    assert talk["messages"] == [
        {"role": "user", "content": "A"},
        {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": "noted"},
        {"role": "assistant", "content": "B"},
    ]


def test_sealed_thinking_of_one_upstream_is_words_to_another() -> None:
    words = [{"type": "summary_text", "text": "Hm."}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": words, "encrypted_content": "gAAA"}
    made = answer(done(thought), done(message("B"), output_index=1))["message"]
    talk = [{"role": "user", "content": "A"}, made, {"role": "user", "content": "C"}]
    crossing = ask(messages=talk, to=PROVIDERS["deepseek"])
    assert json.loads(crossing.body)["messages"][1]["reasoning_content"] == "Hm."
    other = PROVIDERS["responses"].model_copy(update={"reasoning_back": "reasoning_content"})
    item = json.loads(ask(messages=talk, to=other).body)["input"][1]
    assert item["content"] == [{"type": "reasoning_text", "text": "Hm."}]


def test_picture_alone_is_no_conversation() -> None:
    crossing = ask()
    painted = {"type": "image_generation_call", "id": "ig", "result": "UklGRg=="}
    crossing.feed(events_wire(done(painted), COMPLETED))
    assert crossing.response["status"] == "completed"
    assert crossing.conversation() is None


def test_upstream_that_cannot_be_reached_is_an_error_both_ways() -> None:
    reply = ask().unreachable("refused")
    assert reply.status == 502 and lawful_chunks(reply.event) == [json.loads(reply.body)]


def test_unnamed_call_is_told_all_the_same() -> None:
    call = {"type": "function_call", "call_id": "a", "arguments": "{}"}
    [made] = answer(done(call))["message"]["tool_calls"]
    assert made["function"] == {"name": "", "arguments": "{}"}


def test_text_of_any_kind_is_told_word_for_word() -> None:
    @given(st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
    def law(texts: list[str]) -> None:
        item = {"type": "message", "role": "assistant", "content": []}
        deltas = [delta("output_text", text) for text in texts]
        said = answer(added(item), *deltas)["message"]["content"]
        assert said.encode("utf-16", "surrogatepass") == "".join(texts).encode(
            "utf-16", "surrogatepass"
        )

    law()


def test_a_last_line_is_no_ending_of_a_reply() -> None:
    crossing = ask()
    [last] = lawful_chunks(crossing.feed(b"data: [DONE]\n\n"))
    assert "stopped in mid-reply" in last["error"]["message"]
