"""JSON that pydantic_core refuses and real traffic holds."""

import json
from typing import Any

import pytest
from hypothesis import given

from tests.translate.support import VALUES
from translate.wire import codec


@given(VALUES)
def test_values_survive(value: Any) -> None:
    assert codec.loads(codec.dumps(value)) == value
    assert codec.loads(codec.text(value)) == value


@pytest.mark.parametrize("data", [b'\xef\xbb\xbf{"a":1}', b'{"a":1}\n', '{"a":1}'])
def test_byte_order_mark_is_no_error(data: bytes | str) -> None:
    assert codec.loads(data) == {"a": 1}


def test_lone_surrogates_are_read_and_never_written() -> None:
    value = codec.loads(b'{"a":"x\\ud83d","b":"\\ud83c\\udf5e"}')
    assert value == {"a": "x\ud83d", "b": "🍞"}
    assert codec.dumps(value) == '{"a":"x\ufffd","b":"🍞"}'.encode()
    assert codec.dumps("\ud83c" + "\udf5e\n") == '"🍞\\n"'.encode()


def test_big_numbers_survive() -> None:
    digits = b"1" + b"0" * 400
    assert codec.dumps(codec.loads(digits)) == digits


def test_numbers_that_are_none_do_not_reach_the_wire() -> None:
    assert codec.dumps({"a": codec.loads(b"NaN"), "b": codec.loads(b"1e999")}) == (
        b'{"a":null,"b":null}'
    )


def test_deep_nesting_is_read_and_written() -> None:
    deep = b"[" * 900 + b"]" * 900
    assert codec.dumps(codec.loads(deep)) == deep


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nul", b"\xff", b"{'a':1}", b"[" * 100_000, b'"a\nb"', b"{}{}"]
)
def test_what_is_not_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        codec.loads(data)


def test_text_is_compact_and_not_escaped() -> None:
    assert codec.dumps({"b": "é", "a": [1, 2]}) == '{"b":"é","a":[1,2]}'.encode()


@pytest.mark.parametrize(
    ("data", "whole"),
    [("{}", True), (' {"a":1} ', True), ("{", False), ("[]", False), ("", False), ("{'a'}", False)],
)
def test_whole_objects_are_told_apart(data: str, whole: bool) -> None:
    assert codec.is_object(data) is whole


def test_inside_of_a_string_may_hold_newlines() -> None:
    assert codec.unquoted('a\\n\n\\"\\u00e9\x00') == 'a\n\n"é\x00'


def test_backslash_that_escapes_nothing_stands_for_itself() -> None:
    assert codec.unquoted(r"\\d\d\u00e9\u00g\n\'") == "\\d\\dé\\u00g\n\\'"


def test_escapes_agree_with_the_standard_library() -> None:
    assert codec.loads(r'"\ud83c\udf5e\u00e9\/"') == json.loads(r'"\ud83c\udf5e\u00e9\/"')
