"""JSON Schema as a provider takes it.

What is rewritten (references, lists of types, nulls, closed objects, tuples of one kind) keeps its
meaning; restore.py takes out of a call's arguments what only the rewritten form asked for. What is
left out (`format`, `pattern` …) is lost: the model may write what it forbade. A reference that
leads into itself is followed twice.
"""

from typing import Any

from translate.providers.taken import ALL, Subset
from translate.tools.schema_restore import TYPES, a_list, a_map, merged, required, resolve

Json = dict[str, Any]
Refs = tuple[str, ...]

DEPTH = 2  # how often a reference is followed inside itself
BUDGET = 5_000  # schemas in one: references can make a small one endless
NOTES = ("title", "description", "default")
# Keywords that mean something for one type only.
OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "object": ("properties", "required", "additionalProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "additionalItems"),
}
ANY = ("string", "number", "boolean", "object", "array")


def normalised(schema: Json, subset: Subset) -> Json:
    """The schema of a tool's parameters in what the subset takes; it itself where that is all."""
    if subset == ALL:
        return schema
    made = _Normal(schema, subset).at(schema)
    return _joined(made) if subset.one_type and "anyOf" in made else made


def closable(schema: Json) -> bool:
    """Whether all its objects list their properties, so that they may be closed."""
    if schema.get("additionalProperties") or schema.get("patternProperties"):
        return False
    inner = [schema.get("items")]
    for key in ("properties", "$defs", "definitions"):
        inner += a_map(schema, key).values()
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        inner += a_list(schema, key)
    return all(closable(one) for one in inner if isinstance(one, dict))


def _joined(root: Json) -> Json:
    """The root, which must be one object, of several: all their properties, what all require."""
    objects = [one for one in root["anyOf"] if one["type"] == "object"]
    properties: Json = {}
    for one in objects:
        for name, value in one.get("properties", {}).items():
            known = properties.setdefault(name, value)
            if known != value:
                properties[name] = {"anyOf": [*_options(known), *_options(value)]}
    asked = [x for x in properties if all(x in required(one) for one in objects)]
    notes = {key: root[key] for key in NOTES if key in root}
    made = {"type": "object", **notes, "properties": properties}
    return made | ({"required": asked} if asked else {})


def _options(schema: Json) -> list[Json]:
    return a_list(schema, "anyOf") or [schema]


