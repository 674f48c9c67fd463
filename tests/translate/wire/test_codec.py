"""JSON that pydantic_core refuses although it occurs in real traffic."""

import json
from typing import Any

import pytest
from hypothesis import given

from tests.translate.support import VALUES
from translate.wire import codec


@given(VALUES)
def test_values_survive(value: Any) -> None:
    assert codec.load_json(codec.dump_json(value)) == value
    assert codec.load_json(codec.json_text(value)) == value


@pytest.mark.parametrize("data", [b'\xef\xbb\xbf{"a":1}', b'{"a":1}\n', '{"a":1}'])
def test_byte_order_mark_is_skipped(data: bytes | str) -> None:
    assert codec.load_json(data) == {"a": 1}


def test_lone_surrogates_are_read_and_never_written() -> None:
    value = codec.load_json(b'{"a":"x\\ud83d","b":"\\ud83c\\udf5e"}')
    assert value == {"a": "x\ud83d", "b": "🍞"}
    assert codec.dump_json(value) == '{"a":"x\ufffd","b":"🍞"}'.encode()
    assert codec.dump_json("\ud83c" + "\udf5e\n") == '"🍞\\n"'.encode()


def test_big_numbers_survive() -> None:
    digits = b"1" + b"0" * 400
    assert codec.dump_json(codec.load_json(digits)) == digits


def test_nan_and_infinity_become_null() -> None:
    assert codec.dump_json({"a": codec.load_json(b"NaN"), "b": codec.load_json(b"1e999")}) == (
        b'{"a":null,"b":null}'
    )


def test_nan_and_infinity_become_null_beside_a_lone_surrogate() -> None:
    value = ["\ud800", codec.load_json(b"[NaN, 1e999, -1e999]")]
    assert codec.dump_json(value) == '["\ufffd",[null,null,null]]'.encode()


def test_deep_nesting_is_read_and_written() -> None:
    deep = b"[" * 5_000 + b"]" * 5_000
    assert codec.dump_json(codec.load_json(deep)) == deep


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nul", b"\xff", b"{'a':1}", b"[" * 100_000, b'"a\nb"', b"{}{}"]
)
def test_other_bytes_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        codec.load_json(data)


def test_text_is_compact_and_not_escaped() -> None:
    assert codec.dump_json({"b": "é", "a": [1, 2]}) == '{"b":"é","a":[1,2]}'.encode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [("{}", True), (' {"a":1} ', True), ("{", False), ("[]", False), ("", False), ("{'a'}", False)],
)
def test_whole_objects_are_recognised(data: str, expected: bool) -> None:
    assert codec.is_json_object(data) is expected


def test_string_may_hold_control_characters() -> None:
    assert codec.unescape_string('a\\n\n\\"\\u00e9\x00') == 'a\n\n"é\x00'


def test_backslash_that_escapes_nothing_stands_for_itself() -> None:
    assert codec.unescape_string(r"\\d\d\u00e9\u00g\n\'") == "\\d\\dé\\u00g\n\\'"


def test_escapes_agree_with_the_standard_library() -> None:
    assert codec.load_json(r'"\ud83c\udf5e\u00e9\/"') == json.loads(r'"\ud83c\udf5e\u00e9\/"')
