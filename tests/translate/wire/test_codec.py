"""JSON that pydantic_core refuses although it occurs in real traffic."""

import json
import math
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


def test_lone_surrogates_are_replaced_on_both_ways() -> None:
    value = codec.load_json(b'{"a\\udc00":"x\\ud83d","b":["\\ud83c\\udf5e"]}')
    assert value == {"a\ufffd": "x\ufffd", "b": ["🍞"]}
    assert codec.dump_json({"a\ud83d": ["x\udc00"]}) == '{"a\ufffd":["x\ufffd"]}'.encode()
    assert codec.unescape_string("x\\ud83d") == "x\ufffd"
    assert codec.dump_json("\ud83c" + "\udf5e\n") == '"🍞\\n"'.encode()


def test_big_numbers_survive() -> None:
    digits = b"1" + b"0" * 400
    assert codec.dump_json(codec.load_json(digits)) == digits


@pytest.mark.parametrize("sign", ["", "-"])
def test_numbers_of_too_many_digits_are_infinite(sign: str) -> None:
    longest = int(f"{sign}1" + "0" * 4_299)
    assert codec.load_json(str(longest)) == longest
    digits = f"{sign}1" + "0" * 5_000
    assert codec.load_json(f'{{"a":{digits},"b":1}}') == {"a": math.inf, "b": 1}
    assert codec.dump_json({"a": [int(sign + "1") * 10**5_000, "\ud800"]}) == (
        '{"a":[null,"\ufffd"]}'.encode()
    )


def test_nan_and_infinity_become_null() -> None:
    assert codec.dump_json({"a": codec.load_json(b"NaN"), "b": codec.load_json(b"1e999")}) == (
        b'{"a":null,"b":null}'
    )


def test_nan_and_infinity_become_null_beside_a_lone_surrogate() -> None:
    value = ["\ud800", codec.load_json(b"[NaN, 1e999, -1e999]")]
    assert codec.dump_json(value) == '["\ufffd",[null,null,null]]'.encode()


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_nesting_is_read_up_to_a_limit_and_written(start: bytes) -> None:
    deep = b"[" * codec.MAX_NESTING + b"]" * codec.MAX_NESTING
    assert codec.dump_json(codec.load_json(start + deep)) == deep
    for levels in (codec.MAX_NESTING + 1, 5_000, 1_000_000):
        with pytest.raises(codec.NestedTooDeeply):
            codec.load_json(start + b"[" * levels + b"]" * levels)


def test_what_wraps_a_deep_value_is_written() -> None:
    value = codec.load_json(b"[" * codec.MAX_NESTING + b"]" * codec.MAX_NESTING)
    for _ in range(100):
        value = {"a": value}
    assert json.loads(codec.dump_json(value))


@pytest.mark.parametrize(
    ("value", "levels"), [(1, 0), ([], 1), ({"a": 1, "b": [1, {}]}, 3), ([[], [[]]], 3)]
)
def test_nesting_counts_objects_and_lists(value: Any, levels: int) -> None:
    codec.check_nesting(value, levels)
    if levels:
        with pytest.raises(codec.NestedTooDeeply, match="levels"):
            codec.check_nesting(value, levels - 1)


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
