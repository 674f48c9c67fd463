"""Parameters: forwarded, renamed, dropped and reported, or implied; messages of every role."""

import json
from typing import Any

import pytest

from tests.translate.support import PLAIN, PROVIDERS, Json, carry, messages, provider, sent
from translate.providers.profile import COMMON

SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
TOOL = {"type": "function", "name": "a"}


@pytest.mark.parametrize(
    ("fields", "made"),
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
def test_parameter_crosses(fields: Json, made: Json) -> None:
    body = sent(fields)
    assert {name: body[name] for name in made} == made
    assert carry(fields).dropped == []


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
def test_what_says_nothing_new_is_neither_sent_nor_reported(fields: Json) -> None:
    crossing = carry(fields)
    assert crossing.dropped == []
    assert json.loads(crossing.body).keys() - {"tools"} == sent().keys()


@pytest.mark.parametrize(
    ("fields", "reported"),
    [
        ({"store": True}, "store"),
        ({"truncation": "auto"}, "truncation"), ({"service_tier": "flex"}, "service_tier"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"), ({"metadata": {"a": "b"}}, "metadata"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"), ({"n": 2}, "n"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"prompt": {"id": "p"}}, "prompt"), ({"unheard": 0}, "unheard"), ({"user": "u"}, "user"),
    ],
)  # fmt: skip
def test_what_cannot_cross_is_reported(fields: Json, reported: str) -> None:
    crossing = carry(fields)
    assert crossing.dropped == [reported]
    assert json.loads(crossing.body).keys() == sent().keys()


def test_provider_that_takes_nothing_gets_nothing() -> None:
    bare = provider(refuses=COMMON)
    fields = {
        "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "temperature": 1,
        "max_output_tokens": 5, "reasoning": {"effort": "low"},
    }  # fmt: skip
    body = sent(fields, to=bare)
    assert body.keys() == {"model", "messages", "tools", "stream", "stream_options"}
    assert sorted(carry(fields, to=bare).dropped) == [
        *["max_output_tokens", "parallel_tool_calls", "reasoning.effort", "temperature"],
        "tool_choice",
    ]


@pytest.mark.parametrize(
    ("effort", "made"),
    [("minimal", "low"), ("low", "low"), ("medium", "high"), ("xhigh", "high"), ("max", "max"),
     ("ultra", "max")],
)  # fmt: skip
def test_effort_is_mapped_by_the_provider(effort: str, made: str) -> None:
    fields = {"reasoning": {"effort": effort}}
    assert sent(fields, to=PROVIDERS["deepseek"])["reasoning_effort"] == made


def test_stream_and_usage_are_always_asked_for() -> None:
    for stream in (True, False, None):
        body = sent(stream=stream)
        assert body["stream"] is True and body["stream_options"] == {"include_usage": True}
        assert body["model"] == "upstream-model"
        assert carry(stream=stream).streaming is bool(stream)


def test_leading_instructions_join_in_order() -> None:
    body = sent(
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
def test_late_instructions_stay_in_their_place(role: str) -> None:
    made = messages(
        {"role": "user", "content": "A"},
        {"role": "developer", "content": "B"},
        to=provider(late_system_role=role),
    )
    assert made == [{"role": "user", "content": "A"}, {"role": role, "content": "B"}]


def test_late_instructions_are_marked_where_only_users_may_speak() -> None:
    late = {"role": "developer", "content": "B"}
    made = messages({"role": "user", "content": "A"}, late, to=provider(late_system_role="user"))
    assert made[1] == {"role": "user", "content": "<system>\nB\n</system>"}


def test_system_role_is_the_providers() -> None:
    made = messages({"role": "system", "content": "A"}, to=provider(system_role="developer"))
    assert made == [{"role": "developer", "content": "A"}]


@pytest.mark.parametrize("content", ["", [], None, [{"type": "input_text", "text": ""}]])
@pytest.mark.parametrize("role", ["user", "assistant", "developer"])
def test_empty_message_is_left_out(role: str, content: Any) -> None:
    empty = {"type": "message", "role": role, "content": content}
    assert messages({"role": "user", "content": "A"}, empty) == [{"role": "user", "content": "A"}]


def test_texts_of_every_kind_are_kept() -> None:
    kinds = ["input_text", "output_text", "text", "summary_text", "reasoning_text"]
    parts: list[Json] = [{"type": kind, "text": kind} for kind in kinds]
    parts += [
        {"type": "refusal", "refusal": "refusal"},
        {"type": "encrypted_content", "encrypted_content": "sealed"},
    ]
    [message] = messages({"role": "assistant", "content": parts})
    assert message["content"].split("\n") == [*kinds, "refusal", "sealed"]


IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


@pytest.mark.parametrize(
    ("part", "made"),
    [
        (IMAGE, {"url": IMAGE["image_url"]}),
        (IMAGE | {"detail": "low"}, {"url": IMAGE["image_url"], "detail": "low"}),
        (IMAGE | {"detail": "original"}, {"url": IMAGE["image_url"], "detail": "high"}),
        (IMAGE | {"image_url": {"url": "https://a"}}, {"url": "https://a"}),
    ],
)
def test_image_takes_chats_form(part: Json, made: Json) -> None:
    [message] = messages({"role": "user", "content": [part]})
    assert message["content"] == [{"type": "image_url", "image_url": made}]


@pytest.mark.parametrize(
    ("part", "made"),
    [
        ({"file_id": "f"}, {"file_id": "f"}),
        ({"filename": "a", "file_data": "d"}, {"filename": "a", "file_data": "d"}),
    ],
)
def test_file_takes_chats_form(part: Json, made: Json) -> None:
    [message] = messages({"role": "user", "content": [{"type": "input_file", **part}]})
    assert message["content"] == [{"type": "file", "file": made}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "file_id": "f"}, {"type": "input_image", "image_url": {}},
        {"type": "input_file", "file_url": "https://a"}, {"type": "input_file", "filename": "a"},
        {"type": "input_audio"}, {"type": "input_video"}, {},
    ],
)  # fmt: skip
def test_part_without_a_place_in_chat_is_reported(part: Json) -> None:
    crossing = carry(input=[{"role": "user", "content": [part, {"type": "text", "text": "A"}]}])
    assert crossing.dropped == [f"input[0].content[0] ({part.get('type')})"]
    assert json.loads(crossing.body)["messages"] == [{"role": "user", "content": "A"}]


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
def test_media_where_only_text_may_stand_become_words(part: Json, words: str) -> None:
    content = [{"type": "input_text", "text": "See:"}, part]
    user = {"role": "user", "content": "A"}
    for message, made in [
        ({"role": "developer", "content": content}, f"<system>\nSee:\n{words}\n</system>"),
        ({"role": "assistant", "content": content}, f"See:\n{words}"),
        ({"type": "agent_message", "author": "a", "recipient": "b", "content": content},
         f"[from a to b]\nSee:{words}"),
    ]:  # fmt: skip
        crossing = carry(input=[user, message])
        assert json.loads(crossing.body)["messages"][1]["content"] == made
        [reported] = crossing.dropped
        assert reported.startswith("input[1].content (")


