"""Compaction: what is asked of the model, what becomes of its answer, what of that later."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import CompactedResponse

from tests.strict_chat import Rules, refusal
from tests.translate.support import (
    PLAIN,
    Json,
    carry,
    chunk,
    events_of,
    messages,
    output,
    provider,
    replied,
    stream,
    way,
    well_formed,
)
from translate import BadRequest, Exchange, Provider, compact
from translate.mappings.outcome import BYTES, PICTURE, tokens
from translate.state.compaction import HEAD, PROMPT, ROOM, UNREADABLE, fitting
from translate.wire.envelope import Envelope, seal, unseal

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


def asked(*items: Json, to: Provider = PLAIN, **fields: Any) -> Exchange:
    return carry(to=to, input=[*items, TRIGGER], tools=[TOOL], **fields)


def body_of(crossing: Exchange) -> Json:
    body: Json = json.loads(crossing.body)
    return body


def item_of(summary: str, by: str = "odd", **state: Any) -> Json:
    sealed = seal(Envelope(by, "m", {"summary": summary, **state}))
    return {"type": "compaction", "id": "cmp_1", "encrypted_content": sealed}


def compacted(*items: Json, to: Provider = PLAIN, **fields: Any) -> Exchange:
    body = {"model": "gpt-5.5", "input": list(items), **fields}
    return compact(body, client="responses", way=way(to))


def user(text: str) -> Json:
    return {"role": "user", "content": text}


# The summary request


def test_messages_and_tools_are_those_of_the_ordinary_turn() -> None:
    """To the byte: the provider has them in its cache."""
    fields = {"tools": [TOOL], "parallel_tool_calls": False, "reasoning": {"effort": "low"}}
    ordinary = body_of(carry(input=TALK, **fields))
    request = body_of(carry(input=[*TALK, TRIGGER], **fields))
    *before, prompt = request.pop("messages")
    assert json.dumps(before) == json.dumps(ordinary.pop("messages"))
    assert prompt == user(PROMPT)
    assert request.pop("tool_choice") == "none"
    assert json.dumps(request) == json.dumps(ordinary)
    assert refusal(json.loads(carry(input=[*TALK, TRIGGER], **fields).body), Rules()) is None


def test_tools_stay_away_where_there_is_no_choice_of_none() -> None:
    forms = PLAIN.tool_choices - {"none"}
    body = body_of(asked(*TALK, to=provider(tool_choices=forms), parallel_tool_calls=False))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()
    assert body["messages"][-1] == user(PROMPT)


def test_choice_of_the_client_gives_way_but_its_list_of_allowed_tools_holds() -> None:
    named = {"type": "allowed_tools", "mode": "required", "tools": [TOOL]}
    other = {**TOOL, "name": "other"}
    body = body_of(carry(input=[*TALK, TRIGGER], tools=[TOOL, other], tool_choice=named))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]
    assert body["tool_choice"] == "none"


@pytest.mark.parametrize("before", [[], [{"role": "developer", "content": "Be brief."}]])
def test_nothing_cannot_be_summarised(before: list[Json]) -> None:
    with pytest.raises(BadRequest, match="nothing"):
        asked(*before)


def test_trigger_must_be_the_last_item() -> None:
    with pytest.raises(BadRequest) as refused:
        carry(input=[user("A"), TRIGGER, user("B")])
    assert refused.value.param == "input[1]"


def test_ordinary_input_is_not_taken_for_a_trigger() -> None:
    for input_ in ("compaction_trigger", [user("compaction_trigger")]):
        assert PROMPT not in carry(input=input_).body.decode()


# Histories beyond the window


def window_for(items: list[Json], less: int) -> int:
    """A window into which a history fits but for `less` tokens."""
    body = body_of(asked(*items))
    talk = [*body["messages"][:-1], {"content": PROMPT}, *body["tools"]]
    need = sum(map(tokens, talk)) - less
    return next(size for size in range(need, need * 2) if size - min(ROOM, size // 4) >= need)


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
def test_oldest_turns_go_until_the_rest_fits(less: int, cut: int) -> None:
    """Calls, outputs and the pictures in them stay together; the newest message stays."""
    small = provider(context_window=window_for(LONG, less))
    crossing = asked(*LONG, to=small)
    system, *talk = body_of(crossing)["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    _, *whole = body_of(asked(*LONG))["messages"]
    if not cut:
        assert talk == whole
        assert crossing.dropped == []
        return
    gap, *rest, prompt = talk
    assert rest == whole[cut:-1]
    assert f"The {cut} oldest messages are not shown" in gap["content"]
    assert prompt == user(f"{PROMPT}\n\n{gap['content']}")
    assert crossing.dropped == [f"input (the {cut} oldest messages)"]
    assert refusal(body_of(crossing), Rules()) is None


def test_earlier_summary_and_instructions_outlast_what_is_older_and_newer() -> None:
    late = {"role": "developer", "content": "Be kind."}
    items = [user("first " * 500), item_of("Old."), late, user("second " * 500), user("last")]
    small = provider(context_window=1_500, late_system_role="system")
    made = body_of(asked(*items, to=small))["messages"]
    assert [message["content"][:9] for message in made] == [
        "[The 2 ol", HEAD[:9], "Be kind.", "last", PROMPT[:9],
    ]  # fmt: skip


def test_picture_costs_the_same_whatever_its_bytes() -> None:
    small, large = (
        user([{"type": kind, "image_url": "A" * size}])  # type: ignore[arg-type]  # both forms
        for kind, size in (("input_image", 4), ("input_image", 4_000_000))
    )
    assert tokens(small) == tokens(large) < PICTURE + 20
    assert tokens(user("x" * 4_000)) >= 4_000 // BYTES


SIZES = st.lists(st.integers(0, 50), max_size=8)


@given(SIZES, st.integers(-10, 200))
def test_what_fits_is_the_newest(sizes: list[int], room: int) -> None:
    units = [[user("x" * BYTES * size)] for size in sizes]
    kept = fitting(units, room)
    assert kept == units[len(units) - len(kept) :]
    assert bool(kept) == bool(units)
    cost = [sum(map(tokens, unit)) for unit in units]
    assert len(kept) <= 1 or sum(cost[len(units) - len(kept) :]) <= room
    more = len(kept) + 1
    assert more > len(units) or sum(cost[len(units) - more :]) > room


# The reply


def test_answer_is_one_item_with_the_summary_and_the_real_usage() -> None:
    said = [chunk(reasoning_content="Hm."), chunk(content="The "), chunk(content="gist.\n")]
    events = replied(*said, chunk("stop"), {"choices": [], "usage": USAGE}, by=asked(*TALK))
    [item] = output(events)
    assert item["type"] == "compaction"
    assert item["id"].startswith("cmp_")
    assert unseal(item["encrypted_content"]) == Envelope(
        "generic", "upstream-model", {"summary": "The gist."}
    )
    assert events[-1]["response"]["usage"]["total_tokens"] == 100
    assert [event["type"] for event in events] == [
        "response.created", "response.in_progress", "response.output_item.added",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("chunks", "code", "said"),
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
def test_anything_but_a_whole_summary_is_a_failure(
    chunks: list[Json], code: str, said: str
) -> None:
    events = replied(*chunks, by=asked(*TALK))
    error = events[-1]["response"]["error"]
    assert error["code"] == code
    assert said in error["message"]
    assert output(events) == []
    whole = asked(*TALK, stream=False).whole(stream(*chunks))
    assert whole.status == (502 if code == "server_error" else 400)
    assert json.loads(whole.body)["error"]["message"] == error["message"]


def test_failure_tells_what_was_spent() -> None:
    events = replied(chunk("stop"), {"choices": [], "usage": USAGE}, by=asked(*TALK))
    assert events[-1]["response"]["usage"]["input_tokens"] == 90


def test_upstream_that_dies_is_a_failure_unless_the_summary_was_whole() -> None:
    for finish, ending in ((None, "response.failed"), ("stop", "response.completed")):
        crossing = asked(*TALK)
        wire = crossing.feed(stream(chunk(finish, content="Gist."), done=False))
        events = events_of(wire + crossing.cut("reset"))
        well_formed(events)
        assert events[-1]["type"] == ending


def test_heartbeats_go_on_while_the_model_writes() -> None:
    crossing = asked(*TALK)
    wire = crossing.heartbeat() + crossing.heartbeat()
    for text in ("The ", "gist."):
        assert crossing.feed(stream(chunk(content=text), done=False)) == b""
        wire += crossing.heartbeat()
    wire += crossing.feed(stream(chunk("stop")))
    assert crossing.heartbeat() == crossing.feed(stream(chunk(content="More."))) == b""
    events = events_of(wire)
    well_formed(events)
    assert [event["type"] for event in events].count("response.in_progress") == 4


# Later turns


def test_summary_becomes_a_users_message_in_its_place() -> None:
    made = messages(user("A"), item_of("The gist."), user("B"))
    assert made == [user("A"), user(f"{HEAD}\n\nThe gist."), user("B")]


def test_made_item_is_read_by_any_provider() -> None:
    events = replied(chunk("stop", content="The gist."), by=asked(*TALK))
    [made] = messages(*output(events), to=provider(name="another", reasoning_back="never"))
    assert made["content"] == f"{HEAD}\n\nThe gist."


@pytest.mark.parametrize(
    "sealed",
    [
        None, "", "gAAAAAB", seal(Envelope("odd", "m", {"reasoning": "Hm."})),
        seal(Envelope("odd", "m", {"summary": 5})), seal(Envelope("odd", "m", {"summary": ""})),
    ],
)  # fmt: skip
def test_item_that_is_not_ours_is_reported_and_leaves_a_note(sealed: str | None) -> None:
    item = {"type": "compaction", "encrypted_content": sealed}
    crossing = carry(input=[item, user("A")])
    assert crossing.dropped == ["input[0] (compaction)"]
    assert body_of(crossing)["messages"] == [user(UNREADABLE), user("A")]


# POST …/responses/compact


def test_compact_gives_back_the_users_words_and_the_item() -> None:
    crossing = compacted(*TALK, instructions="Be good.", stream=True)
    assert not crossing.streaming
    made = body_of(crossing)["messages"]
    assert made[0]["content"] == "Be good.\n\nBe brief."
    assert made[-1] == user(PROMPT)
    reply = crossing.whole(stream(chunk("stop", content="Gist."), {"usage": USAGE}))
    body = json.loads(reply.body)
    assert reply.status == 200
    assert (body["object"], body["id"], body["created_at"]) == ("response.compaction", "resp_1", 1)
    developer, said, item = body["output"]
    assert developer["role"] == "developer"
    assert said == {
        "type": "message", "id": "msg_1_1", "role": "user", "status": "completed",
        "content": [{"type": "input_text", "text": "Look."}],
    }  # fmt: skip
    assert item["type"] == "compaction"
    CompactedResponse.model_validate({**body, "output": [item]})  # its types know no user's message
    assert body["usage"]["total_tokens"] == 100
    again = messages(*body["output"], user("Go on."))
    assert again == [
        {"role": "system", "content": "Be brief."}, user("Look."), user(f"{HEAD}\n\nGist."),
        user("Go on."),
    ]  # fmt: skip


def test_compact_replaces_an_earlier_summary() -> None:
    crossing = compacted(item_of("Old."), {**user("A"), "id": "msg_a"}, {"role": "user"}, TRIGGER)
    assert f"{HEAD}\n\nOld." in [message["content"] for message in body_of(crossing)["messages"]]
    body = json.loads(crossing.whole(stream(chunk("stop", content="New."))).body)
    assert [item["id"] for item in body["output"]] == ["msg_a", "msg_1_2", "cmp_1_0"]
    assert body["output"][1]["content"] == []
    assert body["usage"]["estimated"] is True


def test_compact_takes_a_text_as_input() -> None:
    body = {"model": "m", "input": "Hello."}
    crossing = compact(body, client="responses", way=way())
    assert body_of(crossing)["messages"] == [user("Hello."), user(PROMPT)]


def test_compact_keeps_no_more_words_than_half_the_window() -> None:
    crossing = compacted(*(user(f"{n} " * 400) for n in range(4)), to=provider(context_window=1000))
    dropped = list(crossing.dropped)
    body = json.loads(crossing.whole(stream(chunk("stop", content="Gist."))).body)
    assert [item["content"][0]["text"][0] for item in body["output"][:-1]] == ["2", "3"]
    assert crossing.dropped == [*dropped, "output (the 2 oldest messages)"]


@pytest.mark.parametrize("fields", [{"input": None}, {"input": ""}, {"input": []}, {}])
def test_compact_needs_an_input(fields: Json) -> None:
    with pytest.raises(BadRequest, match="nothing"):
        compact({"model": "m", **fields}, client="responses", way=way())


def test_compact_of_a_stored_response_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        compact(
            {"model": "m", "previous_response_id": "resp_0"},
            client="responses", way=way()
        )  # fmt: skip
    assert refused.value.code == "previous_response_not_found"


def test_compact_tells_a_failure_as_http() -> None:
    reply = compacted(user("A")).whole(stream(chunk("stop")))
    assert reply.status == 502
    assert "empty" in json.loads(reply.body)["error"]["message"]
