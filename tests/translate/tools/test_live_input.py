"""A freeform input shows as it grows: at every split what JSON decoding gives."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translate.tools.live import InputText, Verbatim


def shown(*parts: str) -> str:
    live = InputText()
    return "".join(live.feed(part) for part in parts)


TEXTS = [
    "",
    "plain",
    'quo"te',
    "back\\slash\\",
    "a\nb\tc\r",
    "é🍞日本",
    "\x00\x1f/",
    "\\u0041",
    "\\n",
]


@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_every_split_shows_the_decoded_text(text: str, ascii: bool) -> None:
    wire = json.dumps({"input": text}, ensure_ascii=ascii)
    for cut in range(len(wire) + 1):
        assert shown(wire[:cut], wire[cut:]) == text
    assert shown(*wire) == text


@given(st.text(), st.booleans(), st.sampled_from([",", ", "]), st.data())
def test_any_cuts_show_the_decoded_text(
    text: str, ascii: bool, comma: str, data: st.DataObject
) -> None:
    wire = json.dumps({"input": text, "more": 1}, ensure_ascii=ascii, separators=(comma, ": "))
    cut = data.draw(st.integers(0, len(wire)))
    assert shown(wire[:cut], wire[cut:]) == text


def test_surrogate_pair_shows_as_one_and_a_lone_high_one_waits() -> None:
    live = InputText()
    assert live.feed('{"input":"a\\ud83c') == "a"
    assert live.feed("\\udf5") == ""
    assert live.feed("e!") == "🍞!"
    assert shown('{"input":"\\ud83cx') == ""
    assert shown('{"input":"\\udf5ex') == "\udf5ex"


@pytest.mark.parametrize("wire", ['{"patch":"x"}', "*** Begin", '["x"]', '{"input":5}', ""])
def test_anything_else_stays_silent(wire: str) -> None:
    assert shown(*wire) == ""


@pytest.mark.parametrize(
    ("wire", "text", "rest"),
    [
        ('{ "input" : "a\nb" } ', "a\nb", ""),
        ('{"input":"a"', "a", ""),
        ('{"input":"a', "a", ""),
        ('{"input":"say "hi" now"}', "say ", '"hi" now"}'),
        ('{"input":"\\ud83cx"}', "", '\\ud83cx"}'),
        ('{"input":"a"}}', "a", ""),
        ('{"input":"a","input":"b"}', "a", '","input":"b"}'),
    ],
)
def test_rest_is_what_was_not_understood(wire: str, text: str, rest: str) -> None:
    live = InputText()
    assert "".join(map(live.feed, wire)) == text
    assert live.rest == rest


@pytest.mark.parametrize("text", [r"\d+\.", r"it\'s", "a \\\n b", r"C:\users", r"\u00é"])
def test_backslash_that_escapes_nothing_is_one(text: str) -> None:
    wire = '{"input":"' + text + '\\n\\\\d"}'
    for cut in range(len(wire) + 1):
        live = InputText()
        assert live.feed(wire[:cut]) + live.feed(wire[cut:]) == text + "\n\\d"
        assert live.rest == ""


def test_arguments_are_shown_as_they_are() -> None:
    assert Verbatim().feed('{"a') == '{"a' and Verbatim().rest == ""
