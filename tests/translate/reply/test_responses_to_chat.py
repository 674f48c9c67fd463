"""The reply of a Responses upstream as Chat chunks: the laws, over every case and any input."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tests.translate.cases import CHAT_CASES, RESPONSES_CASES, Case
from tests.translate.reply.test_responses_to_responses import (
    EVENTS,
    added_event,
    delta_event,
    done_event,
    message_item,
)
from tests.translate.support import (
    ACCOUNT,
    DONE,
    PROVIDERS,
    TEXTS,
    Json,
    chat_exchange,
    chunk,
    chunks_of,
    events_of,
    events_wire,
    feed_every_way,
    lawful_chunks,
    lawful_completion,
    newlines,
    pieces,
    responses_exchange,
    stream,
)
from translate.mappings import annotations, reasoning
from translate.mappings.outcome import COMPLETED as COMPLETED_OUTCOME
from translate.mappings.outcome import FAILED, usage_to_chat, usage_to_responses
from translate.reply.event_writer import Event
from translate.reply.responses_to_chat import ResponsesToChat, fold_chunks
from translate.reply.responses_to_responses import ResponsesToResponses
from translate.tools.tool_map import ToolMap
from translate.wire.errors import Failure

REPLIES = [case for case in CHAT_CASES if case.reply]
each = pytest.mark.parametrize("case", REPLIES, ids=str)
COMPLETED = {"type": "response.completed", "response": {"status": "completed"}}
NATIVE = PROVIDERS["responses"]


def run(case: Case, parts: Iterable[bytes]) -> bytes:
    exchange = case.start_exchange()
    exchange.streaming = True
    return b"".join(exchange.feed(part) for part in parts) + exchange.feed(b"")


def chunks_for(*events: Json, to: Any = ACCOUNT, **fields: Any) -> list[Json]:
    exchange = chat_exchange(fields, to=to)
    return lawful_chunks(exchange.feed(events_wire(*events)) + exchange.feed(b""))


def folded_choice(*events: Json, **fields: Any) -> Json:
    """The choice of the folded reply."""
    choice: Json = fold_chunks(chunks_for(*events, COMPLETED, **fields))["choices"][0]
    return choice


# 1. every split


@each
def test_every_split_gives_the_same_chunks(case: Case) -> None:
    feed_every_way(lambda parts: run(case, parts), case.reply, cut_limit=0)


@each
@settings(max_examples=10)
@given(st.data())
def test_any_cuts_give_the_same_chunks(case: Case, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(newlines(case.reply)))
    assert run(case, data.draw(pieces(form))) == run(case, [case.reply])


# 3. pair


def sdk_completion(chunks: list[Json]) -> Json:
    """The completion that the official SDK folds from chunks."""
    state = ChatCompletionStreamState()
    for piece in chunks:
        head = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        state.handle_chunk(ChatCompletionChunk.model_validate({**head, **piece}))
    folded: Json = state.current_completion_snapshot.model_dump()
    return folded


def essence(folded: Json) -> Json:
    """Text, reasoning, calls and ending of a completion; paragraphs do not count."""
    [choice] = folded["choices"]
    message, usage = choice["message"], folded["usage"] or {}
    calls = message.get("tool_calls") or []
    return {
        **{name: _joined(message.get(name)) for name in TEXT_NAMES},
        "calls": [(c["id"], c.get("function") and _pair(c["function"])) for c in calls],
        "finish": choice["finish_reason"],
        "usage": [usage.get(name) for name in ("prompt_tokens", "completion_tokens")],
    }


TEXT_NAMES = ("content", "refusal", "reasoning_content")


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
def test_chat_to_responses_and_back_preserves_the_reply(chunks: list[Json]) -> None:
    up = responses_exchange(tools=[TOOL])
    events = up.feed(stream(*chunks)) + up.feed(b"")
    down = chat_exchange(stream_options={"include_usage": True})
    chat_chunks = lawful_chunks(down.feed(events) + down.feed(b""))
    expected = essence(sdk_completion(chunks))
    if expected["finish"] == "stop" and not expected["content"] + expected["refusal"]:
        # reasoning alone is shown as the answer
        expected["content"] = expected["reasoning_content"]
    assert essence(fold_chunks(chat_chunks)) == expected
    assert essence(sdk_completion(chat_chunks)) == expected


def response_essence(response: Json) -> Json:
    """The `essence` of a Responses reply."""
    output, usage = response["output"], response["usage"]
    parts = [p for item in output if item["type"] == "message" for p in item["content"]]
    reasoning_items = [item for item in output if item["type"] == "reasoning"]
    calls = [item for item in output if item["type"] == "function_call"]
    reason = (response["incomplete_details"] or {}).get("reason")
    has_calls = any(item["type"] in ("function_call", "custom_tool_call") for item in output)
    return {
        "content": _joined("".join(part.get("text", "") for part in parts)),
        "refusal": _joined("".join(part.get("refusal", "") for part in parts)),
        "reasoning_content": _joined(
            "".join(reasoning.reasoning_text(item) for item in reasoning_items)
        ),
        "calls": [(item["call_id"], _pair(item)) for item in calls],
        "finish": FINISH.get(reason, "tool_calls" if has_calls else "stop"),
        "usage": [usage["input_tokens"], usage["output_tokens"]],
    }


FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
STREAMED_CASES = [
    case
    for case in RESPONSES_CASES
    if case.reply and case.start_exchange().streaming and "compaction" not in str(case)
]


@pytest.mark.parametrize("case", STREAMED_CASES, ids=str)
def test_reply_of_every_case_survives_chat_and_back(case: Case) -> None:
    exchange = case.start_exchange()
    events = exchange.feed(case.reply) + exchange.feed(b"")
    response = events_of(events)[-1]["response"]
    down = chat_exchange(stream_options={"include_usage": True})
    wire = down.feed(events) + down.feed(b"")
    chunks = lawful_chunks(wire)
    if response["status"] == "failed":
        assert chunks[-1]["error"]["code"] == response["error"]["code"]
        return
    result, expected = essence(fold_chunks(chunks)), response_essence(response)
    result["calls"] = [call for call in result["calls"] if call[1]]  # custom calls have no function
    if response["status"] == "incomplete":  # an incomplete call is not finished
        result["calls"] = result["calls"][: len(expected["calls"])]
    assert result == expected
    if all(item["type"] in ("message", "function_call") for item in response["output"]):
        again = responses_exchange(tools=[TOOL])
        back = events_of(again.feed(wire) + again.feed(b""))[-1]["response"]
        assert response_essence(back) == expected


@given(replies())
def test_chat_to_chat_preserves_the_reply(chunks: list[Json]) -> None:
    exchange = chat_exchange(to=PROVIDERS["generic"], stream_options={"include_usage": True})
    chat_chunks = lawful_chunks(exchange.feed(stream(*chunks)) + exchange.feed(b""))
    expected = essence(sdk_completion(chunks))
    if expected["finish"] == "stop" and not expected["content"] + expected["refusal"]:
        # reasoning alone is shown as the answer
        expected["content"] = expected["reasoning_content"]
    assert essence(fold_chunks(chat_chunks)) == expected


# 4. well-formed, also where the connection is lost

ENDS = (b"response.completed", b"response.incomplete", b'"finish_reason": "')


@each
def test_interrupted_reply_ends_once(case: Case) -> None:
    blocks = case.reply.split(b"\n\n")
    for count in range(len(blocks)):
        exchange = case.start_exchange()
        exchange.streaming = True
        sent = b"\n\n".join(blocks[:count]) + b"\n\n"
        wire = exchange.feed(sent) + exchange.heartbeat() + exchange.interrupt("connection reset")
        chunks = lawful_chunks(wire)
        assert any(end in sent for end in ENDS) or "error" in chunks[-1]
        assert (
            exchange.feed(case.reply) == exchange.interrupt("again") == exchange.heartbeat() == b""
        )


@each
def test_heartbeats_anywhere_are_comments(case: Case) -> None:
    exchange = case.start_exchange()
    exchange.streaming = True
    blocks = case.reply.split(b"\n\n")
    wire = b"".join(exchange.heartbeat() + exchange.feed(block + b"\n\n") for block in blocks)
    received = chunks_of(wire + exchange.feed(b""))
    assert [piece for piece in received if piece] == chunks_of(run(case, [case.reply]))
    assert {} in received


# 5. total


@settings(max_examples=300)
@given(st.lists(EVENTS, max_size=7), st.sampled_from([ACCOUNT, NATIVE]), st.booleans())
def test_any_events_make_a_well_formed_reply(events: list[Json], to: Any, legacy: bool) -> None:
    functions = {"functions": [{"name": "f"}]} if legacy else {}
    exchange = chat_exchange(functions, to=to)
    lawful_chunks(exchange.feed(events_wire(*events)) + exchange.feed(b""))


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_make_a_well_formed_reply(parts: list[bytes]) -> None:
    exchange = chat_exchange()
    wire = b"".join(exchange.feed(part) for part in parts if part)
    lawful_chunks(wire + exchange.feed(b""))


@given(st.binary())
def test_any_whole_body_becomes_a_reply(body: bytes) -> None:
    assert json.loads(chat_exchange(stream=False).whole_reply(body).body)


@each
@settings(max_examples=8)
@given(st.data())
def test_damaged_reply_ends_well_formed(case: Case, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(case.reply)))
    damage = data.draw(st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"\n\n", b"data:"]))
    lawful_chunks(run(case, [case.reply[:at] + damage + case.reply[at + len(damage) :]]))


# 6. typed, and the same with and without a stream


@each
def test_folded_chunks_equal_the_sdks_fold_and_the_whole_reply(case: Case) -> None:
    chunks = lawful_chunks(run(case, [case.reply]))
    whole = case.start_exchange().whole_reply(case.reply)
    body = json.loads(whole.body)
    if "error" in chunks[-1]:
        assert whole.status >= 400 and body == chunks[-1]
        return
    folded = lawful_completion(fold_chunks(chunks))
    assert folded["choices"] == lawful_completion(body)["choices"]
    if "custom" not in json.dumps(chunks):  # the SDK's types have no custom calls
        assert essence(sdk_completion(chunks)) == essence(folded)


def test_whole_reply_always_has_usage() -> None:
    wire = events_wire(done_event(message_item("Hi.")), COMPLETED)
    assert (
        json.loads(chat_exchange(stream=False).whole_reply(wire).body)["usage"]["prompt_tokens"] > 0
    )
    assert all(
        "usage" not in piece for piece in chunks_for(done_event(message_item("Hi.")), COMPLETED)
    )


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
    annotation = {"type": "url_citation", "url": "u", "title": "t", "start_index": start,
           "end_index": start + length}  # fmt: skip
    [citation] = annotations.delta_citations(
        {"annotations": [annotations.annotation_to_chat(annotation, offset)]}
    )
    assert annotations.annotation_to_responses(citation, offset, start + length) == annotation


# The client's chunks


def test_stream_ends_with_done_unless_it_failed() -> None:
    exchange = chat_exchange()
    assert (
        chunks_of(exchange.feed(events_wire(done_event(message_item("Hi.")), COMPLETED)))[-1]
        is DONE
    )
    assert chunks_of(chat_exchange().feed(events_wire({"type": "error", "message": "x"})))[
        -1
    ].keys() == {"error"}


def test_first_delta_alone_has_the_role() -> None:
    first, second, *_ = chunks_for(
        delta_event("output_text", "A"), delta_event("output_text", "B"), COMPLETED
    )
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "A"}
    assert second["choices"][0]["delta"] == {"content": "B"}


def test_second_call_for_a_legacy_client_is_dropped_and_reported() -> None:
    calls = [
        {"type": "custom_tool_call", "call_id": "a", "name": "p", "input": "x"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
    ]
    exchange = chat_exchange(functions=[{"name": "f"}])
    events = [done_event(call, output_index=n) for n, call in enumerate(calls)]
    chunks = lawful_chunks(exchange.feed(events_wire(*events, COMPLETED)))
    assert fold_chunks(chunks)["choices"][0]["finish_reason"] == "function_call"
    assert exchange.dropped == ["tool_calls (a function_call holds one)"]


def test_each_reasoning_item_has_its_own_sealed_detail() -> None:
    reasoning_items = [{"type": "reasoning", "id": f"rs_{n}", "summary": []} for n in range(2)]
    items = [*reasoning_items, message_item("B")]
    answer_message = folded_choice(
        *[done_event(item, output_index=n) for n, item in enumerate(items)]
    )["message"]
    assert [item["index"] for item in answer_message["reasoning_details"]] == [0, 1]
    again = [{"role": "user", "content": "A"}, {**answer_message, "content": "B"}]
    [_, *back, _] = json.loads(chat_exchange(messages=again).body)["input"]
    assert back == reasoning_items


def test_exchange_has_the_response_so_far() -> None:
    exchange = chat_exchange()
    assert exchange.response["status"] == "in_progress"
    exchange.feed(events_wire(done_event(message_item("Hi.")), COMPLETED))
    assert exchange.response["status"] == "completed"
    conversation = exchange.chat_conversation()
    assert conversation and [entry["role"] for entry in conversation["messages"]] == [
        "user",
        "assistant",
    ]


def test_conversation_has_reasoning_and_calls_in_chats_form() -> None:
    """Reasoning is readable, and fields that only some server demands are left out."""
    words = [{"type": "summary_text", "text": "Hm."}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": words, "encrypted_content": "gAAA"}
    call = {"type": "custom_tool_call", "call_id": "c", "name": "note", "input": "a"}
    first = folded_choice(done_event(thought), done_event(call, output_index=1))["message"]
    messages = [{"role": "user", "content": "A"}, first]
    messages += [{"role": "tool", "tool_call_id": "c", "content": "noted"}]
    exchange = chat_exchange(
        messages=messages, tools=[{"type": "custom", "custom": {"name": "note"}}]
    )
    exchange.feed(events_wire(done_event(message_item("B")), COMPLETED))
    conversation = exchange.chat_conversation()
    assert conversation and conversation["tools"][0]["function"]["name"] == "note"
    arguments = '{"input":"a"}'
    tool_call = {
        "id": "c",
        "type": "function",
        "function": {"name": "note", "arguments": arguments},
    }
    assert conversation["messages"] == [
        {"role": "user", "content": "A"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Hm.",
            "tool_calls": [tool_call],
        },
        {"role": "tool", "tool_call_id": "c", "content": "noted"},
        {"role": "assistant", "content": "B"},
    ]


def test_another_upstream_gets_sealed_reasoning_as_text() -> None:
    words = [{"type": "summary_text", "text": "Hm."}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": words, "encrypted_content": "gAAA"}
    answer_message = folded_choice(
        done_event(thought), done_event(message_item("B"), output_index=1)
    )["message"]
    talk = [{"role": "user", "content": "A"}, answer_message, {"role": "user", "content": "C"}]
    exchange = chat_exchange(messages=talk, to=PROVIDERS["deepseek"])
    assert json.loads(exchange.body)["messages"][1]["reasoning_content"] == "Hm."
    other = PROVIDERS["responses"].model_copy(update={"reasoning_back": "reasoning_content"})
    item = json.loads(chat_exchange(messages=talk, to=other).body)["input"][1]
    assert item["content"] == [{"type": "reasoning_text", "text": "Hm."}]


def test_image_alone_is_no_conversation() -> None:
    exchange = chat_exchange()
    painted = {"type": "image_generation_call", "id": "ig", "result": "UklGRg=="}
    exchange.feed(events_wire(done_event(painted), COMPLETED))
    assert exchange.response["status"] == "completed"
    assert exchange.chat_conversation() is None


def test_unreachable_upstream_is_an_error_in_body_and_stream() -> None:
    reply = chat_exchange().unreachable_reply("refused")
    assert reply.status == 502 and lawful_chunks(reply.stream_events) == [json.loads(reply.body)]


def test_call_without_a_name_has_an_empty_name() -> None:
    call = {"type": "function_call", "call_id": "a", "arguments": "{}"}
    [tool_call] = folded_choice(done_event(call))["message"]["tool_calls"]
    assert tool_call["function"] == {"name": "", "arguments": "{}"}


def test_any_text_arrives_unchanged() -> None:
    @given(st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
    def law(texts: list[str]) -> None:
        item = {"type": "message", "role": "assistant", "content": []}
        deltas = [delta_event("output_text", text) for text in texts]
        content = folded_choice(added_event(item), *deltas)["message"]["content"]
        assert content.encode("utf-16", "surrogatepass") == "".join(texts).encode(
            "utf-16", "surrogatepass"
        )

    law()


def test_done_mark_alone_does_not_complete_a_reply() -> None:
    exchange = chat_exchange()
    [last] = lawful_chunks(exchange.feed(b"data: [DONE]\n\n"))
    assert "stopped in mid-reply" in last["error"]["message"]


class OddMachine(ResponsesToResponses):
    """Ends as completed with an event that no Chat chunk can be made of."""

    def mark_done(self) -> list[Event]:
        self._writer.emit_opening()
        self.outcome = COMPLETED_OUTCOME
        self._writer.end_response("completed")
        return [{"type": "response.completed", "response": {}}]


def test_reply_whose_end_cannot_be_written_fails_once() -> None:
    machine = ResponsesToChat(
        {"id": "resp_1", "created_at": 1, "model": "m", "status": "in_progress", "output": []},
        tools=ToolMap(NATIVE),
        provider=NATIVE,
        model="m",
        request_body=b"{}",
        new_inner_machine=OddMachine,
    )
    with pytest.raises(KeyError):
        machine.mark_done()
    assert machine.outcome is None
    failure = Failure(502, "server_error", "It broke.")
    [error] = machine.fail(failure)
    assert error["error"]["message"] == "It broke."
    assert machine.failure is failure and machine.outcome is FAILED
    assert machine.response["status"] == "failed"
    assert machine.response["error"]["code"] == "server_error"
    assert machine.fail(failure) == [] and machine.close() == []
