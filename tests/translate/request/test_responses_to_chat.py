"""Responses requests as Chat requests: parameters, and messages of every role."""

import json
from typing import Any

import pytest

from tests.translate.support import (
    GENERIC,
    PROVIDERS,
    Json,
    provider,
    responses_exchange,
    sent_body,
    sent_messages,
)
from translate.providers.profile import COMMON_PARAMETERS

SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
TOOL = {"type": "function", "name": "a"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0}, {"temperature": 0}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"stop": ["a"]}, {"stop": ["a"]}),
        ({"seed": 1}, {"seed": 1}),
        ({"presence_penalty": 1}, {"presence_penalty": 1}),
        ({"frequency_penalty": 1}, {"frequency_penalty": 1}),
        ({"logit_bias": {"1": 2}}, {"logit_bias": {"1": 2}}),
        ({"max_output_tokens": 9}, {"max_tokens": 9}),
        ({"reasoning": {"effort": "high"}}, {"reasoning_effort": "high"}),
        ({"reasoning": {"effort": "none"}}, {"reasoning_effort": "none"}),
        ({"text": {"format": {"type": "json_object"}}},
         {"response_format": {"type": "json_object"}}),
        ({"text": {"format": SCHEMA | {"strict": True, "description": None}}},
         {"response_format": {"type": "json_schema", "json_schema": {
             "name": "n", "schema": {"type": "object"}, "strict": True}}}),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    ],
)  # fmt: skip
def test_parameter_is_sent_in_its_chat_form(fields: Json, expected: Json) -> None:
    body = sent_body(fields)
    assert {name: body[name] for name in expected} == expected
    assert responses_exchange(fields).dropped == []


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": None}, {"parallel_tool_calls": True}, {"parallel_tool_calls": False},
        {"tool_choice": "required"}, {"tools": [TOOL], "tool_choice": "auto"}, {"tools": []},
        {"tools": [TOOL], "parallel_tool_calls": True}, {"store": False}, {"background": False},
        {"text": {"format": {"type": "text"}}}, {"text": {}}, {"truncation": "disabled"},
        {"service_tier": "auto"}, {"service_tier": "default"}, {"top_logprobs": 0},
        {"metadata": {}}, {"include": ["reasoning.encrypted_content"]}, {"include": []},
        {"reasoning": {}}, {"reasoning": {"summary": "auto", "context": "all_turns"}},
        {"client_metadata": {"a": "b"}}, {"stream_options": {"include_obfuscation": False}},
        {"type": "response.create", "generate": True}, {"previous_response_id": None},
    ],
)  # fmt: skip
def test_parameter_with_its_default_is_neither_sent_nor_reported(fields: Json) -> None:
    exchange = responses_exchange(fields)
    assert exchange.dropped == []
    assert json.loads(exchange.body).keys() - {"tools"} == sent_body().keys()


@pytest.mark.parametrize(
    ("fields", "reported"),
    [
        ({"store": True}, "store"),
        ({"truncation": "auto"}, "truncation"), ({"service_tier": "flex"}, "service_tier"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"), ({"metadata": {"a": "b"}}, "metadata"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"), ({"n": 2}, "n"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"unheard": 0}, "unheard"), ({"user": "u"}, "user"),
    ],
)  # fmt: skip
def test_unsupported_parameter_is_reported(fields: Json, reported: str) -> None:
    exchange = responses_exchange(fields)
    assert exchange.dropped == [reported]
    assert json.loads(exchange.body).keys() == sent_body().keys()


def test_provider_without_parameters_gets_none() -> None:
    bare = provider(refuses=COMMON_PARAMETERS)
    fields = {
        "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "temperature": 1,
        "max_output_tokens": 5, "reasoning": {"effort": "low"},
    }  # fmt: skip
    body = sent_body(fields, to=bare)
    assert body.keys() == {"model", "messages", "tools", "stream", "stream_options"}
    assert sorted(responses_exchange(fields, to=bare).dropped) == [
        *["max_output_tokens", "parallel_tool_calls", "reasoning.effort", "temperature"],
        "tool_choice",
    ]


@pytest.mark.parametrize(
    ("effort", "expected"),
    [("minimal", "low"), ("low", "low"), ("medium", "high"), ("xhigh", "high"), ("max", "max"),
     ("ultra", "max")],
)  # fmt: skip
def test_effort_is_mapped_by_the_provider(effort: str, expected: str) -> None:
    fields = {"reasoning": {"effort": effort}}
    assert sent_body(fields, to=PROVIDERS["deepseek"])["reasoning_effort"] == expected


def test_stream_and_usage_are_always_requested() -> None:
    for stream in (True, False, None):
        body = sent_body(stream=stream)
        assert body["stream"] is True and body["stream_options"] == {"include_usage": True}
        assert body["model"] == "upstream-model"
        assert responses_exchange(stream=stream).streaming is bool(stream)


