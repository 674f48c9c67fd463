"""JSON Schemas as clients may send them, and values that are valid under a normalized one."""

from typing import Any

from hypothesis import strategies as st

from tests.translate.support import PROVIDERS, VALUES, Json
from translate.tools.schema_restore import resolve_reference

KIMI, GEMINI = PROVIDERS["kimi"].subset, PROVIDERS["gemini"].subset
STRICT = PROVIDERS["openai"].strict
assert STRICT
SUBSETS = {"kimi": KIMI, "gemini": GEMINI, "strict": STRICT}

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
    schema: Json = {"type": "object", "properties": properties, "required": required}
    return schema | draw(st.sampled_from([{}, {"additionalProperties": False}]))


def lists(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return inner.map(lambda schema: {"type": "array", "items": schema}) | inner.map(
        lambda schema: {"type": "array", "prefixItems": [schema, schema], "items": False}
    )


def unions(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    options = st.lists(inner, min_size=1, max_size=3)
    return options.map(lambda schemas: {"anyOf": schemas}) | inner.map(
        lambda schema: {"allOf": [schema]}
    )


SCHEMAS = st.recursive(
    LEAVES, lambda inner: objects(inner) | lists(inner) | unions(inner), max_leaves=6
)
ROOTS = objects(SCHEMAS).map(lambda root: {**root, "$defs": DEFS})


@st.composite
def instances(draw: st.DrawFn, schema: Json, root: Json) -> Any:
    """A value that is valid under this normalized schema."""
    if ref := schema.get("$ref"):
        return draw(instances(resolve_reference(ref, root), root))
    if schema.get("nullable") and draw(st.booleans()):
        return None
    if options := schema.get("anyOf"):
        return draw(instances(draw(st.sampled_from(options)), root))
    if values := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return draw(st.sampled_from(values))
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    type_name = draw(st.sampled_from(types))
    if type_name == "array":
        return [draw(instances(schema["items"], root)) for _ in range(draw(st.integers(0, 2)))]
    return draw(dictionaries(schema, root) if type_name == "object" else SCALARS[type_name])


@st.composite
def dictionaries(draw: st.DrawFn, schema: Json, root: Json) -> Json:
    value: Json = {}
    for name, inner in schema.get("properties", {}).items():
        if name in schema.get("required", ()) or draw(st.booleans()):
            value[name] = draw(instances(inner, root))
    if schema.get("additionalProperties") is not False and draw(st.booleans()):
        value["z"] = draw(st.integers())
    return value


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=3),
    "integer": st.integers(-9, 9),
    "number": st.integers(-9, 9) | st.floats(-9, 9),
    "boolean": st.booleans(),
    "null": st.none(),
}


KEYWORDS = st.sampled_from(
    [
        "type", "properties", "required", "additionalProperties", "items", "prefixItems", "anyOf",
        "oneOf", "allOf", "$ref", "$defs", "enum", "const", "patternProperties", "not",
    ]
)  # fmt: skip
ODD_VALUES = st.recursive(
    VALUES | st.sampled_from(["#", "#/$defs/a", "object", ["string", "array"], True, False]),
    lambda inner: (
        st.dictionaries(KEYWORDS | NAMES, inner, max_size=4) | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)
