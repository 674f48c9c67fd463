"""Schemas are rewritten within the subset that a provider accepts, in tools and in formats."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.translate.support import (
    PROVIDERS,
    Json,
    chunk,
    output,
    reply_events,
    responses_exchange,
    sent_body,
)
from tests.translate.tools.schema_strategies import (
    DEFS,
    GEMINI,
    KEYWORDS,
    KIMI,
    ODD_VALUES,
    ROOTS,
    STRICT,
    SUBSETS,
)
from translate import BadRequest
from translate.providers.profile import FULL_SCHEMA, SchemaSubset
from translate.tools.schema import SCHEMA_BUDGET, is_closable, normalize_schema

CHAT_OPENAI = PROVIDERS["openai"].model_copy(update={"dialect": "chat"})
EACH_SUBSET = pytest.mark.parametrize("subset", SUBSETS.values(), ids=SUBSETS)
NULL = {"type": "null"}


def inner_schemas(schema: Json) -> Iterator[Json]:
    """The schema and all schemas in it."""
    yield schema
    for key in ("properties", "$defs"):
        for member in schema.get(key, {}).values():
            yield from inner_schemas(member)
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())]
    for member in inner:
        if isinstance(member, dict):
            yield from inner_schemas(member)


@EACH_SUBSET
@given(ROOTS)
def test_normalized_schema_is_within_the_subset(subset: SchemaSubset, schema: Json) -> None:
    normal = normalize_schema(schema, subset)
    Draft202012Validator.check_schema(normal)
    assert normal["type"] == "object" and "anyOf" not in normal
    assert subset.keywords
    for part in inner_schemas(normal):
        assert part.keys() <= subset.keywords | ({"nullable"} if subset.nullable else set())
        if subset.one_type:
            assert isinstance(part.get("type"), str) != ("anyOf" in part)
            assert part.get("type") != "array" or part["items"]
        if subset.closed and part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])


@EACH_SUBSET
@given(ROOTS)
def test_normalizing_twice_changes_nothing(subset: SchemaSubset, schema: Json) -> None:
    normal = normalize_schema(schema, subset)
    if not subset.nullable:  # `nullable` is no keyword of JSON Schema
        assert normalize_schema(normal, subset) == normal


@EACH_SUBSET
@given(st.dictionaries(KEYWORDS, ODD_VALUES, max_size=5))
def test_any_schema_is_accepted(subset: SchemaSubset, schema: Json) -> None:
    json.dumps(normalize_schema(schema, subset))
    is_closable(schema)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 5}, {"type": "integer", "enum": [5]}),
        ({"const": None}, {"type": "null"}),
        ({"const": True}, {"type": "boolean"}),
        ({"enum": [1, "a", 2.5]}, {"anyOf": [
            {"type": "string", "enum": ["a"]}, {"type": "number", "enum": [1, 2.5]},
        ]}),
        ({"type": "string", "format": "uri", "pattern": "a"}, {"type": "string"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        ({"items": {"type": "string"}},
         {"type": "array", "items": {"type": "string"}}),
        ({"type": "string", "anyOf": [{"minLength": 3}, {"enum": ["a"]}], "description": "D"},
         {"anyOf": [{"type": "string", "minLength": 3}, {"type": "string", "enum": ["a"]}],
          "description": "D"}),
        ({"oneOf": [{"type": "string", "title": "S"}, {"type": "integer"}]},
         {"anyOf": [{"type": "string", "title": "S"}, {"type": "integer"}]}),
        ({"allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "string"}}, "required": ["b"]}]},
         {"type": "object", "required": ["b", "a"],
          "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}),
        ({"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
         {"type": "array", "items": {"anyOf": [
             {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"},
             {"type": "object"}, {"type": "array", "items": {"type": "string"}},
         ]}}),
        ({"type": "object", "required": ["q"]},
         {"type": "object", "required": ["q"], "properties": {"q": {"anyOf": [
             {"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "object"},
             {"type": "array", "items": {"type": "string"}},
         ]}}}),
        ({"type": "object", "additionalProperties": {"type": ["string"]}, "minProperties": 1},
         {"type": "object", "additionalProperties": {"type": "string"}}),
    ],
)  # fmt: skip
def test_property_within_the_subset_of_kimi(schema: Json, expected: Json) -> None:
    root = {"type": "object", "properties": {"p": schema}}
    assert normalize_schema(root, KIMI)["properties"]["p"] == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["string", "null"], "description": "D"},
         {"type": "string", "description": "D", "nullable": True}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
         {"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer"}),
        ({"type": "null"}, {"type": "null"}),
    ],
)  # fmt: skip
def test_property_within_the_subset_of_gemini(schema: Json, expected: Json) -> None:
    root = {"type": "object", "properties": {"p": schema}, "additionalProperties": False}
    assert normalize_schema(root, GEMINI) == {"type": "object", "properties": {"p": expected}}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [{"type": "string"}, NULL]}, {"anyOf": [{"type": "string"}, NULL]}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}], "description": "D"},
         {"anyOf": [{"type": "string"}, {"type": "integer"}, NULL], "description": "D"}),
        ({"$ref": "#/$defs/leaf"}, {"anyOf": [{"$ref": "#/$defs/leaf"}, NULL]}),
        ({"oneOf": [{"const": 1}]}, {"anyOf": [{"const": 1}, NULL]}),
        ({"type": "object"}, {"anyOf": [
            {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
            NULL,
        ]}),
    ],
)  # fmt: skip
def test_property_of_a_strict_tool(schema: Json, expected: Json) -> None:
    root = {"type": "object", "properties": {"p": schema}, "$defs": DEFS}
    assert normalize_schema(root, STRICT)["properties"]["p"] == expected


def test_subset_of_all_keywords_keeps_them() -> None:
    schema = {
        "type": "array", "prefixItems": [{"const": 1}], "allOf": [{"oneOf": [{"$ref": "#"}]}],
        "not": {"items": {"type": "string"}},
    }  # fmt: skip
    assert normalize_schema(schema, SchemaSubset.model_validate({"closed": True})) == schema


def test_alternatives_at_the_root_become_one_object() -> None:
    """kimi-code#2661: Notion's tool; the root must be an object (MiqroForge-Desktop#1165)."""
    name, text = {"type": "string"}, {"type": "string", "minLength": 1}
    schema = {
        "type": "object",
        "description": "Exactly one.",
        "anyOf": [
            {"properties": {"name": name, "text": text}, "required": ["name", "text"]},
            {"properties": {"name": name, "text": {"type": "null"}}, "required": ["name"]},
        ],
    }
    assert normalize_schema(schema, KIMI) == {
        "type": "object",
        "description": "Exactly one.",
        "properties": {"name": name, "text": {"anyOf": [text, {"type": "null"}]}},
        "required": ["name"],
    }


