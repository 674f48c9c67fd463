"""Schemas in what a provider takes of them, and arguments back under the original."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.translate.support import PROVIDERS, VALUES, Json, carry, chunk, output, replied, sent
from translate.providers.taken import ALL, Subset
from translate.tools.schema import BUDGET, closable, normalised
from translate.tools.schema_restore import resolve, restored

KIMI, GEMINI = PROVIDERS["kimi"].subset, PROVIDERS["gemini"].subset
STRICT = PROVIDERS["openai"].strict
CHAT = PROVIDERS["openai"].model_copy(update={"dialect": "chat"})
assert STRICT
SUBSETS = {"kimi": KIMI, "gemini": GEMINI, "strict": STRICT}
each = pytest.mark.parametrize("subset", SUBSETS.values(), ids=SUBSETS)

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES: st.SearchStrategy[Json] = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer", "description": "How many."},
        {"type": "number"},
        {"type": "boolean"},
        {"enum": ["x", "y"]},
        {"type": ["string", "null"], "enum": ["x", None]},
        {"const": "x"},
        {"type": ["integer", "string"]},
        {"type": ["object", "null"], "properties": {}, "additionalProperties": False},
        {"$ref": "#/$defs/leaf"},
        {"$ref": "#/$defs/point", "description": "Where."},
    ]
)
DEFS: Json = {
    "leaf": {"type": ["string", "null"]},
    "point": {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"$ref": "#/$defs/leaf"}},
        "required": ["x"],
        "additionalProperties": False,
    },
}


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Json]) -> Json:
    properties = draw(st.dictionaries(NAMES, inner, max_size=3))
    required = (
        draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    )
    made: Json = {"type": "object", "properties": properties, "required": required}
    return made | draw(st.sampled_from([{}, {"additionalProperties": False}]))


def lists(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return inner.map(lambda one: {"type": "array", "items": one}) | inner.map(
        lambda one: {"type": "array", "prefixItems": [one, one], "items": False}
    )


def unions(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    options = st.lists(inner, min_size=1, max_size=3)
    return options.map(lambda found: {"anyOf": found}) | inner.map(lambda one: {"allOf": [one]})


SCHEMAS = st.recursive(
    LEAVES, lambda inner: objects(inner) | lists(inner) | unions(inner), max_leaves=6
)
ROOTS = objects(SCHEMAS).map(lambda root: {**root, "$defs": DEFS})


@st.composite
def instances(draw: st.DrawFn, schema: Json, root: Json) -> Any:
    """A value that is valid under a normal schema."""
    if ref := schema.get("$ref"):
        return draw(instances(resolve(ref, root), root))
    if schema.get("nullable") and draw(st.booleans()):
        return None
    if options := schema.get("anyOf"):
        return draw(instances(draw(st.sampled_from(options)), root))
    if values := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return draw(st.sampled_from(values))
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = draw(st.sampled_from(kinds))
    if kind == "array":
        return [draw(instances(one, root)) for one in [schema["items"]] * draw(st.integers(0, 2))]
    return draw(structures(schema, root) if kind == "object" else PLAIN[kind])


@st.composite
def structures(draw: st.DrawFn, schema: Json, root: Json) -> Json:
    made: Json = {}
    for name, one in schema.get("properties", {}).items():
        if name in schema.get("required", ()) or draw(st.booleans()):
            made[name] = draw(instances(one, root))
    if schema.get("additionalProperties") is not False and draw(st.booleans()):
        made["z"] = draw(st.integers())
    return made


PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=3),
    "integer": st.integers(-9, 9),
    "number": st.integers(-9, 9) | st.floats(-9, 9),
    "boolean": st.booleans(),
    "null": st.none(),
}


@each
@given(st.data())
def test_arguments_are_valid_under_the_original_schema(subset: Subset, data: st.DataObject) -> None:
    schema = data.draw(ROOTS)
    normal = normalised(schema, subset)
    value = data.draw(instances(normal, normal))
    made = restored(value, schema)
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(made)]
    assert not errors, (normal, value, made)


@given(st.data())
def test_arguments_that_are_valid_already_stay_as_they_are(data: st.DataObject) -> None:
    schema = data.draw(ROOTS)
    normal = normalised(schema, KIMI)
    value = data.draw(instances(normal, normal))
    if Draft202012Validator(schema).is_valid(value) and not _nulls(value):
        assert restored(value, schema) == value


def _nulls(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_nulls, inner))


def parts(schema: Json) -> Iterator[Json]:
    """A normal schema and those inside it."""
    yield schema
    for key in ("properties", "$defs"):
        for one in schema.get(key, {}).values():
            yield from parts(one)
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())]
    for one in inner:
        if isinstance(one, dict):
            yield from parts(one)


@each
@given(ROOTS)
def test_normal_schema_holds_what_the_subset_takes(subset: Subset, schema: Json) -> None:
    normal = normalised(schema, subset)
    Draft202012Validator.check_schema(normal)
    assert normal["type"] == "object" and "anyOf" not in normal
    assert subset.keywords
    for part in parts(normal):
        assert part.keys() <= subset.keywords | ({"nullable"} if subset.nullable else set())
        if subset.one_type:
            assert isinstance(part.get("type"), str) != ("anyOf" in part)
            assert part.get("type") != "array" or part["items"]
        if subset.closed and part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])


@each
@given(ROOTS)
def test_normal_schema_is_normal(subset: Subset, schema: Json) -> None:
    normal = normalised(schema, subset)
    if not subset.nullable:  # `nullable` says nothing as JSON Schema
        assert normalised(normal, subset) == normal


KEYWORDS = st.sampled_from(
    [
        *(
            "type",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "prefixItems",
            "anyOf",
        ),
        *("oneOf", "allOf", "$ref", "$defs", "enum", "const", "patternProperties", "not"),
    ]
)
ODD = st.recursive(
    VALUES | st.sampled_from(["#", "#/$defs/a", "object", ["string", "array"], True, False]),
    lambda inner: (
        st.dictionaries(KEYWORDS | NAMES, inner, max_size=4) | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)


@each
@given(st.dictionaries(KEYWORDS, ODD, max_size=5), VALUES)
def test_no_schema_is_too_odd(subset: Subset, schema: Json, value: Any) -> None:
    normal = normalised(schema, subset)
    json.dumps(normal)
    json.dumps(restored(value, schema))
    closable(schema)


@pytest.mark.parametrize(
    ("schema", "made"),
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
def test_property_in_kimis_form(schema: Json, made: Json) -> None:
    whole = {"type": "object", "properties": {"p": schema}}
    normal = normalised(whole, KIMI)["properties"]["p"]
    assert normal == made


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"type": ["string", "null"], "description": "D"},
         {"type": "string", "description": "D", "nullable": True}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
         {"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer"}),
        ({"type": "null"}, {"type": "null"}),
    ],
)  # fmt: skip
def test_property_in_geminis_form(schema: Json, made: Json) -> None:
    whole = {"type": "object", "properties": {"p": schema}, "additionalProperties": False}
    assert normalised(whole, GEMINI) == {"type": "object", "properties": {"p": made}}


NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("schema", "made"),
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
def test_property_in_strict_form(schema: Json, made: Json) -> None:
    whole = {"type": "object", "properties": {"p": schema}, "$defs": DEFS}
    assert normalised(whole, STRICT)["properties"]["p"] == made


def test_subset_of_all_keywords_leaves_them() -> None:
    schema = {
        "type": "array", "prefixItems": [{"const": 1}], "allOf": [{"oneOf": [{"$ref": "#"}]}],
        "not": {"items": {"type": "string"}},
    }  # fmt: skip
    assert normalised(schema, Subset.model_validate({"closed": True})) == schema


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
    assert normalised(schema, KIMI) == {
        "type": "object",
        "description": "Exactly one.",
        "properties": {"name": name, "text": {"anyOf": [text, {"type": "null"}]}},
        "required": ["name"],
    }


def test_alternatives_at_the_root_that_require_nothing_in_common() -> None:
    schema = {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"}
    assert "required" not in normalised(schema, KIMI)


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
    made = normalised(TREE, KIMI)["properties"]["root"]
    bottom = made["properties"]["next"]["properties"]["next"]
    assert bottom == {"type": "object", "description": "The next."}


def test_references_do_not_make_a_small_schema_endless() -> None:
    defs: Json = {
        f"d{n}": {
            "type": "object",
            "properties": {x: {"$ref": f"#/$defs/d{n + 1}"} for x in "abcd"},
        }
        for n in range(20)
    }
    schema = {"type": "object", "properties": {"p": {"$ref": "#/$defs/d0"}}, "$defs": defs}
    assert len(list(parts(normalised(schema, KIMI)))) < 5 * BUDGET


def test_reference_outside_the_document_says_nothing() -> None:
    schema = {"type": "object", "properties": {"p": {"$ref": "https://example.org/s"}}}
    assert normalised(schema, KIMI)["properties"]["p"]["anyOf"]
    assert resolve("#/a/0", {"a": ["x"]}) == resolve("other", {}) == {}
    assert resolve("#/a~1b/c~0d", {"a/b": {"c~d": {"type": "null"}}}) == {"type": "null"}


def test_schema_that_is_taken_as_it_is_passes_untouched() -> None:
    assert normalised(TREE, ALL) is TREE


@pytest.mark.parametrize(
    ("schema", "value", "made"),
    [
        # one that fits as it is goes before one that would fit with something left out
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
def test_restored(schema: Json, value: Any, made: Any) -> None:
    assert restored(value, schema) == made


def test_references_that_lead_nowhere_end() -> None:
    schema = {"$ref": "#/a", "a": {"anyOf": [{"$ref": "#/a"}, {"$ref": "#/a"}]}}
    deep: Any = None
    for _ in range(100):
        deep = {"a": deep}
    assert restored({"x": 1}, schema) == {"x": 1}
    assert restored(deep, {"additionalProperties": {"$ref": "#"}}) == deep
    assert restored({"x": None}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}) == {"x": None}


# on the exchange

CLOSED: Json = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}},
    "required": ["path"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "read", "parameters": CLOSED, "strict": True}


def test_strict_tool_is_declared_closed_and_its_call_comes_back_open() -> None:
    exchange = carry(to=CHAT, tools=[TOOL])
    [tool] = json.loads(exchange.body)["tools"]
    limit = tool["function"]["parameters"]["properties"]["limit"]
    assert tool["function"]["strict"] and limit == {
        "anyOf": [{"type": "integer"}, {"type": "null"}]
    }
    function = {"name": "read", "arguments": '{"path": "a", "limit": null}'}
    call = {"index": 0, "id": "call_1", "function": function}
    [item] = output(replied(chunk("tool_calls", tool_calls=[call]), by=exchange))
    assert item["arguments"] == '{"path":"a"}'


def test_arguments_that_need_nothing_come_as_they_are_written() -> None:
    for arguments in ('{"path": "a"}', "no JSON"):
        exchange = carry(to=CHAT, tools=[TOOL])
        call = {"index": 0, "id": "c", "function": {"name": "read", "arguments": arguments}}
        [item] = output(replied(chunk("tool_calls", tool_calls=[call]), by=exchange))
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
    exchange = carry(to=CHAT, tools=[tool])
    [made] = json.loads(exchange.body)["tools"]
    assert "strict" not in made["function"]
    assert exchange.dropped == ["tools[read].strict"]


def test_strict_is_not_sent_where_it_is_unknown() -> None:
    exchange = carry(to=PROVIDERS["glm"], tools=[TOOL])
    assert "strict" not in json.loads(exchange.body)["tools"][0]["function"]
    assert exchange.dropped == ["tools[read].strict"]


def test_format_without_a_schema_passes() -> None:
    made = sent(to=PROVIDERS["kimi"], text={"format": {"type": "json_schema", "name": "n"}})
    assert made["response_format"]["json_schema"] == {"name": "n"}
    made = sent(to=PROVIDERS["deepseek"], text={"format": {"type": "json_schema", "name": "n"}})
    assert made["response_format"] == {"type": "json_object"} and len(made["messages"]) == 1


def test_format_that_is_not_taken_is_told() -> None:
    exchange = carry(to=PROVIDERS["lmstudio"], text={"format": {"type": "json_object"}})
    assert exchange.dropped == ["text.format"]


def test_format_is_normal_too() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {**CLOSED, "$schema": "…"}}
    made = sent(to=PROVIDERS["kimi"], text={"format": form})["response_format"]["json_schema"]
    assert made["schema"] == CLOSED