class _Normal:
    def __init__(self, root: Json, subset: Subset) -> None:
        self._root = root
        self._subset = subset
        self._left = BUDGET

    def at(self, schema: Any, refs: Refs = ()) -> Json:
        plain, refs = self._plain(schema, refs)
        make = self._one_type if self._subset.one_type else self._members
        return make(plain, refs)

    def _takes(self, keyword: str) -> bool:
        return self._subset.keywords is None or keyword in self._subset.keywords

    def _plain(self, schema: Any, refs: Refs) -> tuple[Json, Refs]:
        """Without references, `allOf`, `oneOf`, `const` and tuples, where these are not taken."""
        self._left -= 1
        made = dict(schema) if isinstance(schema, dict) else {}
        while not self._takes("$ref") and isinstance(ref := made.pop("$ref", None), str):
            target = resolve(ref, self._root)
            if refs.count(ref) >= DEPTH or self._left < 0:
                notes = {key: made[key] for key in NOTES if key in made}
                return {"type": target.get("type", "object"), **notes}, refs
            refs = (*refs, ref)
            made = merged(target, made)
        if not self._takes("allOf"):
            for part in a_list({"allOf": made.pop("allOf", None)}, "allOf"):
                inner, refs = self._plain(part, refs)
                made = merged(inner, made)
        if not self._takes("oneOf") and (options := a_list(made, "oneOf")):
            made["anyOf"] = a_list(made, "anyOf") or options
        if not self._takes("const") and "const" in made:
            made["enum"] = [made.pop("const")]
        if not self._takes("prefixItems"):
            made = _without_tuple(made)
        return made, refs

    def _members(self, schema: Json, refs: Refs) -> Json:
        """Its keywords that are taken, and the schemas in it made normal."""
        made: Json = {}
        for key, value in schema.items():
            if not self._takes(key):
                continue
            if key in MAPS:
                inner = a_map(schema, key).items()
                made[key] = {name: self.at(one, refs) for name, one in inner if one is not False}
            elif key in LISTS:
                made[key] = [self.at(one, refs) for one in a_list(schema, key)]
            elif key in SCHEMAS and isinstance(value, dict):
                made[key] = self.at(value, refs)
            else:
                made[key] = value
        if "required" in made:
            self._describe(made, refs)
        if self._subset.closed and ("properties" in made or made.get("type") == "object"):
            _close(made)
        return made

    def _describe(self, made: Json, refs: Refs) -> None:
        """What is required must be among the properties."""
        names = required(made)
        known = a_map(made, "properties")
        made["properties"] = {**{x: self.at({}, refs) for x in names if x not in known}, **known}
        made["required"] = names

    def _one_type(self, schema: Json, refs: Refs) -> Json:
        notes = {key: schema[key] for key in NOTES if key in schema and self._takes(key)}
        made: list[Json] = []
        for branch, inner in self._branches(schema, refs):
            one = self._members(branch, inner)
            if one not in made:
                made.append(one)
        null = {"type": "null"}
        nullable = self._subset.nullable and null in made and len(made) > 1
        made = [one for one in made if not (nullable and one == null)]
        whole = {**made[0], **notes} if len(made) == 1 else {"anyOf": made, **notes}
        return whole | ({"nullable": True} if nullable else {})

    def _branches(self, schema: Json, refs: Refs) -> list[tuple[Json, Refs]]:
        """The same as alternatives of one type each, without notes on the whole."""
        beside = {key: value for key, value in schema.items() if key not in ("anyOf", *NOTES)}
        found: list[tuple[Json, Refs]] = []
        for option in a_list(schema, "anyOf"):
            inner, deeper = self._plain(option, refs)
            for branch, deepest in self._branches(merged(beside, inner), deeper):
                said = {key: inner[key] for key in NOTES if key in inner}
                found.append(({**branch, **said} if "anyOf" not in inner else branch, deepest))
        return found or [(self._of_type(beside, kind), refs) for kind in _kinds(beside)]

    def _of_type(self, schema: Json, kind: str) -> Json:
        family = "number" if kind == "integer" else kind
        others = {word for name, words in OF_TYPE.items() if name != family for word in words}
        made = {key: value for key, value in schema.items() if key not in others}
        made["type"] = kind
        if values := a_list(schema, "enum"):
            made["enum"] = [value for value in values if TYPES[kind](value)]
            if family not in ENUMERABLE or (family == "number" and self._subset.string_enums):
                del made["enum"]
        if kind == "array":
            made.setdefault("items", {"type": "string"})
        return made


ENUMERABLE = ("string", "number")
MAPS = ("properties", "patternProperties", "$defs", "definitions")
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SCHEMAS = ("items", "additionalProperties", "not")


def _kinds(schema: Json) -> list[str]:
    """The types that a schema without alternatives allows, as far as it tells."""
    said = a_list(schema, "type") or [schema.get("type")]
    kinds = [kind for kind in said if isinstance(kind, str) and kind in TYPES]
    if values := a_list(schema, "enum"):
        fitting = [x for x in kinds or TYPES if any(TYPES[x](value) for value in values)]
        if {"integer", "number"} <= set(fitting):  # each number once, as what it is
            fitting.remove("number" if all(map(_whole, values)) else "integer")
        kinds = fitting
    told = [kind for kind, words in OF_TYPE.items() if any(word in schema for word in words)]
    return kinds or told or list(ANY)


def _whole(value: Any) -> bool:
    return TYPES["integer"](value) or not TYPES["number"](value)


def _without_tuple(schema: Json) -> Json:
    """A tuple as a list: of one kind if its members are, else of any of their kinds."""
    old = isinstance(schema.get("items"), list)
    members = a_list(schema, "items" if old else "prefixItems")
    if not members:
        return schema
    rest = schema.get("additionalItems" if old else "items", {})
    kinds: list[Any] = []
    for one in (*members, *([] if rest is False else [rest])):
        if one not in kinds:
            kinds.append(one)
    made = {key: value for key, value in schema.items() if key not in TUPLE}
    made["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return made | ({"maxItems": len(members)} if rest is False else {})


TUPLE = ("prefixItems", "items", "additionalItems")


def _close(schema: Json) -> None:
    properties = a_map(schema, "properties")
    asked = required(schema)
    schema["properties"] = {
        name: value if name in asked else _or_null(value) for name, value in properties.items()
    }
    schema["required"] = list(properties)
    schema["additionalProperties"] = False


def _or_null(schema: Json) -> Json:
    null, options = {"type": "null"}, a_list(schema, "anyOf")
    if null in options:
        return schema
    return {**schema, "anyOf": [*options, null]} if options else {"anyOf": [schema, null]}
