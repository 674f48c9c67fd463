"""Streams are read however they are cut, and JSON bodies whatever their content type."""

import json
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import feed_every_way, pieces
from translate import Limits
from translate.wire.errors import BadReply
from translate.wire.sse import (
    SseDecoder,
    SseEvent,
    SseReader,
    encode_chunk,
    encode_event,
    is_event_stream,
    split_events,
)


def decode_pieces(parts: Iterable[bytes]) -> list[bytes]:
    decoder = SseDecoder()
    return [data for part in parts for data in decoder.feed(part)] + decoder.flush()


def read_pieces(parts: Iterable[bytes]) -> list[bytes]:
    reader = SseReader()
    return [data for part in parts for data in reader.feed(part)] + reader.flush()


def recorded_data(body: bytes) -> list[bytes]:
    return [event.data for event in split_events(body) if event.data is not None]


WIRE_AND_DATA = [
    (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    (b"data:a\n\n", [b"a"]),
    (b"data:  a \n\n", [b" a "]),
    (b"data: a\ndata: b\n\n", [b"a\nb"]),
    (b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
    (b": comment\n\n:\n\ndata: a\n\n", [b"a"]),
    (b"data: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    (b"\n\n\ndata: a\n\n", [b"a"]),
    (b"data:\n\n", [b""]),
    (b"database: a\n\n", []),
    (b"data: a", [b"a"]),  # the upstream closed without the blank line
    (b"data: a\n", [b"a"]),
    (b"", []),
    ("data: é🍞\n\ndata: 日本\n\n".encode(), ["é🍞".encode(), "日本".encode()]),
    (b"data: \xff\xfe\n\n", [b"\xff\xfe"]),
]


@pytest.mark.parametrize(("wire", "data"), WIRE_AND_DATA)
def test_events_are_read_however_they_are_cut(wire: bytes, data: list[bytes]) -> None:
    assert feed_every_way(decode_pieces, wire) == data
    assert recorded_data(wire) == data
    if data != [b""]:
        assert feed_every_way(read_pieces, wire) == data


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n", b" \r\n", b"\xef\xbb\xbf\n\n"])
def test_stream_may_begin_with_a_byte_order_mark_or_space(start: bytes) -> None:
    wire = start + b"data: a\n\ndata: b\n\n"
    assert is_event_stream(wire)
    for cut in range(len(wire)):
        assert read_pieces([wire[:cut], wire[cut:]]) == [b"a", b"b"]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n \t"])
def test_json_body_is_returned_in_one_piece(start: bytes) -> None:
    wire = start + b'{"a":\n\n"data: x\\n\\n"}\n'
    assert not is_event_stream(wire)
    for cut in range(len(wire)):
        assert read_pieces([wire[:cut], wire[cut:]]) == [wire.removeprefix(start)]


def test_white_space_alone_is_no_event() -> None:
    assert read_pieces([b" ", b"\r\n"]) == []
    assert list(split_events(b"\r\n\r\n\n")) == []


LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))


@given(
    st.lists(st.lists(LINES, min_size=1), min_size=1),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_written_lines_are_read_back(
    events: list[list[str]], end: str, data: st.DataObject
) -> None:
    wire = "".join("".join(f"data: {line}{end}" for line in lines) + end for lines in events)
    written = ["\n".join(lines).encode() for lines in events]
    assert decode_pieces(data.draw(pieces(wire.encode()))) == written
    assert recorded_data(wire.encode()) == written


FRAGMENTS = st.sampled_from(
    [b"data: a", b"data:", b": c", b"event: x", b"\n", b"\r\n", b"\r", b"x"]
)


@given(st.lists(FRAGMENTS).map(b"".join), st.data())
def test_recorded_stream_reads_as_the_live_one(wire: bytes, data: st.DataObject) -> None:
    assert recorded_data(wire) == decode_pieces(data.draw(pieces(wire)))


def test_newline_forms_may_change_within_a_stream() -> None:
    assert decode_pieces([b"data: a\r\n\r", b"\ndata: b\n\ndata: c\r\r", b"data: d\n\n"]) == [
        *[b"a", b"b", b"c", b"d"]
    ]


def test_recorded_events_know_where_they_end() -> None:
    assert list(split_events(b': hi\n\nevent: x\r\ndata: a\r\n\r\n{"error":1}\n')) == [
        SseEvent(None, b": hi", 6),
        SseEvent(b"a", b"event: x\r\ndata: a", 27),
        SseEvent(None, b'{"error":1}', 39),
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b": waiting", True), (b"id: 1", True), (b"retry: 5", True), (b"event: x", True),
        (b"", False), (b"database: a", False), (b"<html>data: a", False), (b"[1]", False),
    ],
)  # fmt: skip
def test_a_stream_is_recognised_by_its_first_line(body: bytes, expected: bool) -> None:
    assert is_event_stream(body) is expected


