"""JSON in and out: pydantic_core for speed, the standard library where it refuses.

pydantic_core rejects a byte order mark, lone surrogates and nesting above 200 levels; all
three have been seen in real traffic, and the standard library takes them.
"""

import json
import re
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json


def loads(data: bytes | str) -> Any:
    """Parse JSON. Raises ValueError, and nothing else, for anything that is not JSON."""
    try:
        return from_json(data)
    except ValueError:
        try:
            return json.loads(data)
        except RecursionError:
            raise ValueError("JSON is nested too deeply") from None


def dumps(value: Any) -> bytes:
    """Serialise to compact JSON; equal values with equal key order give equal bytes.

    Halves of a surrogate pair are joined, a lone one becomes U+FFFD: strict readers, Codex one
    of them, throw a whole event away for it.
    """
    try:
        return to_json(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError):
        found = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def text(value: Any) -> str:
    """The same as `dumps`, for JSON that travels inside a JSON string."""
    return dumps(value).decode()


ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')


def unquoted(inside: str) -> str:
    """The text of a JSON string without its quotes.

    Newlines and the like may stand in it; a backslash that escapes nothing is one.
    """
    try:
        return str(json.loads(f'"{inside}"', strict=False))
    except ValueError:
        escaped = ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", inside)
        return str(json.loads(f'"{escaped}"', strict=False))


def is_object(data: str) -> bool:
    """Whether the text is a whole JSON object."""
    if not (data.lstrip().startswith("{") and data.rstrip().endswith("}")):  # the cheap answer
        return False
    try:
        return isinstance(loads(data), dict)
    except ValueError:
        return False
