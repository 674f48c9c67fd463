"""Server-sent events in, whatever the cut; one body in, whatever its label."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import feed_every_way, pieces
from translate.wire import sse
from translate.wire.errors import BadReply


def decoded(parts: Iterable[bytes]) -> list[bytes]:
    decoder = sse.Decoder()
    return [data for part in parts for data in decoder.feed(part)] + decoder.flush()


def read(parts: Iterable[bytes]) -> list[bytes]:
    reader = sse.Reader()
    return [data for part in parts for data in reader.feed(part)] + reader.flush()


@pytest.mark.parametrize(
    ("wire", "data"),
    [
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
    ],
)
def test_events_are_read_however_they_are_cut(wire: bytes, data: list[bytes]) -> None:
    assert feed_every_way(decoded, wire) == data
    if data != [b""]:
        assert feed_every_way(read, wire) == data


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n", b" \r\n", b"\xef\xbb\xbf\n\n"])
def test_stream_may_begin_with_a_mark_or_space(start: bytes) -> None:
    wire = start + b"data: a\n\ndata: b\n\n"
    for cut in range(len(wire)):
        assert read([wire[:cut], wire[cut:]]) == [b"a", b"b"]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n \t"])
def test_json_body_is_one_piece(start: bytes) -> None:
    wire = start + b'{"a":\n\n"data: x\\n\\n"}\n'
    for cut in range(len(wire)):
        assert read([wire[:cut], wire[cut:]]) == [wire]


def test_nothing_but_space_is_nothing() -> None:
    assert read([b" ", b"\r\n"]) == []


LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))


@given(
    st.lists(st.lists(LINES, min_size=1), min_size=1),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_what_is_written_is_read(events: list[list[str]], end: str, data: st.DataObject) -> None:
    wire = "".join("".join(f"data: {line}{end}" for line in lines) + end for lines in events)
    assert decoded(data.draw(pieces(wire.encode()))) == [
        "\n".join(lines).encode() for lines in events
    ]


def test_newline_forms_may_change_within_a_stream() -> None:
    assert decoded([b"data: a\r\n\r", b"\ndata: b\n\ndata: c\r\r", b"data: d\n\n"]) == [
        *[b"a", b"b", b"c", b"d"]
    ]


@pytest.mark.parametrize("piece", [b"data: ", b"data: x\n"])
def test_endless_event_is_refused(piece: bytes) -> None:
    decoder = sse.Decoder()
    decoder.feed(piece)
    with pytest.raises(BadReply, match="more than"):
        decoder.feed(b"x" * sse.LIMIT + piece)


def test_endless_body_is_refused() -> None:
    reader = sse.Reader()
    with pytest.raises(BadReply, match="more than"):
        reader.feed(b"{")
        reader.feed(b"x" * sse.LIMIT)


def test_event_is_named_by_its_type_and_holds_one_line() -> None:
    wire = sse.event({"type": "response.x", "text": "a\nb\r\u2028"})
    assert wire.startswith(b"event: response.x\ndata: {") and wire.endswith(b"}\n\n")
    assert wire.count(b"\n") == 3
    assert json.loads(decoded([wire])[0])["text"] == "a\nb\r\u2028"
