"""Restores a call's arguments to the schema that the client sent (see schema.py).

Arguments are not validated: those that cannot be restored pass unchanged. A client's schema may
hold anything; parts that are not valid JSON Schema are ignored.
"""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

# References can loop and multiply, so the search is bounded.
DEPTH_LIMIT = 60  # schemas inside each other
WORK_LIMIT = 200_000  # keywords, names and values that are compared
SCHEMA_WORK = 10  # what a schema costs beside them
# Keywords whose value maps names to schemas.
SCHEMAS_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TYPE_CHECKS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: is_number(value) and float(value).is_integer(),
    "number": is_number,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def dict_at(schema: Any, key: str) -> Json:
    value = schema.get(key) if isinstance(schema, dict) else None
    return value if isinstance(value, dict) else {}


def list_at(schema: Any, key: str) -> list[Any]:
    value = schema.get(key) if isinstance(schema, dict) else None
    return value if isinstance(value, list) else []


def required_names(schema: Any) -> list[str]:
    return [name for name in list_at(schema, "required") if isinstance(name, str)]


def declared_types(schema: Json) -> list[str]:
    """The types that a schema names; [] if it allows any."""
    names = list_at(schema, "type") or [schema.get("type")]
    return [name for name in names if isinstance(name, str) and name in TYPE_CHECKS]


def merge_schemas(first: Json, second: Json) -> Json:
    """A schema that demands roughly what both demand; where they disagree, the second wins."""
    merged = {**first, **second}
    if dict_at(first, "properties") and dict_at(second, "properties"):
        merged["properties"] = {**first["properties"], **second["properties"]}
    names = dict.fromkeys([*required_names(first), *required_names(second)])
    return merged | ({"required": list(names)} if names else {})


def resolve_reference(ref: str, root: Json) -> Json:
    """The schema that a reference within the document points to; {} for any other reference."""
    target: Any = root if ref.startswith("#") else None
    for part in ref[1:].strip("/").split("/") if len(ref) > 1 else []:
        target = target.get(_unescape_pointer(part)) if isinstance(target, dict) else None
    return target if isinstance(target, dict) else {}


def _unescape_pointer(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def restore_arguments(value: Any, schema: Json) -> Any:
    """The arguments without what the model wrote only because of the normalized schema.

    That is null for optional properties, and properties that a closed object does not have.
    """
    return _Restorer(schema).restore(value, schema, 0)


class _Restorer:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._budget = WORK_LIMIT

    def restore(self, value: Any, schema: Any, depth: int) -> Any:
        if depth > DEPTH_LIMIT or not isinstance(value, dict | list):
            return value
        resolved, options = self._resolve_schema(schema, depth)
        for option in options:
            if self.fits_schema(value, option, depth):
                return self._restore_members(value, option, depth)
        for option in options:
            candidate = self.restore(value, option, depth + 1)
            if self.fits_schema(candidate, option, depth):
                return candidate
        return self._restore_members(value, resolved, depth)

    def _restore_members(self, value: Any, schema: Json, depth: int) -> Any:
        schema, _ = self._resolve_schema(schema, depth)
        required = {*required_names(schema)}
        if isinstance(value, list):
            return [
                self.restore(member, _element_schema(schema, index), depth + 1)
                for index, member in enumerate(value)
            ]
        members = {}
        for name, member in value.items():
            inner = _property_schema(schema, name)
            is_optional_null = member is None and name not in required
            if inner is False or (is_optional_null and not self.fits_schema(None, inner, depth)):
                continue
            members[name] = self.restore(member, inner, depth + 1)
        return members

    def fits_schema(self, value: Any, schema: Any, depth: int) -> bool:
        """Whether a value has a schema's shape; lengths, ranges and patterns are ignored."""
        if isinstance(schema, bool) or depth > DEPTH_LIMIT:
            return schema is not False
        schema, options = self._resolve_schema(schema, depth)
        if options:
            return any(self.fits_schema(value, option, depth + 1) for option in options)
        checks = [TYPE_CHECKS[name] for name in declared_types(schema)]
        if checks and not any(check(value) for check in checks):
            return False
        values = [schema["const"]] if "const" in schema else list_at(schema, "enum")
        self._budget -= len(values) + len(list_at(schema, "required"))
        if values and not any(_is_same_value(value, member) for member in values):
            return False
        if isinstance(value, list):
            return all(
                self.fits_schema(member, _element_schema(schema, index), depth + 1)
                for index, member in enumerate(value)
            )
        return not isinstance(value, dict) or self._fits_object(value, schema, depth)

    def _fits_object(self, value: Json, schema: Json, depth: int) -> bool:
        if any(name not in value for name in required_names(schema)):
            return False
        return all(
            self.fits_schema(member, _property_schema(schema, name), depth + 1)
            for name, member in value.items()
        )

    def _resolve_schema(self, schema: Any, depth: int) -> tuple[Json, list[Json]]:
        """The schema without references and `allOf`, and its alternatives, each complete."""
        self._budget -= SCHEMA_WORK
        if depth > DEPTH_LIMIT or self._budget < 0:
            return {}, []
        resolved = schema if isinstance(schema, dict) else {}
        for _ in range(DEPTH_LIMIT):
            if not isinstance(ref := resolved.get("$ref"), str):
                break
            siblings = {key: value for key, value in resolved.items() if key != "$ref"}
            resolved = self._merge_schemas(resolve_reference(ref, self._root), siblings)
        options = list_at(resolved, "anyOf") or list_at(resolved, "oneOf")
        for part in list_at(resolved, "allOf"):
            inner, inner_options = self._resolve_schema(part, depth + 1)
            resolved, options = self._merge_schemas(resolved, inner), options or inner_options
        common = {key: value for key, value in resolved.items() if key not in ALTERNATIVES}
        alternatives = [
            self._merge_schemas(common, option) for option in options if isinstance(option, dict)
        ]
        return common, alternatives

    def _merge_schemas(self, first: Json, second: Json) -> Json:
        """Both merged; the second alone once the work is at its limit."""
        if self._budget < 0:
            return second
        merged = merge_schemas(first, second)
        properties = dict_at(merged, "properties")
        self._budget -= len(merged) + len(properties) + len(list_at(merged, "required"))
        return merged


ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def _property_schema(schema: Json, name: str) -> Any:
    properties = dict_at(schema, "properties")
    if name in properties:
        return properties[name]
    # Patterns are not matched: any of them may allow the name.
    return {} if dict_at(schema, "patternProperties") else schema.get("additionalProperties", {})


def _element_schema(schema: Json, index: int) -> Any:
    members = list_at(schema, "prefixItems") or list_at(schema, "items")
    if index < len(members):
        return members[index]
    rest = schema.get("items", {})
    return schema.get("additionalItems", {}) if isinstance(rest, list) else rest


def _is_same_value(first: Any, second: Any) -> bool:
    return bool(first == second) and isinstance(first, bool) == isinstance(second, bool)
