"""Stored responses: what is stored, and how a conversation continues from them."""

from typing import Any

import pytest
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from tests.translate.support import (
    GENERIC,
    chunk,
    reply_events,
    responses_exchange,
    sent_messages,
    stream,
)
from translate import (
    BadRequest,
    Exchange,
    ExchangeContext,
    StoredResponse,
    history_items,
    list_input_items,
    start_compact_exchange,
    start_exchange,
)

HELLO = {"model": "gpt-5.5", "input": "Hello."}
SUMMARY = {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}


def stored_response(*input: Any, output: Any = (), **fields: Any) -> StoredResponse:
    response = {"id": "resp_a", "previous_response_id": None, "output": list(output), **fields}
    return StoredResponse(list(input), response)


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
            "content": [part]}  # fmt: skip


def storing_exchange(
    stored: list[StoredResponse], start: Any = start_exchange, **fields: Any
) -> Exchange:
    context = ExchangeContext(
        GENERIC, "m", "resp_1", 1, store_response=stored.append, history=(), clock=lambda: 7
    )
    exchange: Exchange = start({**HELLO, **fields}, client="responses", context=context)
    return exchange


def test_response_is_stored_before_the_client_gets_its_end() -> None:
    stored: list[StoredResponse] = []
    exchange = storing_exchange(stored, stream=True, previous_response_id="resp_0")
    exchange.feed(stream(chunk(content="Hi."), done=False))
    assert not stored
    events = exchange.feed(stream(chunk("stop")))
    assert b"response.completed" in events
    [response] = stored
    assert (response.id, response.previous_id) == ("resp_1", "resp_0")
    assert response.input == [user("Hello.")]
    assert response.response is exchange.response
    assert response.response["store"] is True and response.response["completed_at"] == 7
    exchange.feed(b"")
    assert exchange.interrupt("late") == b"" and len(stored) == 1


def test_whole_replies_are_stored_like_streamed_ones() -> None:
    stored: list[StoredResponse] = []
    reply = storing_exchange(stored).whole_reply(stream(chunk("length", content="Hi.")))
    assert reply.status == 200
    assert [response.response["status"] for response in stored] == ["incomplete"]
    assert stored[0].response["completed_at"] is None


def test_complete_reply_is_stored_though_the_connection_is_lost() -> None:
    stored: list[StoredResponse] = []
    exchange = storing_exchange(stored, stream=True)
    exchange.feed(stream(chunk("stop", content="Hi."), done=False))
    assert not stored and b"response.completed" in exchange.interrupt("reset")
    assert len(stored) == 1


def test_failed_and_compacted_replies_and_store_false_are_not_stored() -> None:
    stored: list[StoredResponse] = []
    for exchange in (
        storing_exchange(stored, stream=True),
        storing_exchange(stored, start_compact_exchange),
    ):
        exchange.interrupt("reset")
    storing_exchange(stored, start_compact_exchange).whole_reply(
        stream(chunk("stop", content="The gist."))
    )
    unwanted = storing_exchange(stored, store=False)
    unwanted.whole_reply(stream(chunk("stop", content="Hi.")))
    assert not stored and unwanted.response["store"] is False


def test_store_is_dropped_only_where_the_relay_stores_nothing() -> None:
    assert storing_exchange([], store=True).dropped == []
    assert responses_exchange(store=True).dropped == ["store"]
    assert (
        reply_events(chunk("stop", content="Hi."), exchange=responses_exchange())[-1]["response"][
            "store"
        ]
        is False
    )


def test_trigger_is_not_part_of_the_history() -> None:
    stored: list[StoredResponse] = []
    exchange = storing_exchange(stored, input=[user("Hello."), {"type": "compaction_trigger"}])
    exchange.whole_reply(stream(chunk("stop", content="The gist.")))
    assert stored[0].input == [user("Hello.")]
    assert [item["type"] for item in history_items(stored)] == ["compaction"]


