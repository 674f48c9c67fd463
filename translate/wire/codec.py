"""JSON in and out: pydantic_core for speed, the standard library where it refuses.

pydantic_core rejects a byte order mark, lone surrogates and nesting above 200 levels; all
three occur in real traffic, and the standard library accepts them.
"""

import json
import re
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json


def load_json(data: bytes | str) -> Any:
    """Parse JSON. Raises ValueError, and nothing else, for anything that is not JSON."""
    try:
        return from_json(data)
    except ValueError:
        try:
            return json.loads(data)
        except RecursionError:
            raise ValueError("JSON is nested too deeply") from None


def dump_json(value: Any) -> bytes:
    """Serialise to compact JSON; equal values with equal key order give equal bytes.

    NaN and infinity become null. The two halves of a surrogate pair are joined and a lone half
    becomes U+FFFD, because strict readers such as Codex drop a whole event that contains one.
    """
    try:
        return to_json(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError):
        # json.dumps would write NaN and Infinity, which are not JSON.
        finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
        text = json.dumps(finite, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


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
        return str(json.loads(f'"{inside}"', strict=False))
    except ValueError:
        escaped = ESCAPE.sub(lambda match: match[0] if match[1] else r"\\", inside)
        return str(json.loads(f'"{escaped}"', strict=False))


def is_json_object(data: str) -> bool:
    """Whether the text is one complete JSON object."""
    if not (data.lstrip().startswith("{") and data.rstrip().endswith("}")):  # cheaper than parsing
        return False
    try:
        return isinstance(load_json(data), dict)
    except ValueError:
        return False
