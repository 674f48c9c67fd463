"""What is kept of a response, and what is made of it again."""

from typing import Any

import pytest
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from tests.translate.support import PLAIN, carry, chunk, messages, replied, stream
from translate import BadRequest, Exchange, Kept, Way, compact, exchange, history, listed

HELLO = {"model": "gpt-5.5", "input": "Hello."}
SUMMARY = {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}


def kept(*input: Any, output: Any = (), **fields: Any) -> Kept:
    response = {"id": "resp_a", "previous_response_id": None, "output": list(output), **fields}
    return Kept(list(input), response)


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
            "content": [part]}  # fmt: skip


def keeping(taken: list[Kept], cross: Any = exchange, **fields: Any) -> Exchange:
    way = Way(PLAIN, "m", "resp_1", 1, keep=taken.append, history=(), clock=lambda: 7)
    made: Exchange = cross({**HELLO, **fields}, client="responses", way=way)
    return made


def test_what_is_kept_is_there_before_the_end_is_handed_out() -> None:
    taken: list[Kept] = []
    made = keeping(taken, stream=True, previous_response_id="resp_0")
    made.feed(stream(chunk(content="Hi."), done=False))
    assert not taken
    events = made.feed(stream(chunk("stop")))
    assert b"response.completed" in events
    [one] = taken
    assert (one.id, one.previous) == ("resp_1", "resp_0")
    assert one.input == [user("Hello.")]
    assert one.response is made.response
    assert one.response["store"] is True and one.response["completed_at"] == 7
    made.feed(b"")
    assert made.cut("late") == b"" and len(taken) == 1


def test_whole_replies_are_kept_as_streamed_ones() -> None:
    taken: list[Kept] = []
    reply = keeping(taken).whole(stream(chunk("length", content="Hi.")))
    assert reply.status == 200
    assert [one.response["status"] for one in taken] == ["incomplete"]
    assert taken[0].response["completed_at"] is None


def test_a_reply_that_was_whole_when_its_upstream_broke_off_is_kept() -> None:
    taken: list[Kept] = []
    made = keeping(taken, stream=True)
    made.feed(stream(chunk("stop", content="Hi."), done=False))
    assert not taken and b"response.completed" in made.cut("reset")
    assert len(taken) == 1


def test_what_failed_or_was_not_to_be_kept_is_not() -> None:
    taken: list[Kept] = []
    for made in (keeping(taken, stream=True), keeping(taken, compact)):
        made.cut("reset")
    keeping(taken, compact).whole(stream(chunk("stop", content="The gist.")))
    unwanted = keeping(taken, store=False)
    unwanted.whole(stream(chunk("stop", content="Hi.")))
    assert not taken and unwanted.response["store"] is False


def test_store_is_reported_as_lost_only_where_nobody_keeps() -> None:
    assert keeping([], store=True).dropped == []
    assert carry(store=True).dropped == ["store"]
    assert replied(chunk("stop", content="Hi."), by=carry())[-1]["response"]["store"] is False


def test_a_trigger_is_no_part_of_the_history() -> None:
    taken: list[Kept] = []
    made = keeping(taken, input=[user("Hello."), {"type": "compaction_trigger"}])
    made.whole(stream(chunk("stop", content="The gist.")))
    assert taken[0].input == [user("Hello.")]
    assert [item["type"] for item in history(taken)] == ["compaction"]


def test_history_is_input_and_output_in_turns() -> None:
    first, second = kept(user("a"), output=[said("b")]), kept(user("c"), output=[said("d")])
    assert history([first, second]) == [user("a"), said("b"), user("c"), said("d")]
    assert history([]) == []
    asked = [*history([first, second]), user("e")]
    roles = ["user", "assistant", "user", "assistant", "user"]
    assert [one["role"] for one in messages(*asked)] == roles


def test_a_summary_stands_for_all_before_it() -> None:
    first, second = kept(user("a"), output=[said("b")]), kept(user("c"), output=[SUMMARY])
    assert history([first, second, kept(user("d"))]) == [SUMMARY, user("d")]


def test_places_are_those_of_the_clients_own_input() -> None:
    way = Way(PLAIN, "m", "resp_1", 1, history=[user("One."), {"type": "old"}, said("Two.")])
    more = {"previous_response_id": "resp_0"}
    asked = {**HELLO, **more, "input": [{"type": "new"}, user("Hello.")]}
    made = exchange(asked, client="responses", way=way)
    assert made.dropped == ["history[1] (old)", "input[0] (new)"]
    nameless = {"type": "additional_tools", "tools": [{"type": "function"}]}
    for item, place in (
        ({"role": "nobody", "content": "x"}, "input[1].role"),
        ({"id": "x"}, "input[1].type"),
        (nameless, "input[1].tools[0].name"),
    ):
        with pytest.raises(BadRequest) as told:
            asked = {**HELLO, **more, "input": [user("Hello."), item]}
            exchange(asked, client="responses", way=way)
        assert told.value.param == place


def test_the_compact_route_goes_on_from_kept_responses() -> None:
    before = history([kept(user("a"), output=[said("b")])])
    way = Way(PLAIN, "m", "resp_1", 1, history=before)
    body = {"model": "m", "previous_response_id": "resp_a"}
    made = compact(body, client="responses", way=way)
    made.whole(stream(chunk("stop", content="The gist.")))
    assert b'"content":"a"' in made.body
    answer = made.whole(b"").body
    assert b'"text":"a"' in answer and b'"compaction"' in answer


def test_dump_and_load() -> None:
    one = kept(user("caf\u00e9 \U0001f389"), output=[said("b")], previous_response_id="resp_0")
    assert Kept.load(one.dump()) == one
    assert one.previous == "resp_0"


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
FOUND = {"type": "function_call_output", "call_id": "c", "output": "1"}
ITEMS: list[tuple[dict[str, Any], str]] = [
    (user("a"), "msg"),
    ({"role": "developer", "content": "a"}, "msg"),
    ({"role": "user", "content": [{"type": "input_text", "text": "a"}]}, "msg"),
    ({"role": "assistant", "content": "a"}, "msg"),
    (CALL, "fc"),
    (FOUND, "item"),
    ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}, "item"),
    ({"type": "custom_tool_call_output", "call_id": "c", "output": "1"}, "item"),
    ({"type": "reasoning", "summary": []}, "rs"),
    ({"type": "compaction", "encrypted_content": "x"}, "item"),
]


@pytest.mark.parametrize(("item", "prefix"), ITEMS)
def test_listed_items_are_the_sdks(item: dict[str, Any], prefix: str) -> None:
    [made] = listed(kept(item))
    assert made["id"] == f"{prefix}_a_in_0"
    TypeAdapter(ResponseItem).validate_python(made)


def test_ids_and_statuses_of_the_clients_own_stay() -> None:
    assert listed(kept({**CALL, "id": "fc_9", "status": "incomplete"}))[0] == {
        **CALL, "id": "fc_9", "status": "incomplete"}  # fmt: skip
    assert listed(kept({"role": "user", "content": None}))[0]["content"] == []