def test_joined_object_requires_only_what_all_alternatives_require() -> None:
    schema = {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"}
    assert "required" not in normalize_schema(schema, KIMI)


TREE: Json = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"next": {"$ref": "#/$defs/node", "description": "The next."}},
        }
    },
}


def test_reference_to_itself_is_followed_twice() -> None:
    root = normalize_schema(TREE, KIMI)["properties"]["root"]
    bottom = root["properties"]["next"]["properties"]["next"]
    assert bottom == {"type": "object", "description": "The next."}


def test_references_cannot_make_a_small_schema_huge() -> None:
    defs: Json = {
        f"d{n}": {
            "type": "object",
            "properties": {x: {"$ref": f"#/$defs/d{n + 1}"} for x in "abcd"},
        }
        for n in range(20)
    }
    schema = {"type": "object", "properties": {"p": {"$ref": "#/$defs/d0"}}, "$defs": defs}
    assert len(list(inner_schemas(normalize_schema(schema, KIMI)))) < 5 * SCHEMA_BUDGET


def test_reference_outside_the_document_allows_anything() -> None:
    schema = {"type": "object", "properties": {"p": {"$ref": "https://example.org/s"}}}
    assert normalize_schema(schema, KIMI)["properties"]["p"]["anyOf"]


def test_provider_that_takes_all_keywords_gets_the_schema_unchanged() -> None:
    assert normalize_schema(TREE, FULL_SCHEMA) is TREE


# tools and formats of an exchange

CLOSED: Json = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}},
    "required": ["path"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "read", "parameters": CLOSED, "strict": True}


def test_strict_tool_is_declared_closed_and_its_call_is_restored() -> None:
    exchange = responses_exchange(to=CHAT_OPENAI, tools=[TOOL])
    [tool] = json.loads(exchange.body)["tools"]
    limit = tool["function"]["parameters"]["properties"]["limit"]
    assert tool["function"]["strict"] and limit == {
        "anyOf": [{"type": "integer"}, {"type": "null"}]
    }
    function = {"name": "read", "arguments": '{"path": "a", "limit": null}'}
    call = {"index": 0, "id": "call_1", "function": function}
    [item] = output(reply_events(chunk("tool_calls", tool_calls=[call]), exchange=exchange))
    assert item["arguments"] == '{"path":"a"}'


