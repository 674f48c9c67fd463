"""Compaction: the summary request, its reply, and later turns that contain the summary."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import CompactedResponse

from tests.strict_chat import Rules, body_fault
from tests.translate.support import (
    ACCOUNT,
    GENERIC,
    Json,
    check_well_formed,
    chunk,
    context_for,
    events_of,
    events_wire,
    output,
    provider,
    reply_events,
    responses_exchange,
    sent_messages,
    stream,
)
from translate import BadRequest, Exchange, Provider, start_compact_exchange
from translate.mappings.outcome import BYTES_PER_TOKEN, TOKENS_PER_PICTURE, estimate_tokens
from translate.state.compaction import (
    SUMMARY_HEADER,
    SUMMARY_PROMPT,
    SUMMARY_TOKENS,
    UNREADABLE_SUMMARY,
    fitting_units,
)
from translate.wire.envelope import Envelope, open_envelope, seal_envelope

TRIGGER = {"type": "compaction_trigger"}
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
CALL = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "seen"}
USAGE = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
TALK = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "Look."},
    CALL,
    OUTPUT,
    {"role": "assistant", "content": "Seen."},
]


def summary_request(*items: Json, to: Provider = GENERIC, **fields: Any) -> Exchange:
    return responses_exchange(to=to, input=[*items, TRIGGER], tools=[TOOL], **fields)


def upstream_body(exchange: Exchange) -> Json:
    body: Json = json.loads(exchange.body)
    return body


def summary_item(summary: str, provider_name: str = "odd", **state: Any) -> Json:
    sealed = seal_envelope(Envelope(provider_name, "m", {"summary": summary, **state}))
    return {"type": "compaction", "id": "cmp_1", "encrypted_content": sealed}


def compact_exchange(*items: Json, to: Provider = GENERIC, **fields: Any) -> Exchange:
    body = {"model": "gpt-5.5", "input": list(items), **fields}
    return start_compact_exchange(body, client="responses", context=context_for(to))


def user(text: str) -> Json:
    return {"role": "user", "content": text}


# The summary request


def test_summary_request_has_the_messages_and_tools_of_an_ordinary_turn() -> None:
    """They are the same to the byte, as the provider has them in its cache."""
    fields = {"tools": [TOOL], "parallel_tool_calls": False, "reasoning": {"effort": "low"}}
    ordinary = upstream_body(responses_exchange(input=TALK, **fields))
    request = upstream_body(responses_exchange(input=[*TALK, TRIGGER], **fields))
    *messages, prompt = request.pop("messages")
    assert json.dumps(messages) == json.dumps(ordinary.pop("messages"))
    assert prompt == user(SUMMARY_PROMPT)
    assert request.pop("tool_choice") == "none"
    assert json.dumps(request) == json.dumps(ordinary)
    assert (
        body_fault(json.loads(responses_exchange(input=[*TALK, TRIGGER], **fields).body), Rules())
        is None
    )


def test_summary_request_has_no_tools_without_a_tool_choice_none() -> None:
    forms = GENERIC.tool_choices - {"none"}
    body = upstream_body(
        summary_request(*TALK, to=provider(tool_choices=forms), parallel_tool_calls=False)
    )
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()
    assert body["messages"][-1] == user(SUMMARY_PROMPT)


def test_summary_request_keeps_allowed_tools_but_chooses_none() -> None:
    named = {"type": "allowed_tools", "mode": "required", "tools": [TOOL]}
    other = {**TOOL, "name": "other"}
    body = upstream_body(
        responses_exchange(input=[*TALK, TRIGGER], tools=[TOOL, other], tool_choice=named)
    )
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]
    assert body["tool_choice"] == "none"


@pytest.mark.parametrize("items", [[], [{"role": "developer", "content": "Be brief."}]])
def test_empty_conversation_cannot_be_compacted(items: list[Json]) -> None:
    with pytest.raises(BadRequest, match="nothing"):
        summary_request(*items)


def test_trigger_must_be_the_last_item() -> None:
    with pytest.raises(BadRequest) as error:
        responses_exchange(input=[user("A"), TRIGGER, user("B")])
    assert error.value.param == "input[1]"


def test_ordinary_input_is_no_trigger() -> None:
    for input_ in ("compaction_trigger", [user("compaction_trigger")]):
        assert SUMMARY_PROMPT not in responses_exchange(input=input_).body.decode()


# Histories beyond the window


def window_for(items: list[Json], less: int) -> int:
    """A context window that is `less` tokens too small for the conversation."""
    body = upstream_body(summary_request(*items))
    messages = [*body["messages"][:-1], {"content": SUMMARY_PROMPT}, *body["tools"]]
    need = sum(map(estimate_tokens, messages)) - less
    return next(
        size for size in range(need, need * 2) if size - min(SUMMARY_TOKENS, size // 4) >= need
    )


LONG = [
    TALK[0],
    user("first " * 100),
    {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
    {"type": "function_call", "call_id": "b", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "a", "output": "one " * 100},
    {
        "type": "function_call_output",
        "call_id": "b",
        "output": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}],
    },
    {"role": "assistant", "content": "second " * 100},
    user("last " * 100),
]


@pytest.mark.parametrize(
    ("less", "cut"),
    [(0, 0), (1, 1), (150, 1), (200, 5), (1_800, 5), (1_900, 6), (2_200, 6)],
)
def test_oldest_turns_are_left_out_until_the_rest_fits(less: int, cut: int) -> None:
    """Calls, outputs and the images in them stay together; the newest message stays."""
    small = provider(context_window=window_for(LONG, less))
    exchange = summary_request(*LONG, to=small)
    system, *conversation = upstream_body(exchange)["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    _, *all_messages = upstream_body(summary_request(*LONG))["messages"]
    if not cut:
        assert conversation == all_messages
        assert exchange.dropped == []
        return
    gap, *rest, prompt = conversation
    assert rest == all_messages[cut:-1]
    assert f"The {cut} oldest messages are not shown" in gap["content"]
    assert prompt == user(f"{SUMMARY_PROMPT}\n\n{gap['content']}")
    assert exchange.dropped == [f"input (the {cut} oldest messages)"]
    assert body_fault(upstream_body(exchange), Rules()) is None


def test_earlier_summary_and_instructions_always_stay() -> None:
    late = {"role": "developer", "content": "Be kind."}
    items = [user("first " * 500), summary_item("Old."), late, user("second " * 500), user("last")]
    small = provider(context_window=1_500, late_system_role="system")
    messages = upstream_body(summary_request(*items, to=small))["messages"]
    assert [message["content"][:9] for message in messages] == [
        "[The 2 ol", SUMMARY_HEADER[:9], "Be kind.", "last", SUMMARY_PROMPT[:9],
    ]  # fmt: skip


def test_images_of_any_size_count_the_same() -> None:
    small, large = (
        user([{"type": kind, "image_url": "A" * size}])  # type: ignore[arg-type]  # both forms
        for kind, size in (("input_image", 4), ("input_image", 4_000_000))
    )
    assert estimate_tokens(small) == estimate_tokens(large) < TOKENS_PER_PICTURE + 20
    assert estimate_tokens(user("x" * 4_000)) >= 4_000 // BYTES_PER_TOKEN


SIZES = st.lists(st.integers(0, 50), max_size=8)


@given(SIZES, st.integers(-10, 200))
def test_newest_units_are_the_ones_that_fit(sizes: list[int], room: int) -> None:
    units = [[user("x" * BYTES_PER_TOKEN * size)] for size in sizes]
    fitting = fitting_units(units, room)
    assert fitting == units[len(units) - len(fitting) :]
    assert bool(fitting) == bool(units)
    cost = [sum(map(estimate_tokens, unit)) for unit in units]
    assert len(fitting) <= 1 or sum(cost[len(units) - len(fitting) :]) <= room
    count = len(fitting) + 1
    assert count > len(units) or sum(cost[len(units) - count :]) > room


# The reply


def test_reply_is_one_item_with_the_summary_and_the_upstreams_usage() -> None:
    chunks = [chunk(reasoning_content="Hm."), chunk(content="The "), chunk(content="gist.\n")]
    events = reply_events(
        *chunks, chunk("stop"), {"choices": [], "usage": USAGE}, exchange=summary_request(*TALK)
    )
    [item] = output(events)
    assert item["type"] == "compaction"
    assert item["id"].startswith("cmp_")
    assert open_envelope(item["encrypted_content"]) == Envelope(
        "generic", "upstream-model", {"summary": "The gist."}
    )
    assert events[-1]["response"]["usage"]["total_tokens"] == 100
    assert [event["type"] for event in events] == [
        "response.created", "response.in_progress", "response.output_item.added",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("chunks", "code", "words"),
    [
        ([chunk("stop")], "server_error", "empty"),
        ([chunk(content=" \n"), chunk("stop")], "server_error", "empty"),
        ([chunk(reasoning_content="Hm."), chunk("stop")], "server_error", "empty"),
        ([chunk(refusal="No."), chunk("stop")], "invalid_prompt", "No."),
        ([chunk(content="Half"), chunk("length")], "invalid_prompt", "max_output_tokens"),
        ([chunk(content="Half"), chunk("content_filter")], "invalid_prompt", "content_filter"),
        ([chunk(content="Half"), chunk("error")], "server_error", "error"),
        ([chunk(content="Half"), {"error": {"message": "Broken"}}], "server_error", "Broken"),
        (
            [
                chunk(content="Let me look."),
                chunk("tool_calls", tool_calls=[{"id": "d", "function": {"name": "look"}}]),
            ],
            "server_error",
            "called a tool",
        ),
    ],
)
def test_incomplete_summary_is_a_failure(chunks: list[Json], code: str, words: str) -> None:
    events = reply_events(*chunks, exchange=summary_request(*TALK))
    error = events[-1]["response"]["error"]
    assert error["code"] == code
    assert words in error["message"]
    assert output(events) == []
    whole = summary_request(*TALK, stream=False).whole_reply(stream(*chunks))
    assert whole.status == (502 if code == "server_error" else 400)
    assert json.loads(whole.body)["error"]["message"] == error["message"]


def test_failure_has_the_usage() -> None:
    events = reply_events(
        chunk("stop"), {"choices": [], "usage": USAGE}, exchange=summary_request(*TALK)
    )
    assert events[-1]["response"]["usage"]["input_tokens"] == 90


def test_failure_of_a_blocked_account_says_when_it_resets() -> None:
    error = {"type": "usage_limit_reached", "message": "Used up.", "resets_in_seconds": 90}
    exchange = summary_request(*TALK, to=ACCOUNT)
    wire = exchange.feed(events_wire({"type": "response.failed", "response": {"error": error}}))
    reported = events_of(wire)[-1]["response"]["error"]
    assert (reported["type"], reported["resets_in_seconds"]) == ("usage_limit_reached", 90)


def test_lost_connection_is_a_failure_unless_the_summary_is_complete() -> None:
    for finish, ending in ((None, "response.failed"), ("stop", "response.completed")):
        exchange = summary_request(*TALK)
        wire = exchange.feed(stream(chunk(finish, content="Gist."), done=False))
        events = events_of(wire + exchange.interrupt("reset"))
        check_well_formed(events)
        assert events[-1]["type"] == ending


def test_heartbeats_continue_while_the_model_writes() -> None:
    exchange = summary_request(*TALK)
    wire = exchange.heartbeat() + exchange.heartbeat()
    for text in ("The ", "gist."):
        assert exchange.feed(stream(chunk(content=text), done=False)) == b""
        wire += exchange.heartbeat()
    wire += exchange.feed(stream(chunk("stop")))
    assert exchange.heartbeat() == exchange.feed(stream(chunk(content="More."))) == b""
    events = events_of(wire)
    check_well_formed(events)
    assert [event["type"] for event in events].count("response.in_progress") == 4


# Later turns


def test_summary_becomes_a_user_message_at_its_position() -> None:
    converted = sent_messages(user("A"), summary_item("The gist."), user("B"))
    assert converted == [user("A"), user(f"{SUMMARY_HEADER}\n\nThe gist."), user("B")]


def test_any_provider_gets_the_summary() -> None:
    events = reply_events(chunk("stop", content="The gist."), exchange=summary_request(*TALK))
    [message] = sent_messages(*output(events), to=provider(name="another", reasoning_back="never"))
    assert message["content"] == f"{SUMMARY_HEADER}\n\nThe gist."


@pytest.mark.parametrize(
    "sealed",
    [
        None, "", "gAAAAAB", seal_envelope(Envelope("odd", "m", {"reasoning": "Hm."})),
        seal_envelope(Envelope("odd", "m", {"summary": 5})),
        seal_envelope(Envelope("odd", "m", {"summary": ""})),
    ],
)  # fmt: skip
def test_summary_that_another_service_sealed_is_reported_and_leaves_a_note(
    sealed: str | None,
) -> None:
    item = {"type": "compaction", "encrypted_content": sealed}
    exchange = responses_exchange(input=[item, user("A")])
    assert exchange.dropped == ["input[0] (compaction)"]
    assert upstream_body(exchange)["messages"] == [user(UNREADABLE_SUMMARY), user("A")]


# POST …/responses/compact


def test_compact_returns_the_users_messages_and_the_summary() -> None:
    exchange = compact_exchange(*TALK, instructions="Be good.", stream=True)
    assert not exchange.streaming
    first, *_, prompt = upstream_body(exchange)["messages"]
    assert first["content"] == "Be good.\n\nBe brief."
    assert prompt == user(SUMMARY_PROMPT)
    reply = exchange.whole_reply(stream(chunk("stop", content="Gist."), {"usage": USAGE}))
    body = json.loads(reply.body)
    assert reply.status == 200
    assert (body["object"], body["id"], body["created_at"]) == ("response.compaction", "resp_1", 1)
    developer, user_item, item = body["output"]
    assert developer["role"] == "developer"
    assert user_item == {
        "type": "message", "id": "msg_1_1", "role": "user", "status": "completed",
        "content": [{"type": "input_text", "text": "Look."}],
    }  # fmt: skip
    assert item["type"] == "compaction"
    CompactedResponse.model_validate({**body, "output": [item]})  # its types have no user messages
    assert body["usage"]["total_tokens"] == 100
    again = sent_messages(*body["output"], user("Go on."))
    assert again == [
        {"role": "system", "content": "Be brief."}, user("Look."),
        user(f"{SUMMARY_HEADER}\n\nGist."),
        user("Go on."),
    ]  # fmt: skip


def test_compact_replaces_an_earlier_summary() -> None:
    exchange = compact_exchange(
        summary_item("Old."), {**user("A"), "id": "msg_a"}, {"role": "user"}, TRIGGER
    )
    assert f"{SUMMARY_HEADER}\n\nOld." in [
        message["content"] for message in upstream_body(exchange)["messages"]
    ]
    body = json.loads(exchange.whole_reply(stream(chunk("stop", content="New."))).body)
    assert [item["id"] for item in body["output"]] == ["msg_a", "msg_1_2", "cmp_1_0"]
    assert body["output"][1]["content"] == []
    assert body["usage"]["estimated"] is True


def test_compact_accepts_a_text_as_input() -> None:
    body = {"model": "m", "input": "Hello."}
    exchange = start_compact_exchange(body, client="responses", context=context_for())
    assert upstream_body(exchange)["messages"] == [user("Hello."), user(SUMMARY_PROMPT)]


def test_compact_keeps_messages_for_half_the_window() -> None:
    exchange = compact_exchange(
        *(user(f"{n} " * 400) for n in range(4)), to=provider(context_window=1000)
    )
    dropped = list(exchange.dropped)
    body = json.loads(exchange.whole_reply(stream(chunk("stop", content="Gist."))).body)
    assert [item["content"][0]["text"][0] for item in body["output"][:-1]] == ["2", "3"]
    assert exchange.dropped == [*dropped, "output (the 2 oldest messages)"]


@pytest.mark.parametrize("fields", [{"input": None}, {"input": ""}, {"input": []}, {}])
def test_compact_needs_an_input(fields: Json) -> None:
    with pytest.raises(BadRequest, match="nothing"):
        start_compact_exchange({"model": "m", **fields}, client="responses", context=context_for())


def test_compact_of_an_unknown_response_is_refused() -> None:
    with pytest.raises(BadRequest) as error:
        start_compact_exchange(
            {"model": "m", "previous_response_id": "resp_0"},
            client="responses", context=context_for()
        )  # fmt: skip
    assert error.value.code == "previous_response_not_found"


def test_compact_reports_a_failure_as_http_status() -> None:
    reply = compact_exchange(user("A")).whole_reply(stream(chunk("stop")))
    assert reply.status == 502
    assert "empty" in json.loads(reply.body)["error"]["message"]
