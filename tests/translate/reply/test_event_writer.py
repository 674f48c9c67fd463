"""The events of a reply: their numbers, ids and order; a written event never changes."""

from copy import deepcopy

import pytest

from translate.reply.event_writer import (
    ITEMS_LIMIT,
    LOSS_LENGTH,
    LOSSES_LIMIT,
    MORE_LOSSES,
    EventWriter,
)
from translate.wire.errors import BadReply


def new_writer() -> EventWriter:
    return EventWriter({"id": "resp_1", "status": "in_progress", "output": []})


def test_events_are_numbered_and_drained_once() -> None:
    writer = new_writer()
    assert writer.emit_opening() and not writer.emit_opening()
    writer.emit("response.odd", x=1)
    events = writer.drain()
    types = [event["type"] for event in events]
    assert types == ["response.created", "response.in_progress", "response.odd"]
    assert [event["sequence_number"] for event in events] == [0, 1, 2]
    assert events[2]["x"] == 1 and writer.drain() == []


def test_items_have_the_index_and_the_id_of_their_position() -> None:
    writer = new_writer()
    first = writer.open_item("msg", {"type": "message"})
    second = writer.open_item("rs", {"type": "reasoning", "id": "own"})
    assert first == (0, {"id": "msg_1_0", "type": "message"})
    assert second == (1, {"id": "own", "type": "reasoning"})
    writer.finish_item(1, {"type": "reasoning", "id": "own"})
    assert writer.finished_items == [{"type": "reasoning", "id": "own"}]


def test_response_ends_without_the_items_that_are_open() -> None:
    writer = new_writer()
    writer.open_item("msg", {"type": "message"})
    index, item = writer.open_item("msg", {"type": "message"})
    writer.finish_item(index, item)
    writer.end_response("failed", error={"code": "x"})
    end = writer.drain()[-1]
    assert end["type"] == "response.failed" and end["response"] is writer.response
    assert writer.response["output"] == [item] and writer.response["error"] == {"code": "x"}


def test_written_events_do_not_change_when_the_response_ends() -> None:
    writer = new_writer()
    writer.emit_opening()
    events = writer.drain()
    original = deepcopy(events)
    writer.end_response("completed", usage={"total_tokens": 1})
    assert events == original


def test_call_ids_are_unique() -> None:
    writer, used_ids = new_writer(), {"a"}
    ids = [writer.unique_call_id(id, used_ids) for id in ("b", "a", "a", "", "")]
    assert ids == ["b", "a_1_0_2", "a_1_0_3", "call_1_0", "call_1_0_5"]
    assert used_ids == {"a", *ids}


def test_each_loss_is_reported_once() -> None:
    writer = new_writer()
    for path in ("annotations", "choices[1]", "annotations"):
        writer.mark_dropped(path)
    assert writer.dropped == ["annotations", "choices[1]"]


def test_losses_are_cut_and_counted() -> None:
    writer = new_writer()
    writer.mark_dropped("x" * 1_000)
    for number in range(LOSSES_LIMIT + 5):
        writer.mark_dropped(str(number))
    assert writer.dropped[0] == "x" * LOSS_LENGTH
    assert len(writer.dropped) == LOSSES_LIMIT + 1 and writer.dropped[-1] == MORE_LOSSES
    writer.mark_dropped("0")
    assert len(writer.dropped) == LOSSES_LIMIT + 1


def test_reply_has_a_limit_of_items() -> None:
    writer = new_writer()
    for _ in range(ITEMS_LIMIT):
        writer.open_item("x", {"type": "x"})
    with pytest.raises(BadReply, match="more than 4,096 items"):
        writer.open_item("x", {"type": "x"})


def test_call_id_that_is_in_use_in_every_form_becomes_another() -> None:
    writer = new_writer()
    used_ids = {"a", "a_1_0_2"}
    assert writer.unique_call_id("a", used_ids) == "a_1_0_3"


def test_event_may_have_a_field_of_any_name() -> None:
    writer = new_writer()
    writer.emit("response.odd", **{"self": 1})
    assert writer.drain()[0]["self"] == 1
