"""What is said in a message of either dialect, as text: parts, arguments, other values."""

from typing import Any

from addons.views import media
from addons.views.text import fold, weight
from translate.mappings.reasoning import ENCRYPTED
from translate.wire import codec
from translate.wire.envelope import Envelope, unseal

MOST = 4000  # characters of a value that nothing is known of


def said(content: Any) -> str:
    """The content of a message, or the output of a tool: a text, or a list of parts."""
    match content:
        case None:
            return ""
        case str():
            return media.cleaned(content)
        case list():
            return "\n".join(filter(None, map(part, content)))
    return part(content)


def part(value: Any) -> str:
    match value:
        case str():
            return media.cleaned(value)
        case {"text": str(text)}:
            return media.cleaned(text)
        case {"refusal": str(text)}:
            return f"[refused: {text}]"
        case {"thinking": thinking}:
            return said(thinking)
        case {"image_url": {"url": url}} | {"image_url": str(url)}:
            return f"[image: {media.described(url)}]"
        case {"type": "encrypted_content", "encrypted_content": str(text)}:
            return sealed(text) if media.BASE64.fullmatch(text) or unseal(text) else text
        case {"type": kind, "data": str(text)} if kind == ENCRYPTED:
            return sealed(text)
        case {"url_citation": dict(inner)}:
            told = [inner.get("title"), inner.get("url")]
            return f"[source: {', '.join(str(one) for one in told if one)}]"
        case {"file": dict(inner)} | {"input_audio": dict(inner)}:
            return part({"type": value.get("type"), **inner})
    return attached(value) if isinstance(value, dict) else raw(value)


def attached(value: dict[str, Any]) -> str:
    """A file or a sound; any other part as it is."""
    content = value.get("file_data") or value.get("data")
    if not isinstance(content, str):
        return raw(value)
    kind = f"audio/{value['format']}" if value.get("format") else ""
    url = content if content.startswith("data:") else f"data:{kind};base64,{content}"
    told = [value.get("filename"), media.described(url)]
    name = str(value.get("type")).removeprefix("input_")  # the dialects' names differ by that
    return f"[{name}: {', '.join(str(one) for one in told if one)}]"


def sealed(text: str) -> str:
    envelope = unseal(text)
    return f"[sealed{f' by us for {whose(envelope)}' if envelope else ''}, {weight(text)}]"


def whose(envelope: Envelope) -> str:
    return f"{envelope.model} ({envelope.provider})"


def raw(value: Any) -> str:
    """Any JSON value, on one line."""
    return fold(codec.text(media.shortened(value)), MOST)


def arguments(text: Any) -> str:
    """A call's arguments, a line or a block each; what is no JSON object as it is."""
    try:
        values = codec.loads(text) if isinstance(text, str) else text
    except ValueError:
        return media.cleaned(text)
    if not isinstance(values, dict):
        return said(text)
    if len(values) == 1 and isinstance(only := next(iter(values.values())), str) and "\n" in only:
        return media.cleaned(only)  # a patch or a script
    return "\n".join(argument(str(name), value) for name, value in values.items())


def argument(name: str, value: Any) -> str:
    text = media.cleaned(value) if isinstance(value, str) else raw(value)
    if "\n" not in text:
        return f"{name}: {text}"
    lines = "\n".join(f"  {one}".rstrip() for one in text.split("\n"))
    return f"{name}:\n{lines}"