def test_leading_instructions_join_in_order() -> None:
    body = sent_body(
        instructions=[{"role": "developer", "content": [{"type": "input_text", "text": "A"}]}],
        input=[
            {"role": "developer", "content": "B"},
            {"role": "system", "content": [{"type": "input_text", "text": c} for c in "Cc"]},
            {"type": "additional_tools", "tools": []},
            {"role": "developer", "content": "D"},
            {"role": "user", "content": "E"},
        ],
    )
    assert body["messages"] == [
        {"role": "system", "content": "A\n\nB\n\nC\n\nc\n\nD"},
        {"role": "user", "content": "E"},
    ]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_late_instructions_keep_their_position(role: str) -> None:
    converted = sent_messages(
        {"role": "user", "content": "A"},
        {"role": "developer", "content": "B"},
        to=provider(late_system_role=role),
    )
    assert converted == [{"role": "user", "content": "A"}, {"role": role, "content": "B"}]


def test_late_instructions_are_marked_in_a_user_message() -> None:
    late = {"role": "developer", "content": "B"}
    converted = sent_messages(
        {"role": "user", "content": "A"}, late, to=provider(late_system_role="user")
    )
    assert converted[1] == {"role": "user", "content": "<system>\nB\n</system>"}


def test_system_role_is_the_providers() -> None:
    converted = sent_messages(
        {"role": "system", "content": "A"}, to=provider(system_role="developer")
    )
    assert converted == [{"role": "developer", "content": "A"}]


@pytest.mark.parametrize("content", ["", [], None, [{"type": "input_text", "text": ""}]])
@pytest.mark.parametrize("role", ["user", "assistant", "developer"])
def test_empty_message_is_left_out(role: str, content: Any) -> None:
    empty = {"type": "message", "role": role, "content": content}
    assert sent_messages({"role": "user", "content": "A"}, empty) == [
        {"role": "user", "content": "A"}
    ]


def test_texts_of_every_part_type_are_kept() -> None:
    types = ["input_text", "output_text", "text", "summary_text", "reasoning_text"]
    parts: list[Json] = [{"type": part_type, "text": part_type} for part_type in types]
    parts += [
        {"type": "refusal", "refusal": "refusal"},
        {"type": "encrypted_content", "encrypted_content": "sealed"},
    ]
    [message] = sent_messages({"role": "assistant", "content": parts})
    assert message["content"].split("\n") == [*types, "refusal", "sealed"]


IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (IMAGE, {"url": IMAGE["image_url"]}),
        (IMAGE | {"detail": "low"}, {"url": IMAGE["image_url"], "detail": "low"}),
        (IMAGE | {"detail": "original"}, {"url": IMAGE["image_url"], "detail": "high"}),
        (IMAGE | {"image_url": {"url": "https://a"}}, {"url": "https://a"}),
    ],
)
def test_image_has_chats_form(part: Json, expected: Json) -> None:
    [message] = sent_messages({"role": "user", "content": [part]})
    assert message["content"] == [{"type": "image_url", "image_url": expected}]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"file_id": "f"}, {"file_id": "f"}),
        ({"filename": "a", "file_data": "d"}, {"filename": "a", "file_data": "d"}),
    ],
)
def test_file_has_chats_form(part: Json, expected: Json) -> None:
    [message] = sent_messages({"role": "user", "content": [{"type": "input_file", **part}]})
    assert message["content"] == [{"type": "file", "file": expected}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "file_id": "f"}, {"type": "input_image", "image_url": {}},
        {"type": "input_file", "file_url": "https://a"}, {"type": "input_file", "filename": "a"},
        {"type": "input_audio"}, {"type": "input_video"}, {},
    ],
)  # fmt: skip
def test_part_without_a_chat_form_is_reported(part: Json) -> None:
    exchange = responses_exchange(
        input=[{"role": "user", "content": [part, {"type": "text", "text": "A"}]}]
    )
    assert exchange.dropped == [f"input[0].content[0] ({part.get('type')})"]
    assert json.loads(exchange.body)["messages"] == [{"role": "user", "content": "A"}]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (IMAGE, "[image: image/png, 3 bytes, not shown]"),
        (
            {"type": "input_image", "image_url": "data:,x"},
            "[image: unknown type, 0 bytes, not shown]",
        ),
        ({"type": "input_image", "image_url": "https://a"}, "[image: https://a]"),
        ({"type": "input_file", "filename": "a.pdf", "file_data": "d"}, "[file: a.pdf]"),
        ({"type": "input_file", "file_id": "f"}, "[file: not shown]"),
        ({"type": "input_audio", "input_audio": {"data": "d"}}, "[input_audio: not shown]"),
    ],
)
def test_media_become_words_in_text_messages(part: Json, words: str) -> None:
    content = [{"type": "input_text", "text": "See:"}, part]
    user = {"role": "user", "content": "A"}
    for message, expected in [
        ({"role": "developer", "content": content}, f"<system>\nSee:\n{words}\n</system>"),
        ({"role": "assistant", "content": content}, f"See:\n{words}"),
        ({"type": "agent_message", "author": "a", "recipient": "b", "content": content},
         f"[from a to b]\nSee:{words}"),
    ]:  # fmt: skip
        exchange = responses_exchange(input=[user, message])
        assert json.loads(exchange.body)["messages"][1]["content"] == expected
        [reported] = exchange.dropped
        assert reported.startswith("input[1].content (")


