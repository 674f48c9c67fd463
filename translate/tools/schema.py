"""Rewrites JSON Schema into the subset that a provider accepts.

Rewriting (references, lists of types, nulls, closed objects, tuples of one type) keeps the meaning;
schema_restore.py removes from a call's arguments what only the rewritten schema asked for. Keywords
that are left out (`format`, `pattern` …) are lost: the model may write what they forbade. A
recursive reference is followed twice.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from translate.providers.profile import FULL_SCHEMA, SchemaSubset
from translate.tools.schema_restore import (
    SCHEMAS_BY_NAME,
    TYPE_CHECKS,
    declared_types,
    dict_at,
    list_at,
    merge_schemas,
    required_names,
    resolve_reference,
)
from translate.wire import codec
from translate.wire.errors import BadRequest

Json = dict[str, Any]
Refs = tuple[str, ...]

RECURSION_LIMIT = 2  # how often a reference is followed inside itself
SCHEMA_BUDGET = 5_000  # schemas inside one schema; references can make a small one endless
WORK_LIMIT = 300_000  # keywords and names; alternatives can multiply them
SCHEMA_WORK = 5  # what a schema costs beside its keywords
NOTES = ("title", "description", "default")
# Keywords that constrain one type only.
KEYWORDS_BY_TYPE = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "object": ("properties", "required", "additionalProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "additionalItems"),
}
ANY_TYPES = ("string", "number", "boolean", "object", "array")


class SchemaTooComplex(ValueError):
    """Rewriting the schema would take too long, or make too large a schema."""


def rewrite_schema(schema: Json, subset: SchemaSubset, path: str) -> Json:
    """`normalize_schema` for the schema at `path` of a request. Raises BadRequest."""
    try:
        return normalize_schema(schema, subset)
    except SchemaTooComplex:
        message = f"{path}: is too complex a schema to be rewritten for this provider"
        raise BadRequest(message, param=path) from None


def normalize_schema(schema: Json, subset: SchemaSubset) -> Json:
    """The schema within the subset; unchanged where the provider accepts all of JSON Schema.

    Raises SchemaTooComplex.
    """
    if subset == FULL_SCHEMA:
        return schema
    result = _Normalizer(schema, subset).normalize(schema)
    return _join_objects(result) if subset.one_type and "anyOf" in result else result


def is_closable(schema: Json) -> bool:
    """Whether every object of the schema lists all its properties, so that it can be closed."""
    if schema.get("additionalProperties") or schema.get("patternProperties"):
        return False
    inner_schemas = [schema.get("items")]
    for key in ("properties", "$defs", "definitions"):
        inner_schemas += dict_at(schema, key).values()
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        inner_schemas += list_at(schema, key)
    return all(
        is_closable(inner_schema)
        for inner_schema in inner_schemas
        if isinstance(inner_schema, dict)
    )


def _join_objects(root: Json) -> Json:
    """One object in place of alternatives at the root, where the provider requires an object.

    It has the properties of all of them, and requires what all of them require.
    """
    objects = [member for member in root["anyOf"] if member["type"] == "object"]
    values_by_name: defaultdict[str, list[Json]] = defaultdict(list)
    for member in objects:
        for name, value in member.get("properties", {}).items():
            if values_by_name[name] != [value]:
                values_by_name[name].append(value)
    properties = {name: _join_alternatives(values) for name, values in values_by_name.items()}
    common_names = set(properties).intersection(*map(required_names, objects))
    required_by_all = [name for name in properties if name in common_names]
    notes = {key: root[key] for key in NOTES if key in root}
    result = {"type": "object", **notes, "properties": properties}
    return result | ({"required": required_by_all} if required_by_all else {})


def _join_alternatives(schemas: list[Json]) -> Json:
    if len(schemas) == 1:
        return schemas[0]
    return {
        "anyOf": [inner for schema in schemas for inner in list_at(schema, "anyOf") or [schema]]
    }


class _Normalizer:
    def __init__(self, root: Json, subset: SchemaSubset) -> None:
        self._root = root
        self._subset = subset
        self._budget = SCHEMA_BUDGET
        self._work = 0

    def normalize(self, schema: Any, refs: Refs = ()) -> Json:
        resolved, refs = self._resolve_schema(schema, refs)
        rewrite = self._split_types if self._subset.one_type else self._normalize_keywords
        return rewrite(resolved, refs)

    def _takes_keyword(self, keyword: str) -> bool:
        return self._subset.keywords is None or keyword in self._subset.keywords

    def _resolve_schema(self, schema: Any, refs: Refs) -> tuple[Json, Refs]:
        """The schema without `$ref`, `allOf`, `oneOf`, `const`, tuples, unless they are accepted.

        Also returns the references that were followed to get there.
        """
        self._budget -= 1
        self._add_work(SCHEMA_WORK)
        result = dict(schema) if isinstance(schema, dict) else {}
        while not self._takes_keyword("$ref") and isinstance(ref := result.pop("$ref", None), str):
            target = resolve_reference(ref, self._root)
            if refs.count(ref) >= RECURSION_LIMIT or self._budget < 0:
                notes = {key: result[key] for key in NOTES if key in result}
                return {"type": target.get("type", "object"), **notes}, refs
            refs = (*refs, ref)
            result = self._merge_schemas(target, result)
        if not self._takes_keyword("allOf"):
            members = list_at(result, "allOf")
            result.pop("allOf", None)
            for member in members:
                inner, refs = self._resolve_schema(member, refs)
                result = self._merge_schemas(inner, result)
        if not self._takes_keyword("oneOf") and (options := list_at(result, "oneOf")):
            result["anyOf"] = list_at(result, "anyOf") or options
        if not self._takes_keyword("const") and "const" in result:
            result["enum"] = [result.pop("const")]
        if not self._takes_keyword("prefixItems"):
            result = _tuple_to_list(result)
        return result, refs

    def _merge_schemas(self, first: Json, second: Json) -> Json:
        merged = merge_schemas(first, second)
        self._add_work(len(merged) + len(dict_at(merged, "properties")))
        self._add_work(len(list_at(merged, "required")))
        return merged

    def _add_work(self, count: int) -> None:
        self._work += count
        if self._work > WORK_LIMIT:
            raise SchemaTooComplex

    def _normalize_keywords(self, schema: Json, refs: Refs) -> Json:
        """The accepted keywords, with their inner schemas normalized."""
        result: Json = {}
        for key, value in schema.items():
            if not self._takes_keyword(key):
                continue
            if key in SCHEMAS_BY_NAME:
                result[key] = {
                    name: self.normalize(inner_schema, refs)
                    for name, inner_schema in dict_at(schema, key).items()
                    if inner_schema is not False
                }
            elif key in SCHEMA_LISTS:
                result[key] = [
                    self.normalize(inner_schema, refs) for inner_schema in list_at(schema, key)
                ]
            elif key in SINGLE_SCHEMAS and isinstance(value, dict):
                result[key] = self.normalize(value, refs)
            else:
                result[key] = value
        if "required" in result:
            self._add_required_properties(result, refs)
        if self._subset.closed and ("properties" in result or result.get("type") == "object"):
            _close_object(result)
        return result

    def _add_required_properties(self, schema: Json, refs: Refs) -> None:
        """List every required name among the properties."""
        names = required_names(schema)
        properties = dict_at(schema, "properties")
        unlisted = {name: self.normalize({}, refs) for name in names if name not in properties}
        schema["properties"] = {**unlisted, **properties}
        schema["required"] = names

    def _split_types(self, schema: Json, refs: Refs) -> Json:
        """The schema with one type, or as `anyOf` with one type each."""
        notes = {key: schema[key] for key in NOTES if key in schema and self._takes_keyword(key)}
        members = _distinct_values(
            self._normalize_keywords(branch, inner)
            for branch, inner in self._type_branches(schema, refs)
        )
        null = {"type": "null"}
        nullable = self._subset.nullable and null in members and len(members) > 1
        members = [member for member in members if not (nullable and member == null)]
        result = {**members[0], **notes} if len(members) == 1 else {"anyOf": members, **notes}
        return result | ({"nullable": True} if nullable else {})

    def _type_branches(self, schema: Json, refs: Refs) -> list[tuple[Json, Refs]]:
        """The schema as alternatives of one type each, without its own notes."""
        shared_keywords = {
            key: value for key, value in schema.items() if key not in ("anyOf", *NOTES)
        }
        branches: list[tuple[Json, Refs]] = []
        for option in list_at(schema, "anyOf"):
            inner, deeper = self._resolve_schema(option, refs)
            for branch, deepest in self._type_branches(
                self._merge_schemas(shared_keywords, inner), deeper
            ):
                notes = {key: inner[key] for key in NOTES if key in inner}
                branches.append(({**branch, **notes} if "anyOf" not in inner else branch, deepest))
        return branches or [
            (self._restrict_to_type(shared_keywords, type_name), refs)
            for type_name in _allowed_types(shared_keywords)
        ]

    def _restrict_to_type(self, schema: Json, type_name: str) -> Json:
        family = "number" if type_name == "integer" else type_name
        others = {
            keyword
            for name, keywords in KEYWORDS_BY_TYPE.items()
            if name != family
            for keyword in keywords
        }
        result = {key: value for key, value in schema.items() if key not in others}
        result["type"] = type_name
        if values := list_at(schema, "enum"):
            result["enum"] = [value for value in values if TYPE_CHECKS[type_name](value)]
            if family not in ENUMERABLE or (family == "number" and self._subset.string_enums):
                del result["enum"]
        if type_name == "array":
            result.setdefault("items", {"type": "string"})
        return result


ENUMERABLE = ("string", "number")
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SINGLE_SCHEMAS = ("items", "additionalProperties", "not")


def _allowed_types(schema: Json) -> list[str]:
    """The types that a schema without alternatives allows: declared, implied, or any."""
    types = declared_types(schema)
    if values := list_at(schema, "enum"):
        types = [
            name
            for name in types or TYPE_CHECKS
            if any(TYPE_CHECKS[name](value) for value in values)
        ]
        if {"integer", "number"} <= set(types):  # both fit whole numbers: one of them is enough
            types.remove("number" if all(map(_is_whole_or_no_number, values)) else "integer")
    implied_types = [
        name
        for name, keywords in KEYWORDS_BY_TYPE.items()
        if any(keyword in schema for keyword in keywords)
    ]
    return types or implied_types or list(ANY_TYPES)


def _is_whole_or_no_number(value: Any) -> bool:
    return TYPE_CHECKS["integer"](value) or not TYPE_CHECKS["number"](value)


def _tuple_to_list(schema: Json) -> Json:
    """A tuple as a list whose elements may have any of the members' schemas."""
    is_old_form = isinstance(schema.get("items"), list)
    members = list_at(schema, "items" if is_old_form else "prefixItems")
    if not members:
        return schema
    rest = schema.get("additionalItems" if is_old_form else "items", {})
    distinct = _distinct_values((*members, *([] if rest is False else [rest])))
    result = {key: value for key, value in schema.items() if key not in TUPLE_KEYWORDS}
    result["items"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
    return result | ({"maxItems": len(members)} if rest is False else {})


def _distinct_values(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order."""
    return [*{codec.dump_json(value): value for value in values}.values()]


TUPLE_KEYWORDS = ("prefixItems", "items", "additionalItems")


def _close_object(schema: Json) -> None:
    properties = dict_at(schema, "properties")
    names = {*required_names(schema)}
    schema["properties"] = {
        name: value if name in names else _make_nullable(value)
        for name, value in properties.items()
    }
    schema["required"] = list(properties)
    schema["additionalProperties"] = False


def _make_nullable(schema: Json) -> Json:
    null, options = {"type": "null"}, list_at(schema, "anyOf")
    if null in options:
        return schema
    return {**schema, "anyOf": [*options, null]} if options else {"anyOf": [schema, null]}