def test_provider_without_eyes_gets_words_for_images_alone() -> None:
    content = [IMAGE, {"type": "input_file", "file_id": "f"}]
    blind = provider(images=False)
    [message] = messages({"role": "user", "content": content}, to=blind)
    assert [part["type"] for part in message["content"]] == ["text", "file"]


@pytest.mark.parametrize(
    ("output", "carried"),
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
def test_output_of_any_form_is_kept(output: Any, carried: str) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "a", "arguments": "{}"}
    made = messages(call, {"type": "function_call_output", "call_id": "c", "output": output})
    assert made[1] == {"role": "tool", "tool_call_id": "c", "content": carried}


def test_unknown_item_is_reported_and_never_a_message() -> None:
    crossing = carry(input=[{"role": "user", "content": "A"}, {"type": "item_reference"}])
    assert crossing.dropped == ["input[1] (item_reference)"]
    assert len(json.loads(crossing.body)["messages"]) == 1


def test_reasoning_that_cannot_go_back_is_reported() -> None:
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAAB"}
    empty = {"type": "reasoning", "summary": []}
    crossing = carry(input=[thought, empty, {"role": "user", "content": "A"}], to=PLAIN)
    assert crossing.dropped == ["input[0] (reasoning)"]


def test_call_without_a_name_has_a_legal_one() -> None:
    [message, _] = messages({"type": "function_call", "call_id": "c", "arguments": "{}"})
    assert message["tool_calls"][0]["function"]["name"] == "unknown"


def test_cache_key_goes_where_the_provider_has_it() -> None:
    takes = {"takes": ["prompt_cache_key"]}
    asked = {"prompt_cache_key": "thread-1"}
    plain = carry(asked, to=provider(**takes))
    renamed = carry(asked, to=provider(**takes, cache_key="session"))
    header = carry(asked, to=provider(**takes, cache_key="header:x-session"))
    assert [json.loads(one.body).get("prompt_cache_key") for one in (plain, renamed, header)] == [
        *("thread-1", None, None),
    ]
    assert json.loads(renamed.body)["session"] == "thread-1"
    assert (plain.headers, renamed.headers, header.headers) == ({}, {}, {"x-session": "thread-1"})
    assert plain.dropped == renamed.dropped == header.dropped == []
    refused = carry(asked, to=provider(cache_key="header:x-session"))
    assert (refused.headers, refused.dropped) == ({}, ["prompt_cache_key"])


@pytest.mark.parametrize("key", ["two words", "line\r\nx-evil: 1", "é", "x" * 257, 5, ["a"]])
def test_cache_key_that_no_header_can_carry_is_reported(key: Any) -> None:
    to = provider(takes=["prompt_cache_key"], cache_key="header:x-session")
    made = carry({"prompt_cache_key": key}, to=to)
    assert (made.headers, made.dropped) == ({}, ["prompt_cache_key"])


def test_response_format_takes_the_place_of_thinking_where_they_exclude_each_other() -> None:
    to = provider(formatted={"think": False}, efforts={"*": {"think": True}})
    asked = {"reasoning": {"effort": "low"}}
    made = carry({**asked, "text": {"format": SCHEMA}}, to=to)
    body = json.loads(made.body)
    assert body["think"] is False and "response_format" in body
    assert made.dropped == ["reasoning.effort"]
    assert sent(asked, to=to)["think"] is True
    assert sent({**asked, "text": {"format": {"type": "text"}}}, to=to)["think"] is True


def test_images_in_outputs_are_words_where_the_table_says_so() -> None:
    url = "data:image/png;base64,AAAA"
    image = {"type": "input_image", "image_url": url}
    items = [
        {"role": "user", "content": [image]},
        {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": [image]},
    ]
    made = messages(*items, to=provider(output_images=False))
    assert made[0]["content"] == [{"type": "image_url", "image_url": {"url": url}}]
    assert made[-1]["content"] == "[image: image/png, 3 bytes, not shown]"
    assert carry(input=items, to=provider(output_images=False)).dropped == [
        "input[2].output (image_url)"
    ]
    follows = messages(*items)[-1]
    assert follows["role"] == "user" and follows["content"][1]["type"] == "image_url"
