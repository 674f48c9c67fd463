"""Message parts in both dialects, and media in tool outputs (whole requests:
tests/translate/request)."""

from typing import Any

import pytest

from tests.translate.support import Json
from translate import BadRequest
from translate.mappings.content import (
    image_fields,
    media_placeholder,
    output_to_chat,
    part_to_responses,
    parts_to_chat,
    replace_media,
    simplify_content,
    split_text_and_media,
)

PIXEL = "data:image/png;base64,iVBORw0KGgo="
TEXT = {"type": "text", "text": "Look."}
IMAGE = {"type": "image_url", "image_url": {"url": PIXEL}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


def test_parts_keep_their_order_and_empty_texts_are_left_out() -> None:
    parts = [
        {"type": "input_image", "image_url": PIXEL, "detail": "original"},
        {"type": "input_text", "text": ""},
        {"type": "output_text", "text": "Look."},
        {"type": "refusal", "refusal": "No."},
        AUDIO,
    ]
    image = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}}
    refusal = {"type": "text", "text": "No."}
    assert parts_to_chat(parts, "content") == ([image, TEXT, refusal, AUDIO], [])


@pytest.mark.parametrize(("content", "parts"), [("Look.", [TEXT]), ("", []), (None, []), ([], [])])
def test_content_may_be_a_string_or_missing(content: Any, parts: list[Json]) -> None:
    assert parts_to_chat(content, "content") == (parts, [])


def test_dropped_parts_are_reported_with_their_own_paths() -> None:
    parts = [{"type": "computer_screenshot"}, TEXT, {"type": "input_file"}, {"type": "input_image"}]
    converted, dropped = parts_to_chat(parts, "input[2].content")
    assert converted == [TEXT]
    assert dropped == [
        "input[2].content[0] (computer_screenshot)",
        "input[2].content[2] (input_file)",
        "input[2].content[3] (input_image)",
    ]


def test_malformed_part_is_refused_with_its_path() -> None:
    with pytest.raises(BadRequest) as error:
        parts_to_chat([TEXT, {"type": 5}], "input[2].content")
    assert error.value.param == "input[2].content[1].type"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (TEXT, {"type": "input_text", "text": "Look."}),
        (IMAGE, {"type": "input_image", "image_url": PIXEL, "detail": "auto"}),
        (
            {"type": "image_url", "image_url": PIXEL},
            {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
        ),
        (
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "input_image", "image_url": PIXEL, "detail": "low"},
        ),
        (
            {"type": "file", "file": {"file_id": "file_1"}},
            {"type": "input_file", "file_id": "file_1"},
        ),
        (AUDIO, AUDIO),
    ],
)
def test_chat_part_has_the_responses_form(part: Json, expected: Json) -> None:
    assert part_to_responses(part) == expected


def test_image_may_be_a_url_alone() -> None:
    assert image_fields(PIXEL) == image_fields({"url": PIXEL}) == {"url": PIXEL}


def test_texts_are_joined_and_media_stay_a_list() -> None:
    assert simplify_content([TEXT, TEXT]) == "Look.\nLook."
    assert simplify_content([TEXT, IMAGE]) == [TEXT, IMAGE]
    assert split_text_and_media([TEXT, IMAGE, TEXT]) == ("Look.\nLook.", [IMAGE])


def test_only_the_named_media_become_words() -> None:
    words = {"type": "text", "text": "[image: image/png, 9 bytes, not shown]"}
    parts, dropped = replace_media([TEXT, IMAGE, AUDIO], "input[0]", ("image_url",))
    assert (parts, dropped) == ([TEXT, words, AUDIO], ["input[0] (image_url)"])


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
            "[image: https://a.example/x.png]",
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:,"}},
            "[image: unknown type, 0 bytes, not shown]",
        ),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": "x"}}, "[file: a.pdf]"),
        (AUDIO, "[input_audio: not shown]"),
    ],
)
def test_words_say_which_media_is_missing(part: Json, words: str) -> None:
    assert media_placeholder(part) == {"type": "text", "text": words}


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("done", "done"),
        ({"ok": True}, '{"ok":true}'),
        ([{"type": "unknown"}], '[{"type":"unknown"}]'),
        ([1, 2], "[1,2]"),
        (None, "null"),
    ],
)
def test_tool_output_that_is_no_list_of_parts_is_text(output: Any, text: str) -> None:
    assert output_to_chat(output, "output") == ([{"type": "text", "text": text}], [])


def test_tool_output_may_be_parts() -> None:
    parts = [{"type": "input_text", "text": "Look."}, {"type": "input_image", "image_url": PIXEL}]
    assert output_to_chat(parts, "output") == ([TEXT, IMAGE], [])
    assert output_to_chat([], "output") == ([], [])


def test_screenshot_is_an_image() -> None:
    screenshot = {"type": "computer_screenshot", "image_url": PIXEL}
    assert output_to_chat(screenshot, "output") == ([IMAGE], [])
