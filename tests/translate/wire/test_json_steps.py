"""JSON in steps: the same results as in one call, in calls that are short."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import VALUES
from translate.wire import codec, json_steps
from translate.wire.json_steps import TooManyValues, dump_json_in_steps, load_json_in_steps

MARKS = [b",", b"]", b"}", b'"', b"[", b"{", b":", b"\\", b" ", b"1", b""]


@pytest.fixture(params=[20, 200], autouse=True, scope="module")
def step(request: pytest.FixtureRequest) -> Iterator[int]:
    """Steps of a few bytes, so that small values take many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_steps, "STEP", request.param)
        patch.setattr(json_steps, "LARGE_JSON", 0)
        yield request.param


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_a_value_is_read_as_in_one_call(value: Any, ascii_only: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    assert repr(load_json_in_steps(data)) == repr(codec.load_json(data))


@given(VALUES)
def test_a_value_is_written_as_in_one_call(value: Any) -> None:
    assert dump_json_in_steps(value) == codec.dump_json(value)


def load_or_fail(load: Any, data: bytes) -> Any:
    try:
        return repr(load(data))
    except ValueError:
        return "not JSON"


@given(VALUES, st.data())
def test_broken_json_is_refused_as_in_one_call(value: Any, data: st.DataObject) -> None:
    text = json.dumps({"list": [value, "a", 1], "x": value}).encode()
    position = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 2))
    broken = text[:position] + data.draw(st.sampled_from(MARKS)) + text[position + length :]
    assert load_or_fail(load_json_in_steps, broken) == load_or_fail(codec.load_json, broken)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", "[1", '["a', '["a\\', "[1]2", "x[1]", "[1}", "[,1]", '["long",]',
        '["long", ["long", 1] "long"]', '["long", ["long", 1]["long", 1]]', '[["long", 1] x, 2]',
        '{"a": {"b": 1, "c": 2} x}', '{"a": 1{"b": 1, "c": 2}}', '{"a" {"b": 1, "c": 2}}',
        '{{"b": 1, "c": 2}}', '[x ["long", 1]]', "]", "\x0c[1]", '{"a": [1, 2],}',
        '["long", ["long", 1]\x0c, 1]',
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(text: str) -> None:
    text = text.replace("long", "l" * 300)
    with pytest.raises(ValueError):
        load_json_in_steps(text.encode())
    with pytest.raises(ValueError):
        codec.load_json(text)


def test_other_encodings_are_read() -> None:
    value = {"a": [1, 2, "😀" * 30], "b": "x"}
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32"):
        assert load_json_in_steps(json.dumps(value).encode(encoding)) == value


def test_long_strings_with_escapes_are_read_and_written() -> None:
    value = ["x" * 10_000, 'say "hi"\n' * 3_000, "\\" * 5_001, " " * 70_000]
    data = json.dumps(value, indent=9_000).encode()
    assert load_json_in_steps(data) == value
    assert dump_json_in_steps(value) == codec.dump_json(value)


@pytest.mark.parametrize("unit", ["é", "你", "😀", "\\n", "\\\\", "\\u0041", "\\ud83d\\ude00", "a"])
@pytest.mark.parametrize("start", range(7))
def test_long_string_is_cut_between_characters(unit: str, start: int) -> None:
    text = "x" * start + "\\n" * start + unit * 1_000
    for data in (f'{{"a": 1, "b": "{text}", "c": []}}', f'[["{text}"], "{text}"]'):
        assert load_json_in_steps(data.encode()) == json.loads(data)


@pytest.mark.parametrize("end", ["\\", "\\udc", "\\udc0x", "\\q", "\n"])
def test_long_string_that_is_no_json_is_refused(end: str) -> None:
    for data in (f'["{"x" * 9_000}{end}"]', f'{{"a": "{"x" * 9_000}{end}{"x" * 9_000}"}}'):
        with pytest.raises(ValueError):
            load_json_in_steps(data.encode())


def test_long_keys_are_read() -> None:
    value = {"k" * 9_000: "v" * 9_000, "l" * 9_000: {"m" * 9_000: ["n" * 9_000]}}
    assert load_json_in_steps(json.dumps(value).encode()) == value
    for text in ('{"a" "b"}', '{"a": "b" "a": 1}', '["a" "b"]', '{"a": 1 "b"}', '{"a"}'):
        long_text = text.replace("b", "b" * 9_000).replace("a", "a" * 9_000)
        with pytest.raises(ValueError):
            load_json_in_steps(long_text.encode())


def test_values_are_counted_and_bounded() -> None:
    value = {"a": [1, "two", {"b": [None, {}]}], "c": "d, e"}
    data = json.dumps(value).encode()
    assert load_json_in_steps(data, 10) == value  # an empty object counts as two
    for limit in range(1, 10):
        with pytest.raises(TooManyValues, match="JSON has more than"):
            load_json_in_steps(data, limit)


def test_halves_of_a_surrogate_pair_stay_together() -> None:
    for start in ("", "x", "xx", "xxx"):
        text = start + "ab\ud83d\ude00" * 100
        expected = f'["{start}{"ab😀" * 100}"]'.encode()
        assert dump_json_in_steps([text]) == codec.dump_json([text]) == expected


def test_what_is_nested_too_deeply_is_refused() -> None:
    data = b"[" * 300 + b"]" * 300
    with pytest.raises(codec.NestedTooDeeply):
        load_json_in_steps(data)


def test_no_call_gets_more_than_a_few_steps(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The reason for the module: one call on all of it would hold up every other thread."""
    sizes = []
    load, dump = codec.load_json, codec.dump_json
    monkeypatch.setattr(
        json_steps, "load_json", lambda data: (sizes.append(len(data)), load(data))[1]
    )
    monkeypatch.setattr(
        json_steps, "dump_json", lambda value: (sizes.append(len(dump(value))), dump(value))[1]
    )
    item = {"type": "message", "content": [{"type": "input_text", "text": 'a "b"\n' * 4}]}
    value = {"model": "m", "input": [item] * 200, "deep": {"er": {"list": [item] * 200}}}
    data = json.dumps(value).encode()
    assert load_json_in_steps(data) == value
    assert dump_json_in_steps(value) == dump(value)
    assert max(sizes) < 2 * step + 2 * len(json.dumps(item)) and len(sizes) > 50
