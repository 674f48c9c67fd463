"""Chunks and events as the upstream's bytes bring them, and the end of a Chat stream."""

import json

import pytest

from tests.translate.support import Json, bytewise, chunk, feed_every_way, stream
from translate.reply.reply_reader import DONE_MARK, ReplyReader
from translate.wire.errors import BadReply
from translate.wire.limits import Limits

HALVES = [chunk(content="a\ud83c"), chunk(content="\udf5eb")]


def read_pieces(pieces: list[bytes], limits: Limits | None = None) -> list[Json]:
    reader = ReplyReader(limits or Limits())
    return [event for piece in pieces for event in reader.feed(piece)] + list(reader.flush())


def test_events_come_in_order_and_what_is_no_object_is_skipped() -> None:
    wire = stream(chunk(content="a"), "", "5", json.dumps([{"error": 1}, 2]), *HALVES)
    assert feed_every_way(read_pieces, wire) == [
        chunk(content="a"), {"error": 1}, chunk(content="a🍞"), chunk(content="b"), DONE_MARK,
    ]  # fmt: skip


def test_half_a_pair_does_not_wait_beyond_the_end() -> None:
    expected = chunk(content="a\ufffd")
    assert read_pieces([stream(HALVES[0], done=False)]) == [expected]
    assert read_pieces(bytewise(stream(HALVES[0]))) == [expected, DONE_MARK]
    reader = ReplyReader()
    assert list(reader.feed(stream(HALVES[0], done=False))) == []
    assert reader.flush_delta() == [expected]
    assert list(reader.flush()) == []


def test_events_before_unreadable_data_are_not_lost() -> None:
    events = ReplyReader().feed(stream(chunk(content="a"), "{"))
    assert next(events) == chunk(content="a")
    with pytest.raises(ValueError, match="."):
        next(events)


def test_reply_past_its_limit_is_refused() -> None:
    reader = ReplyReader(Limits(reply_bytes=10))
    with pytest.raises(BadReply, match="more than 10 bytes"):
        reader.feed(b": 234567890")
