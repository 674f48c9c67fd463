"""JSON in and out: pydantic_core for speed, the standard library where it refuses.

pydantic_core rejects a byte order mark, lone surrogates and numbers of thousands of digits; all
three occur in real traffic, and the standard library accepts them.
"""

import json
import math
import re
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

# Levels: pydantic_core's own limit. Functions that walk a value by recursion stay far below theirs.
MAX_NESTING = 201
MAX_DIGITS = 4_300  # Python converts no longer numbers
TOO_LARGE = 10**MAX_DIGITS


class NestedTooDeeply(ValueError):
    """The JSON has objects and lists inside one another beyond a limit."""


def load_json(data: bytes | str) -> Any:
    """Parse JSON. Raises ValueError, and nothing else, for anything that is not JSON.

    No text in it has a lone surrogate: U+FFFD stands in its place. Numbers of too many digits
    become infinity. Raises NestedTooDeeply, a ValueError, above MAX_NESTING.
    """
    value, may_have_halves = load_json_with_halves(data)
    return replace_all_surrogates(value) if may_have_halves else value


def load_json_with_halves(data: bytes | str) -> tuple[Any, bool]:
    """As `load_json`, but lone surrogates stay; returns also whether there may be any."""
    try:
        return from_json(data), False
    except ValueError:
        return _load_odd_json(data), True


def _load_odd_json(data: bytes | str) -> Any:
    try:
        value = json.loads(data, parse_int=_parse_int)
    except RecursionError:
        raise NestedTooDeeply("JSON is nested too deeply") from None
    check_nesting(value, MAX_NESTING)
    return value


def _parse_int(digits: str) -> float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def check_nesting(value: Any, limit: int) -> None:
    """Raises NestedTooDeeply for more than `limit` objects and lists inside one another."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise NestedTooDeeply(f"JSON is nested more than {limit} levels deep")


def replace_all_surrogates(value: Any) -> Any:
    """The JSON value, with `replace_surrogates` for each name and text in it."""
    match value:
        case str():
            return replace_surrogates(value)
        case dict():
            return {
                replace_surrogates(name): replace_all_surrogates(item)
                for name, item in value.items()
            }
        case list():
            return [replace_all_surrogates(item) for item in value]
    return value


def replace_surrogates(text: str) -> str:
    """The text with the two halves of each surrogate pair joined, and U+FFFD for a lone half.

    Strict readers such as Codex drop a whole event that contains a lone one.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def dump_json(value: Any) -> bytes:
    """Serialise to compact JSON; equal values with equal key order give equal bytes.

    NaN, infinity and numbers of too many digits become null; see `replace_surrogates` for texts
    that hold lone ones.
    """
    try:
        return to_json(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError):
        # json.dumps would write NaN and Infinity, which are not JSON.
        text = json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False)
        return replace_surrogates(text).encode()


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case int() if abs(value) >= TOO_LARGE:
            return None
        case dict():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
    return value


def json_text(value: Any) -> str:
    """`dump_json` as text, for JSON that travels inside a JSON string."""
    return dump_json(value).decode()


ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')


def unescape_string(inside: str) -> str:
    """Decode what stands between the quotes of a JSON string.

    More lenient than JSON: control characters such as newlines may stand unescaped, and a backslash
    that escapes nothing stands for itself.
    """
    try:
        text = json.loads(f'"{inside}"', strict=False)
    except ValueError:
        escaped = ESCAPE.sub(lambda match: match[0] if match[1] else r"\\", inside)
        text = json.loads(f'"{escaped}"', strict=False)
    return replace_surrogates(text)


def is_json_object(data: str) -> bool:
    """Whether the text is one complete JSON object."""
    if not (data.lstrip().startswith("{") and data.rstrip().endswith("}")):  # cheaper than parsing
        return False
    try:
        return isinstance(load_json(data), dict)
    except ValueError:
        return False
