"""A call's arguments, back under the schema that the client gave (see schema.py).

Nothing is checked for its own sake: arguments that cannot be mended pass as they are. A schema
may hold anything, so that what is not as JSON Schema has it says nothing.
"""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

# Beyond these nothing is looked at, as references may loop and multiply.
DEPTH = 60  # schemas inside each other
BUDGET = 20_000  # schemas looked at


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: number(value) and float(value).is_integer(),
    "number": number,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def a_map(schema: Any, key: str) -> Json:
    found = schema.get(key) if isinstance(schema, dict) else None
    return found if isinstance(found, dict) else {}


def a_list(schema: Any, key: str) -> list[Any]:
    found = schema.get(key) if isinstance(schema, dict) else None
    return found if isinstance(found, list) else []


def required(schema: Any) -> list[str]:
    return [name for name in a_list(schema, "required") if isinstance(name, str)]


def merged(one: Json, other: Json) -> Json:
    """Both at once, roughly: where they say different things, the second counts."""
    made = {**one, **other}
    if a_map(one, "properties") and a_map(other, "properties"):
        made["properties"] = {**one["properties"], **other["properties"]}
    names = dict.fromkeys([*required(one), *required(other)])
    return made | ({"required": list(names)} if names else {})


def resolve(ref: str, root: Json) -> Json:
    """The schema that a reference inside the document means; empty for any other."""
    found: Any = root if ref.startswith("#") else None
    for part in ref[1:].strip("/").split("/") if len(ref) > 1 else []:
        found = found.get(_unescaped(part)) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def restored(value: Any, schema: Json) -> Any:
    """The value without what its normal form made the model write: nulls for what may be left
    out, properties that a closed object does not know."""
    return _Original(schema).restored(value, schema, 0)


class _Original:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._left = BUDGET

    def restored(self, value: Any, schema: Any, depth: int) -> Any:
        if depth > DEPTH or not isinstance(value, dict | list):
            return value
        plain, options = self._plain(schema, depth)
        for option in options:
            if self.fits(value, option, depth):
                return self._inside(value, option, depth)
        for option in options:
            made = self.restored(value, option, depth + 1)
            if self.fits(made, option, depth):
                return made
        return self._inside(value, plain, depth)

    def _inside(self, value: Any, schema: Json, depth: int) -> Any:
        schema, _ = self._plain(schema, depth)
        if isinstance(value, list):
            return [
                self.restored(one, _member(schema, place), depth + 1)
                for place, one in enumerate(value)
            ]
        made = {}
        for name, one in value.items():
            inner = _property(schema, name)
            unasked = one is None and name not in required(schema)
            if inner is False or (unasked and not self.fits(None, inner, depth)):
                continue
            made[name] = self.restored(one, inner, depth + 1)
        return made

    def fits(self, value: Any, schema: Any, depth: int) -> bool:
        """Whether a value is of a schema's shape; lengths, ranges and patterns are not read."""
        if isinstance(schema, bool) or depth > DEPTH:
            return schema is not False
        schema, options = self._plain(schema, depth)
        if options:
            return any(self.fits(value, option, depth + 1) for option in options)
        kinds = a_list(schema, "type") or [schema.get("type")]
        known = [kind for kind in kinds if isinstance(kind, str) and kind in TYPES]
        if known and not any(TYPES[kind](value) for kind in known):
            return False
        values = [schema["const"]] if "const" in schema else a_list(schema, "enum")
        if values and not any(_same(value, one) for one in values):
            return False
        if isinstance(value, list):
            return all(
                self.fits(one, _member(schema, place), depth + 1) for place, one in enumerate(value)
            )
        return not isinstance(value, dict) or self._fits_object(value, schema, depth)

    def _fits_object(self, value: Json, schema: Json, depth: int) -> bool:
        if any(name not in value for name in required(schema)):
            return False
        return all(
            self.fits(one, _property(schema, name), depth + 1) for name, one in value.items()
        )

    def _plain(self, schema: Any, depth: int) -> tuple[Json, list[Json]]:
        """The schema without references and `allOf`, and its alternatives, each whole."""
        self._left -= 1
        if depth > DEPTH or self._left < 0:
            return {}, []
        made = schema if isinstance(schema, dict) else {}
        for _ in range(DEPTH):
            if isinstance(ref := made.get("$ref"), str):
                beside = {key: value for key, value in made.items() if key != "$ref"}
                made = merged(resolve(ref, self._root), beside)
        options = a_list(made, "anyOf") or a_list(made, "oneOf")
        for part in a_list(made, "allOf"):
            inner, more = self._plain(part, depth + 1)
            made, options = merged(made, inner), options or more
        plain = {key: value for key, value in made.items() if key not in ALTERNATIVES}
        whole = [merged(plain, option) for option in options if isinstance(option, dict)]
        return plain, whole


ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def _property(schema: Json, name: str) -> Any:
    properties = a_map(schema, "properties")
    if name in properties:
        return properties[name]
    # which pattern a name matches is not worked out: any may allow it
    return {} if a_map(schema, "patternProperties") else schema.get("additionalProperties", {})


def _member(schema: Json, place: int) -> Any:
    members = a_list(schema, "prefixItems") or a_list(schema, "items")
    if place < len(members):
        return members[place]
    rest = schema.get("items", {})
    return schema.get("additionalItems", {}) if isinstance(rest, list) else rest


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
