"""Texts on a page: parts in words, never base64; sizes, folds and limits."""

import pytest

from addons.views.text import (
    PAGE_LIMIT,
    arguments_text,
    content_text,
    describe_base64,
    describe_url,
    fill_empty_lines,
    first_lines,
    fold_middle,
    format_size,
    join_page,
    label_lines,
    sealed_text,
    to_one_line,
    value_text,
    wrap_prose,
)
from tests.addons.views.support import PIXEL, PIXEL_URL, SEALED, request_text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("Hello.", "Hello."),
        ([{"type": "text", "text": "a"}, "b"], "a\nb"),
        ({"refusal": "No."}, "[refused: No.]"),
        ({"type": "thinking", "thinking": [{"text": "Hm."}]}, "Hm."),
        ({"image_url": PIXEL_URL}, "[image: image/png, 1×1 pixels, 70 B]"),
        ({"image_url": {"url": "https://a.example/b"}}, "[image: https://a.example/b]"),
        ({"url_citation": {"title": "A", "url": "https://a"}}, "[source: A, https://a]"),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            "[audio: audio/wav, 3 B]",
        ),
        ({"type": "encrypted_content", "encrypted_content": "plain words"}, "plain words"),
        ({"type": "odd", "n": 1}, '{"type":"odd","n":1}'),
        (7, "7"),
    ],
)
def test_parts_are_described_in_words(content: object, text: str) -> None:
    assert content_text(content) == text


def test_sealed_text_names_the_model_of_the_relays_own_envelope() -> None:
    assert sealed_text(SEALED) == "[sealed by us for gpt-5.5 (account), 135 B]"
    assert sealed_text("gAAA") == "[sealed, 4 B]"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"cmd": "ls", "n": 5}', "cmd: ls\nn: 5"),
        ('{"patch": "one\\ntwo"}', "one\ntwo"),
        ('{"a": "one\\ntwo", "b": 1}', "a:\n  one\n  two\nb: 1"),
        ("not JSON", "not JSON"),
        ("[1]", "[1]"),
        ({}, ""),
    ],
)
def test_arguments_of_calls(arguments: object, text: str) -> None:
    assert arguments_text(arguments) == text


def test_other_urls_and_broken_pictures() -> None:
    assert describe_url("https://example.com/a.png") == "https://example.com/a.png"
    assert describe_url("data:image/png;base64,AAAA") == "image/png, 3 B"


def test_base64_in_any_value_is_described() -> None:
    value = {"a": ["QUJD" * 100, 1], "b": f"see {PIXEL_URL}"}
    assert describe_base64(value) == {
        "a": ["[400 B of base64 or the like]", 1],
        "b": "see [image/png, 1×1 pixels, 70 B]",
    }
    assert PIXEL not in value_text(value)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")],
)
def test_sizes_have_units(count: int, text: str) -> None:
    assert format_size(count) == text


def test_long_texts_lose_their_middle() -> None:
    text = fold_middle("a" * 50_000 + "b" * 50_000)
    assert text.startswith("aaa") and text.endswith("bbb") and "60.0 kB more" in text
    assert fold_middle("short") == "short"


def test_first_lines_tell_the_size_of_the_whole() -> None:
    assert first_lines("one\ntwo\nthree", 2) == "one\ntwo\n⋯ 13 B in all ⋯"
    assert first_lines("one\ntwo\n", 2) == "one\ntwo"


def test_prose_is_broken_at_spaces_only() -> None:
    assert wrap_prose("word " * 50).count("\n") == 2
    assert wrap_prose("x" * 300) == "x" * 300


def test_one_line_shows_newlines() -> None:
    assert to_one_line("a\r\nb", 10) == "a⏎b"
    assert to_one_line("a" * 10 + "b" * 10, 9) == "aaaaaa ⋯ bbb"


def test_labels_stand_before_each_line() -> None:
    assert label_lines("x", "a\n\nb") == "x │ a\nx │\nx │ b"
    assert label_lines("x", "") == "x │"


def test_empty_lines_get_a_space() -> None:
    assert fill_empty_lines("a\n\nb") == "a\n \nb"


def test_long_pages_lose_their_middle() -> None:
    text = join_page(f"line {n} {'x' * 90}" for n in range(10_000))
    assert len(text) < PAGE_LIMIT + 200
    assert text.startswith("line 0 ") and "line 9999 " in text
    assert "of text left out here; the view `raw` has it all" in text


def test_lone_surrogates_can_be_written() -> None:
    assert "a \ufffd b" in request_text({"input": "a \ud800 b"})
