"""Parameters in the form that a provider accepts, in either dialect (whole requests:
tests/translate/request)."""

from typing import Any

import pytest

from tests.translate.support import PROVIDERS, Json, provider
from translate.mappings.parameters import (
    fits_header,
    flatten_typed_object,
    format_in_words,
    omit_fields,
    parameter_headers,
    parameters_to_chat,
    parameters_to_responses,
)
from translate.providers.profile import Provider
from translate.tools.tool_map import ToolMap
from translate.wire.requests import ResponsesRequest, validate_responses_request

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
SCHEMA_FORMAT = {"type": "json_schema", "name": "n", "schema": SCHEMA}
RUN = {"type": "function", "name": "run"}


def request_with(**fields: Any) -> ResponsesRequest:
    return validate_responses_request({"model": "m", "input": "Hello.", **fields})


def tool_map(to: Provider, *tools: Json) -> ToolMap:
    declared = ToolMap(to)
    declared.declare_tools(list(tools))
    return declared


def to_chat(to: Provider, *tools: Json, **fields: Any) -> tuple[Json, list[str]]:
    return parameters_to_chat(request_with(**fields), to, tool_map(to, *tools))


def test_token_limit_goes_into_the_field_that_the_provider_names() -> None:
    odd_provider = provider(max_tokens="max_output")
    assert to_chat(odd_provider, max_output_tokens=5) == ({"max_output": 5}, [])


def to_responses(to: Provider, *tools: Json, **fields: Any) -> tuple[Json, list[str]]:
    return parameters_to_responses(request_with(**fields), to, tool_map(to, *tools))


def test_extra_fields_of_the_provider_are_always_sent() -> None:
    to = provider(extra={"user_id": "me"})
    assert to_chat(to) == to_responses(to) == ({"user_id": "me"}, [])


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("reasoning_effort", {"reasoning_effort": "high"}),
        ("reasoning.effort", {"reasoning": {"effort": "high"}}),
    ],
)
def test_effort_goes_to_the_providers_field(field: str, expected: Json) -> None:
    to = provider(effort_field=field)
    assert to_chat(to, reasoning={"effort": "high"}) == (expected, [])


def test_effort_may_become_other_fields_or_nothing() -> None:
    to = provider(efforts={"none": {"thinking": False}, "low": {}, "*": "high"})
    assert to_chat(to, reasoning={"effort": "none"}) == ({"thinking": False}, [])
    assert to_chat(to, reasoning={"effort": "low"}) == ({}, ["reasoning.effort"])
    assert to_chat(to, reasoning={"effort": "medium"}) == ({"reasoning_effort": "high"}, [])


def test_forced_tool_excludes_thinking_where_the_provider_cannot_combine_them() -> None:
    to = provider(forced={"thinking": {"type": "disabled"}})
    fields, dropped = to_chat(to, RUN, tool_choice="required", reasoning={"effort": "high"})
    assert fields == {"tool_choice": "required", "thinking": {"type": "disabled"}}
    assert dropped == ["reasoning.effort"]
    fields, dropped = to_chat(to, RUN, tool_choice="none", reasoning={"effort": "high"})
    assert fields == {"tool_choice": "none", "reasoning_effort": "high"} and dropped == []


def test_reasoning_and_text_are_one_object_each_for_a_responses_upstream() -> None:
    fields, dropped = to_responses(
        PROVIDERS["openai"],
        reasoning={"effort": "high", "summary": "auto"},
        text={"verbosity": "low", "format": SCHEMA_FORMAT},
        include=["message.output_text.logprobs", "web_search_call.results"],
        service_tier="fast",
    )
    assert fields["reasoning"] == {"effort": "high", "summary": "auto"}
    assert fields["text"] == {"verbosity": "low", "format": SCHEMA_FORMAT}
    assert sorted(fields["include"]) == [
        "message.output_text.logprobs",
        "reasoning.encrypted_content",
        "web_search_call.results",
    ]
    assert fields["service_tier"] == "priority" and dropped == []


def test_typed_object_of_chat_is_flattened() -> None:
    nested = {"type": "function", "function": {"name": "run"}}
    assert flatten_typed_object(nested) == {"type": "function", "name": "run"}
    assert flatten_typed_object({"type": "json_object"}) == {"type": "json_object"}


@pytest.mark.parametrize(
    ("formats", "form", "has_words"),
    [
        (["json_object"], SCHEMA_FORMAT, True),
        ([], SCHEMA_FORMAT, True),
        (["json_schema"], SCHEMA_FORMAT, False),
        (["json_object"], {"type": "json_object"}, False),
        (["json_object"], {"type": "json_schema", "name": "n"}, False),
        (["json_object"], None, False),
    ],
)
def test_schema_that_no_field_takes_is_written_into_the_instructions(
    formats: list[str], form: Json | None, has_words: bool
) -> None:
    words = format_in_words(request_with(text={"format": form}), provider(formats=formats))
    assert words.endswith('{"type":"object","properties":{"a":{"type":"string"}}}') is has_words


def test_cache_key_is_a_header_where_the_provider_has_one() -> None:
    to = provider(cache_key="header:x-session-affinity", takes=["prompt_cache_key"])
    request = request_with(prompt_cache_key="conversation-1")
    assert parameter_headers(request, to) == {"x-session-affinity": "conversation-1"}
    assert to_chat(to, prompt_cache_key="conversation-1") == ({}, [])
    assert parameter_headers(request, provider()) == {}
    two_lines = "conversation\n1"
    assert parameter_headers(request_with(prompt_cache_key=two_lines), to) == {}
    assert to_chat(to, prompt_cache_key=two_lines) == ({}, ["prompt_cache_key"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a-b", True), ("", False), ("a b", False), ("ä", False), ("x" * 257, False), (5, False)],
)
def test_header_value_is_short_printable_ascii(value: object, expected: bool) -> None:
    assert fits_header(value) is expected


def test_omitted_fields_are_removed_at_any_depth_and_reported() -> None:
    to = provider(omits=["logprobs", "messages.name", "a.b.c", "missing"])
    body = {
        "logprobs": True,
        "messages": [{"role": "user", "name": "me"}, {"role": "user"}],
        "a": {"b": 5},
    }
    assert omit_fields(body, to) == ["logprobs", "messages.name"]
    assert body == {"messages": [{"role": "user"}, {"role": "user"}], "a": {"b": 5}}
