"""Each kind of tool: its declaration as a function, and its calls in both directions."""

from typing import Any

import pytest

from tests.translate.support import Json
from translate.tools.kinds import (
    CUSTOM,
    FUNCTION,
    KIND_BY_CALL_TYPE,
    KIND_BY_TOOL_TYPE,
    KINDS,
    LOCAL_SHELL,
    OUTPUT_TYPES,
    TOOL_SEARCH,
    Kind,
)

EACH_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.tool_type)


@EACH_KIND
def test_kind_is_found_by_its_types(kind: Kind) -> None:
    assert KIND_BY_TOOL_TYPE[kind.tool_type] is KIND_BY_CALL_TYPE[kind.call_type] is kind
    assert kind.output_type in OUTPUT_TYPES


@EACH_KIND
def test_every_kind_declares_an_object(kind: Kind) -> None:
    assert kind.parameter_schema({"type": kind.tool_type, "name": "t"})["type"] == "object"
    assert isinstance(kind.describe_tool({"description": None}), str)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (FUNCTION, {"arguments": '{"a":1}'}),
        (CUSTOM, {"input": 'a "b"\n\\d'}),
        (TOOL_SEARCH, {"execution": "client", "arguments": {"query": "oven", "limit": 2}}),
        (LOCAL_SHELL, {"action": {"type": "exec", "command": ["ls"], "env": {"A": "b"}}}),
    ],
)
def test_call_survives_the_round_trip(kind: Kind, call: Json) -> None:
    assert kind.arguments_to_call(kind.call_to_arguments(call)) == call


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"properties": {}}, {"type": "object", "properties": {}}),
        (
            {"type": "object", "properties": {"encrypted": {"type": "boolean", "encrypted": True}}},
            {"type": "object", "properties": {"encrypted": {"type": "boolean"}}},
        ),
        (
            {"type": "object", "anyOf": [{"encrypted": True}, {"encrypted": False}]},
            {"type": "object", "anyOf": [{}, {"encrypted": False}]},
        ),
        (
            {"properties": {"encrypted": True, "properties": {"properties": {"encrypted": True}}}},
            {
                "type": "object",
                "properties": {
                    "encrypted": True,
                    "properties": {"properties": {"encrypted": True}},
                },
            },
        ),
        (
            {"properties": {"const": {"encrypted": True}}, "default": {"encrypted": True}},
            {"type": "object", "properties": {"const": {}}, "default": {"encrypted": True}},
        ),
    ],
)
def test_function_schema_is_an_object_without_encrypted_marks(
    parameters: Json | None, expected: Json
) -> None:
    assert FUNCTION.parameter_schema({"parameters": parameters}) == expected


@pytest.mark.parametrize(
    ("tool", "description"),
    [
        ({"description": "Edits."}, "Edits."),
        ({"format": {"type": "text"}}, ""),
        ({"format": None, "description": None}, ""),
        (
            {"format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
            "`input` must match this regex grammar:\na+",
        ),
    ],
)
def test_description_of_a_custom_tool_has_its_grammar(tool: Json, description: str) -> None:
    assert CUSTOM.describe_tool(tool) == description


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a":1}', '{"a":1}'),
        ({"a": 1}, '{"a":1}'),
        (None, "{}"),
        ("", "{}"),
        ("oops", '{"arguments":"oops"}'),
        ("[1]", '{"arguments":"[1]"}'),
    ],
)
def test_arguments_in_the_history_are_always_an_object(arguments: Any, expected: str) -> None:
    assert FUNCTION.call_to_arguments({"arguments": arguments}) == expected


@pytest.mark.parametrize(
    ("kind", "arguments", "fields"),
    [
        (CUSTOM, '{"input":"a"}', {"input": "a"}),
        (CUSTOM, '{"patch":"a"}', {"input": "a"}),
        (CUSTOM, '"a"', {"input": "a"}),
        (CUSTOM, "a\nb", {"input": "a\nb"}),
        (CUSTOM, '{"a":"b","c":"d"}', {"input": '{"a":"b","c":"d"}'}),
        (CUSTOM, '{"input":5}', {"input": '{"input":5}'}),
        (CUSTOM, "[1]", {"input": "[1]"}),
        (FUNCTION, "", {"arguments": "{}"}),
        (TOOL_SEARCH, "", {"execution": "client", "arguments": {}}),
        (TOOL_SEARCH, "oven", {"execution": "client", "arguments": {"query": "oven"}}),
        (TOOL_SEARCH, "[1]", {"execution": "client", "arguments": {"query": "[1]"}}),
        (
            LOCAL_SHELL,
            "ls -l",
            {"action": {"type": "exec", "command": ["sh", "-c", "ls -l"], "env": {}}},
        ),
        (LOCAL_SHELL, "", {"action": {"type": "exec", "command": [], "env": {}}}),
    ],
)
def test_odd_arguments_become_the_likeliest_call(kind: Kind, arguments: str, fields: Json) -> None:
    assert kind.arguments_to_call(arguments) == fields


def test_search_without_parameters_has_those_of_codex() -> None:
    assert TOOL_SEARCH.parameter_schema({})["required"] == ["query"]
    schema = {"properties": {"q": {"type": "string"}}}
    assert TOOL_SEARCH.parameter_schema({"parameters": schema}) == {"type": "object", **schema}


def test_shell_call_in_the_history_has_no_type() -> None:
    call = {"action": {"type": "exec", "command": ["ls"], "timeout_ms": 5}}
    assert LOCAL_SHELL.call_to_arguments(call) == '{"command":["ls"],"timeout_ms":5}'
    assert LOCAL_SHELL.call_to_arguments({}) == "{}"
