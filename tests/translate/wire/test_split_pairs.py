"""Pairs that an upstream splits over two deltas, and halves that stay alone."""

import json
from typing import Any

import pytest

from tests.translate.support import Json, chunk
from translate.wire import codec
from translate.wire.split_pairs import PairJoiner

FIRST, SECOND = "\ud83c", "\udf5e"  # of 🍞


def join_all(*values: Any) -> list[Any]:
    joiner = PairJoiner(max_values=1_000)
    joined = [value for item in values for value in joiner.feed(json.dumps(item).encode())]
    return joined + joiner.flush()


def delta(text: str, **fields: Any) -> Json:
    return {"type": "response.output_text.delta", "delta": text, **fields}


def call(arguments: str) -> Json:
    return chunk(tool_calls=[{"index": 0, "function": {"arguments": arguments}}])


def test_halves_in_two_deltas_are_joined_in_the_first() -> None:
    assert join_all(delta(f"a{FIRST}"), delta(f"{SECOND}b")) == [delta("a🍞"), delta("b")]
    assert join_all(call(f'"{FIRST}'), call(f'{SECOND}"')) == [call('"🍞'), call('"')]
    texts = [f"a{FIRST}", f"{SECOND}b{FIRST}", SECOND, "c"]
    assert join_all(*map(delta, texts)) == [*map(delta, ["a🍞", "b🍞", "", "c"])]


@pytest.mark.parametrize(
    "other", [delta("b"), delta(""), delta(FIRST), {"type": "x"}, [1], 5, None]
)
def test_half_without_the_other_becomes_a_replacement_character(other: Any) -> None:
    replaced = codec.load_json(json.dumps(other))
    assert join_all(delta(f"a{FIRST}"), other) == [delta("a\ufffd"), replaced]
    assert join_all(delta(f"a{FIRST}")) == [delta("a\ufffd")]
    assert join_all(delta(f"a{SECOND}"), other) == [delta("a\ufffd"), replaced]


def test_lists_are_joined_as_far_as_both_go() -> None:
    first, second = chunk(content=[FIRST, "x"]), chunk(content=[SECOND])
    assert join_all(first, second) == [chunk(content=["🍞", "x"]), chunk(content=[""])]


def test_only_a_delta_waits_for_the_next_event() -> None:
    end = {"type": "response.completed", "response": {"output": [f"a{FIRST}"]}}
    joiner = PairJoiner(max_values=1_000)
    assert joiner.feed(json.dumps(delta(f"a{FIRST}")).encode()) == []
    assert len(joiner.feed(json.dumps(end).encode())) == 2
    assert joiner.feed(json.dumps(f"a{FIRST}").encode()) == ["a\ufffd"]
    assert joiner.flush() == []


def test_large_json_is_no_delta_and_has_a_bound() -> None:
    joiner = PairJoiner(max_values=1_000)
    large = json.dumps(delta("x" * 1_100_000 + FIRST)).encode()
    assert joiner.feed(large) == [delta("x" * 1_100_000 + "\ufffd")]
    with pytest.raises(ValueError, match="more than 1,000 values"):
        joiner.feed(b"[%b1]" % (b"1," * 600_000))
