"""Pictures, files and sound in words: never their base64."""

import base64
import io
import re
from typing import Any

from PIL import Image

from addons.views.text import line, size

HEAD = 128 << 10  # characters of base64 in which a picture's head is looked for
INSIDE = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+=-]+)*;base64,[A-Za-z0-9+/_=-]+")
BASE64 = re.compile(r"[A-Za-z0-9+/_=-]{200,}")


def described(url: Any) -> str:
    """`image/png, 640×480 pixels, 34.2 kB`; of another URL itself."""
    head, _, data = str(url).partition(",")
    if not head.lower().startswith("data:"):
        return line(str(url), 300)
    pixels = measured(data)
    parts = [
        head[5:].split(";")[0][:60] or "unknown type",
        pixels,
        size(len(data.rstrip("=")) * 3 // 4),
    ]
    return ", ".join(filter(None, parts))


def measured(data: str) -> str:
    """What the head of a picture says; "" where it says nothing."""
    try:
        start = data[:HEAD]
        with Image.open(io.BytesIO(base64.b64decode(start + "=" * (-len(start) % 4)))) as picture:
            return f"{picture.width}×{picture.height} pixels"
    except Exception:  # decoders raise what they like for broken data
        return ""


def cleaned(text: str) -> str:
    """A text in which data: URLs may stand."""
    if ";base64," not in text:
        return text
    return INSIDE.sub(lambda found: f"[{described(found[0])}]", text)


def shortened(value: Any) -> Any:
    """A JSON value with words for what is base64."""
    match value:
        case dict():
            return {str(name): shortened(inner) for name, inner in value.items()}
        case list():
            return [shortened(inner) for inner in value]
        case str() if BASE64.fullmatch(value):
            return f"[{size(len(value))} of base64 or the like]"
        case str():
            return cleaned(value)
    return value
