"""Arguments restored to the schema that the client sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.translate.support import VALUES, Json
from tests.translate.tools.schema_strategies import (
    KEYWORDS,
    KIMI,
    ODD_VALUES,
    ROOTS,
    SUBSETS,
    instances,
)
from translate.providers.profile import SchemaSubset
from translate.tools.schema import normalize_schema
from translate.tools.schema_restore import merge_schemas, resolve_reference, restore_arguments

EACH_SUBSET = pytest.mark.parametrize("subset", SUBSETS.values(), ids=SUBSETS)


@EACH_SUBSET
@given(st.data())
def test_restored_arguments_are_valid_under_the_original_schema(
    subset: SchemaSubset, data: st.DataObject
) -> None:
    schema = data.draw(ROOTS)
    normal = normalize_schema(schema, subset)
    value = data.draw(instances(normal, normal))
    restored = restore_arguments(value, schema)
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(restored)]
    assert not errors, (normal, value, restored)


@given(st.data())
def test_arguments_that_are_already_valid_stay(data: st.DataObject) -> None:
    schema = data.draw(ROOTS)
    normal = normalize_schema(schema, KIMI)
    value = data.draw(instances(normal, normal))
    if Draft202012Validator(schema).is_valid(value) and not _contains_null(value):
        assert restore_arguments(value, schema) == value


def _contains_null(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_contains_null, inner))


@given(st.dictionaries(KEYWORDS, ODD_VALUES, max_size=5), VALUES)
def test_any_schema_and_value_are_accepted(schema: Json, value: Any) -> None:
    json.dumps(restore_arguments(value, schema))


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        # an option that fits comes before an option that fits without some properties
        ({"anyOf": [
            {"type": "object", "properties": {"x": {}}, "additionalProperties": False},
            {"type": "object", "properties": {"x": {}, "y": {}}, "additionalProperties": False},
        ]}, {"x": 1, "y": 2}, {"x": 1, "y": 2}),
        ({"anyOf": [{"properties": {"x": {"type": "string"}}, "additionalProperties": False}]},
         {"x": "a", "y": 2}, {"x": "a"}),
        ({"allOf": [{"properties": {"a": {"type": "string"}}}]}, {"a": None}, {}),
        ({"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"a": None}, {"a": None}),
        ({"properties": {"a": {"enum": [1]}}}, {"a": None}, {}),
        ({"properties": {"a": {"const": True}}}, {"a": 1}, {"a": 1}),
        ({"properties": {}, "patternProperties": {"^x": {}}, "additionalProperties": False},
         {"x1": 1}, {"x1": 1}),
        ({"prefixItems": [{"properties": {"a": {"type": "string"}}}], "items": False},
         [{"a": None}, 2], [{}, 2]),
        ({"items": [{"type": "string"}], "additionalItems": {"properties": {"a": False}}},
         ["s", {"a": 1}], ["s", {}]),
        ({"oneOf": [{"type": "array", "items": {"type": "string"}},
                    {"type": "array", "items": {"type": "integer"}}]}, [1], [1]),
        ({"anyOf": [{"type": "string"}]}, {"a": 1}, {"a": 1}),
        ({"anyOf": [{"const": {"b": 1}}, {"required": ["c"]}]}, {"a": 1}, {"a": 1}),
        ({"$ref": "#"}, {"a": {"a": None}}, {"a": {"a": None}}),
    ],
)  # fmt: skip
def test_arguments_are_restored(schema: Json, value: Any, expected: Any) -> None:
    assert restore_arguments(value, schema) == expected


def test_endless_references_come_to_an_end() -> None:
    schema = {"$ref": "#/a", "a": {"anyOf": [{"$ref": "#/a"}, {"$ref": "#/a"}]}}
    deep: Any = None
    for _ in range(100):
        deep = {"a": deep}
    assert restore_arguments({"x": 1}, schema) == {"x": 1}
    assert restore_arguments(deep, {"additionalProperties": {"$ref": "#"}}) == deep
    assert restore_arguments({"x": None}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}) == {"x": None}


def test_reference_within_the_document_is_resolved() -> None:
    null = {"type": "null"}
    assert resolve_reference("#", {"a": 1}) == {"a": 1}
    assert resolve_reference("#/a~1b/c~0d", {"a/b": {"c~d": null}}) == null
    assert resolve_reference("#/a/0", {"a": ["x"]}) == resolve_reference("other", {}) == {}


def test_merged_schema_requires_what_either_requires() -> None:
    first = {"properties": {"a": {}}, "required": ["a"], "title": "First"}
    second = {"properties": {"b": {}}, "required": ["b", "a"], "title": "Second"}
    assert merge_schemas(first, second) == {
        "properties": {"a": {}, "b": {}},
        "required": ["a", "b"],
        "title": "Second",
    }


def test_work_on_alternatives_is_bounded_and_the_arguments_pass() -> None:
    options = [{"properties": {"a": {"const": str(n)}}} for n in range(2_000)]
    arguments = [{"a": 1}] * 2_000
    assert restore_arguments(arguments, {"items": {"anyOf": options}}) == arguments