def test_provider_without_images_gets_words_for_images_only() -> None:
    content = [IMAGE, {"type": "input_file", "file_id": "f"}]
    blind = provider(images=False)
    [message] = sent_messages({"role": "user", "content": content}, to=blind)
    assert [part["type"] for part in message["content"]] == ["text", "file"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("text", "text"),
        ([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}], "a\nb"),
        ({"ok": True}, '{"ok":true}'),
        ([1, 2], "[1,2]"),
        ([{"type": "row", "value": 1}], '[{"type":"row","value":1}]'),
        ([], ""),
        (None, "null"),
        (5, "5"),
    ],
)
def test_output_of_any_form_becomes_text(output: Any, expected: str) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "a", "arguments": "{}"}
    converted = sent_messages(
        call, {"type": "function_call_output", "call_id": "c", "output": output}
    )
    assert converted[1] == {"role": "tool", "tool_call_id": "c", "content": expected}


def test_unknown_item_is_reported_and_never_a_message() -> None:
    exchange = responses_exchange(
        input=[{"role": "user", "content": "A"}, {"type": "mcp_list_tools"}]
    )
    assert exchange.dropped == ["input[1] (mcp_list_tools)"]
    assert len(json.loads(exchange.body)["messages"]) == 1


def test_reasoning_that_cannot_be_sent_back_is_reported() -> None:
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAAB"}
    empty = {"type": "reasoning", "summary": []}
    exchange = responses_exchange(
        input=[thought, empty, {"role": "user", "content": "A"}], to=GENERIC
    )
    assert exchange.dropped == ["input[0] (reasoning)"]


def test_call_without_a_name_gets_a_legal_one() -> None:
    [message, _] = sent_messages({"type": "function_call", "call_id": "c", "arguments": "{}"})
    assert message["tool_calls"][0]["function"]["name"] == "unknown"


def test_cache_key_goes_to_the_providers_field_or_header() -> None:
    takes = {"takes": ["prompt_cache_key"]}
    request = {"prompt_cache_key": "thread-1"}
    unrenamed = responses_exchange(request, to=provider(**takes))
    renamed = responses_exchange(request, to=provider(**takes, cache_key="session"))
    header = responses_exchange(request, to=provider(**takes, cache_key="header:x-session"))
    bodies = [json.loads(exchange.body) for exchange in (unrenamed, renamed, header)]
    assert [body.get("prompt_cache_key") for body in bodies] == ["thread-1", None, None]
    assert json.loads(renamed.body)["session"] == "thread-1"
    assert (unrenamed.headers, renamed.headers, header.headers) == (
        {},
        {},
        {"x-session": "thread-1"},
    )
    assert unrenamed.dropped == renamed.dropped == header.dropped == []
    refused = responses_exchange(request, to=provider(cache_key="header:x-session"))
    assert (refused.headers, refused.dropped) == ({}, ["prompt_cache_key"])


@pytest.mark.parametrize("key", ["two words", "line\r\nx-evil: 1", "é", "x" * 257, 5, ["a"]])
def test_cache_key_that_is_no_header_value_is_reported(key: Any) -> None:
    to = provider(takes=["prompt_cache_key"], cache_key="header:x-session")
    exchange = responses_exchange({"prompt_cache_key": key}, to=to)
    assert (exchange.headers, exchange.dropped) == ({}, ["prompt_cache_key"])


def test_response_format_wins_where_the_provider_cannot_combine_it_with_thinking() -> None:
    to = provider(formatted={"think": False}, efforts={"*": {"think": True}})
    request = {"reasoning": {"effort": "low"}}
    exchange = responses_exchange({**request, "text": {"format": SCHEMA}}, to=to)
    body = json.loads(exchange.body)
    assert body["think"] is False and "response_format" in body
    assert exchange.dropped == ["reasoning.effort"]
    assert sent_body(request, to=to)["think"] is True
    assert sent_body({**request, "text": {"format": {"type": "text"}}}, to=to)["think"] is True


def test_images_in_outputs_become_words_where_the_provider_takes_none() -> None:
    url = "data:image/png;base64,AAAA"
    image = {"type": "input_image", "image_url": url}
    items = [
        {"role": "user", "content": [image]},
        {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": [image]},
    ]
    converted = sent_messages(*items, to=provider(output_images=False))
    assert converted[0]["content"] == [{"type": "image_url", "image_url": {"url": url}}]
    assert converted[-1]["content"] == "[image: image/png, 3 bytes, not shown]"
    assert responses_exchange(input=items, to=provider(output_images=False)).dropped == [
        "input[2].output (image_url)"
    ]
    follows = sent_messages(*items)[-1]
    assert follows["role"] == "user" and follows["content"][1]["type"] == "image_url"