SMALL = Limits(event_bytes=1_000, reply_bytes=5_000)
READERS = pytest.mark.parametrize("new_reader", [SseDecoder, SseReader])


@READERS
@pytest.mark.parametrize("piece", [b"data: ", b"data: x\n", b": x\n", b"data: " + b"x" * 999])
def test_endless_event_is_refused_once(new_reader: type, piece: bytes) -> None:
    """What follows is discarded, so that an upstream that goes on costs nothing."""
    reader = new_reader(SMALL)
    with pytest.raises(BadReply, match="more than 1000 bytes"):
        for _ in range(1_000):
            reader.feed(piece)
    assert reader.feed(piece) == reader.feed(b"\n\ndata: x\n\n") == reader.flush() == []


@READERS
def test_large_event_is_refused_however_it_arrives(new_reader: type) -> None:
    wire = b"data: a\n\ndata: " + b"x" * 1_001 + b"\n\ndata: b\n\n"
    for length in (1, 7, 500, len(wire)):
        reader = new_reader(SMALL)
        with pytest.raises(BadReply, match="more than 1000 bytes"):
            for start in range(0, len(wire), length):
                reader.feed(wire[start : start + length])


@READERS
def test_many_events_together_may_be_larger(new_reader: type) -> None:
    wire = b"data: %s\n\n" % (b"x" * 1_000)
    assert new_reader(SMALL).feed(wire * 10) == [b"x" * 1_000] * 10


def test_white_space_before_a_reply_is_not_kept() -> None:
    reader = SseReader(SMALL)
    for _ in range(10_000):
        assert reader.feed(b" \r\n\t") == []
    reader.feed(b'{"a":1')
    reader.feed(b"}")
    assert reader.flush() == [b'{"a":1}']


def test_long_event_is_read_in_linear_time() -> None:
    decoder, piece, start = SseDecoder(), b"x" * (1 << 14), time.process_time()
    decoder.feed(b"data: ")
    largest = Limits().event_bytes
    for _ in range((largest >> 14) - 1):
        assert decoder.feed(piece) == []
    [data] = decoder.feed(b"\n\n")
    assert len(data) == largest - len(piece)
    assert time.process_time() - start < 10  # s; copying all of it for each piece takes a minute


def test_endless_body_is_refused() -> None:
    reader = SseReader(SMALL)
    assert reader.feed(b"{" + b"x" * 4_999) == []
    with pytest.raises(BadReply, match="a body of more than 5000 bytes"):
        reader.feed(b"x")
    assert reader.feed(b"x") == reader.flush() == []


def test_event_is_named_by_its_type_and_holds_one_line() -> None:
    wire = encode_event({"type": "response.x", "text": "a\nb\r\u2028"})
    assert wire.startswith(b"event: response.x\ndata: {") and wire.endswith(b"}\n\n")
    assert wire.count(b"\n") == 3
    assert json.loads(decode_pieces([wire])[0])["text"] == "a\nb\r\u2028"


def test_empty_chunk_is_a_comment() -> None:
    assert decode_pieces([encode_chunk({}), encode_chunk({"id": "c"})]) == [b'{"id":"c"}']