def test_history_alternates_input_and_output() -> None:
    first, second = (
        stored_response(user("a"), output=[assistant("b")]),
        stored_response(user("c"), output=[assistant("d")]),
    )
    assert history_items([first, second]) == [user("a"), assistant("b"), user("c"), assistant("d")]
    assert history_items([]) == []
    items = [*history_items([first, second]), user("e")]
    roles = ["user", "assistant", "user", "assistant", "user"]
    assert [message["role"] for message in sent_messages(*items)] == roles


def test_summary_replaces_all_items_before_it() -> None:
    first, second = (
        stored_response(user("a"), output=[assistant("b")]),
        stored_response(user("c"), output=[SUMMARY]),
    )
    assert history_items([first, second, stored_response(user("d"))]) == [SUMMARY, user("d")]


def test_paths_count_from_the_clients_own_input() -> None:
    context = ExchangeContext(
        GENERIC, "m", "resp_1", 1, history=[user("One."), {"type": "old"}, assistant("Two.")]
    )
    previous = {"previous_response_id": "resp_0"}
    request = {**HELLO, **previous, "input": [{"type": "new"}, user("Hello.")]}
    exchange = start_exchange(request, client="responses", context=context)
    assert exchange.dropped == ["history[1] (old)", "input[0] (new)"]
    nameless = {"type": "additional_tools", "tools": [{"type": "function"}]}
    for item, path in (
        ({"role": "nobody", "content": "x"}, "input[1].role"),
        ({"id": "x", "content": "x"}, "input[1].type"),
        ({"id": "x"}, "input[1]"),
        (nameless, "input[1].tools[0].name"),
    ):
        with pytest.raises(BadRequest) as error:
            request = {**HELLO, **previous, "input": [user("Hello."), item]}
            start_exchange(request, client="responses", context=context)
        assert error.value.param == path


def test_compact_continues_from_stored_responses() -> None:
    history = history_items([stored_response(user("a"), output=[assistant("b")])])
    context = ExchangeContext(GENERIC, "m", "resp_1", 1, history=history)
    body = {"model": "m", "previous_response_id": "resp_a"}
    exchange = start_compact_exchange(body, client="responses", context=context)
    exchange.whole_reply(stream(chunk("stop", content="The gist.")))
    assert b'"content":"a"' in exchange.body
    answer = exchange.whole_reply(b"").body
    assert b'"text":"a"' in answer and b'"compaction"' in answer


def test_dump_and_load_are_inverse() -> None:
    original = stored_response(
        user("caf\u00e9 \U0001f389"), output=[assistant("b")], previous_response_id="resp_0"
    )
    assert StoredResponse.load(original.dump()) == original
    assert original.previous_id == "resp_0"


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
CALL_OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "1"}
ITEMS: list[tuple[dict[str, Any], str]] = [
    (user("a"), "msg"),
    ({"role": "developer", "content": "a"}, "msg"),
    ({"role": "user", "content": [{"type": "input_text", "text": "a"}]}, "msg"),
    ({"role": "assistant", "content": "a"}, "msg"),
    (CALL, "fc"),
    (CALL_OUTPUT, "item"),
    ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}, "item"),
    ({"type": "custom_tool_call_output", "call_id": "c", "output": "1"}, "item"),
    ({"type": "reasoning", "summary": []}, "rs"),
    ({"type": "compaction", "encrypted_content": "x"}, "item"),
]


@pytest.mark.parametrize(("item", "prefix"), ITEMS)
def test_listed_items_fit_the_sdks_types(item: dict[str, Any], prefix: str) -> None:
    [listed_item] = list_input_items(stored_response(item))
    assert listed_item["id"] == f"{prefix}_a_in_0"
    TypeAdapter(ResponseItem).validate_python(listed_item)


def test_listed_items_keep_the_clients_ids_and_statuses() -> None:
    assert list_input_items(stored_response({**CALL, "id": "fc_9", "status": "incomplete"}))[0] == {
        **CALL, "id": "fc_9", "status": "incomplete"}  # fmt: skip
    assert list_input_items(stored_response({"role": "user", "content": None}))[0]["content"] == []