def test_arguments_that_need_no_repair_keep_their_spelling() -> None:
    for arguments in ('{"path": "a"}', "no JSON"):
        exchange = responses_exchange(to=CHAT_OPENAI, tools=[TOOL])
        call = {"index": 0, "id": "c", "function": {"name": "read", "arguments": arguments}}
        [item] = output(reply_events(chunk("tool_calls", tool_calls=[call]), exchange=exchange))
        assert item["arguments"] == arguments


@pytest.mark.parametrize(
    "parameters",
    [
        {"additionalProperties": {"type": "string"}},
        {"properties": {"a": {"items": {"patternProperties": {"x": {}}}}}},
        {"anyOf": [{"additionalProperties": True}]},
    ],
)
def test_tool_that_cannot_be_closed_is_not_strict(parameters: Json) -> None:
    tool = {**TOOL, "parameters": {"type": "object", **parameters}}
    exchange = responses_exchange(to=CHAT_OPENAI, tools=[tool])
    [declared] = json.loads(exchange.body)["tools"]
    assert "strict" not in declared["function"]
    assert exchange.dropped == ["tools[read].strict"]


def test_strict_is_not_sent_to_a_provider_that_does_not_know_it() -> None:
    exchange = responses_exchange(to=PROVIDERS["glm"], tools=[TOOL])
    assert "strict" not in json.loads(exchange.body)["tools"][0]["function"]
    assert exchange.dropped == ["tools[read].strict"]


def test_format_without_a_schema_passes() -> None:
    body = sent_body(to=PROVIDERS["kimi"], text={"format": {"type": "json_schema", "name": "n"}})
    assert body["response_format"]["json_schema"] == {"name": "n"}
    body = sent_body(
        to=PROVIDERS["deepseek"], text={"format": {"type": "json_schema", "name": "n"}}
    )
    assert body["response_format"] == {"type": "json_object"} and len(body["messages"]) == 1


def test_unsupported_format_is_reported() -> None:
    exchange = responses_exchange(
        to=PROVIDERS["lmstudio"], text={"format": {"type": "json_object"}}
    )
    assert exchange.dropped == ["text.format"]


def test_schema_of_a_format_is_normalized() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {**CLOSED, "$schema": "…"}}
    body = sent_body(to=PROVIDERS["kimi"], text={"format": form})
    assert body["response_format"]["json_schema"]["schema"] == CLOSED


# Each alternative would get all the properties beside them: a thousand times a thousand schemas.
MULTIPLIED: Json = {
    "anyOf": [{"minLength": number} for number in range(1_000)],
    "properties": {f"p{number}": {} for number in range(1_000)},
}


def test_schema_that_multiplies_is_refused_with_its_path() -> None:
    with pytest.raises(BadRequest, match="is too complex a schema") as refusal:
        responses_exchange(
            to=PROVIDERS["kimi"], tools=[{**TOOL, "strict": None, "parameters": MULTIPLIED}]
        )
    assert refusal.value.param == "tools[0].parameters"
    form = {"type": "json_schema", "name": "n", "schema": MULTIPLIED}
    with pytest.raises(BadRequest, match="is too complex a schema") as refusal:
        responses_exchange(to=PROVIDERS["kimi"], text={"format": form})
    assert refusal.value.param == "text.format.schema"


@pytest.mark.parametrize("properties", ["x", [], 5, {"a": "x"}, {"a": []}, True])
@pytest.mark.parametrize("name", ["kimi", "gemini", "generic", "openai"])
def test_schema_with_odd_properties_makes_a_working_turn(name: str, properties: Json) -> None:
    parameters = {"type": "object", "properties": properties, "required": ["a"]}
    exchange = responses_exchange(
        to=PROVIDERS[name].model_copy(update={"dialect": "chat"}),
        tools=[{**TOOL, "parameters": parameters}],
    )
    call = {"index": 0, "id": "c", "function": {"name": "read", "arguments": '{"a":null}'}}
    events = reply_events(chunk("tool_calls", tool_calls=[call]), exchange=exchange)
    assert events[-1]["type"] == "response.completed" and len(output(events)) == 1
