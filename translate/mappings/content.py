"""Message parts, both ways, and what happens to media in tool outputs.

Sources: https://developers.openai.com/api/reference/resources/responses (input parts) and
https://platform.openai.com/docs/api-reference/chat/create (messages).
"""

from typing import Any

from translate.wire import codec
from translate.wire.requests import PART, check

Json = dict[str, Any]
Part = Json

TEXT = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
    # sub-agents' messages: a relayed model writes plain text where OpenAI's would be sealed
    "encrypted_content": "encrypted_content",
}

# Chat knows low, high and auto; Codex's `original` asks for full size.
DETAIL = {"original": "high"}


def parts_to_chat(content: str | list[Any] | None, place: str, dropped: list[str]) -> list[Part]:
    """Chat parts in the same order, none of them empty, which some servers refuse."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    parts = []
    for number, part in enumerate(content or []):
        here = f"{place}[{number}]"
        check(part, PART, here)
        parts.append(_part(part, here, dropped))
    return [part for part in parts if part and part.get("text") != ""]


def _part(part: Part, place: str, dropped: list[str]) -> Part | None:
    kind = part.get("type")
    if field := TEXT.get(str(kind)):
        return {"type": "text", "text": str(part.get(field) or "")}
    convert = MEDIA.get(str(kind))
    made = convert(part) if convert else None
    if made is None:
        dropped.append(f"{place} ({kind})")
    return made


def _image(part: Part) -> Part | None:
    url = part.get("image_url")
    if isinstance(url, dict):  # Chat's own spelling, seen from SDK users
        url = url.get("url")
    if not isinstance(url, str):
        return None
    detail = part.get("detail")
    image = {"url": url} | ({"detail": DETAIL.get(detail, detail)} if detail else {})
    return {"type": "image_url", "image_url": image}


def _file(part: Part) -> Part | None:
    file = {key: part[key] for key in ("filename", "file_data", "file_id") if part.get(key)}
    return {"type": "file", "file": file} if len(file) > ("filename" in file) else None


def _audio(part: Part) -> Part | None:
    audio = part.get("input_audio")
    return {"type": "input_audio", "input_audio": audio} if audio else None


MEDIA = {"input_image": _image, "input_file": _file, "input_audio": _audio}


def part_to_responses(part: Part) -> Part:
    """The inverse, for parts that are no assistant's."""
    match part["type"]:
        case "text":
            return {"type": "input_text", "text": part["text"]}
        case "image_url":
            said = image(part["image_url"])
            detail = said.get("detail") or "auto"
            return {"type": "input_image", "image_url": said["url"], "detail": detail}
        case "file":
            return {"type": "input_file", **part["file"]}
    return part


def image(said: Any) -> Json:
    """Mistral's clients and Ollama's send the URL alone."""
    return said if isinstance(said, dict) else {"url": said}


def plain(parts: list[Part]) -> str | list[Part]:
    """Text alone as a string, which every server takes; with media the list stays."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def split(parts: list[Part]) -> tuple[str, list[Part]]:
    """Text and media apart, as tool messages and assistant messages hold text only."""
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return text, [part for part in parts if part["type"] != "text"]


MEDIA_PARTS = ("image_url", "file", "input_audio")


def words(
    parts: list[Part], place: str, dropped: list[str], media: tuple[str, ...] = MEDIA_PARTS
) -> list[Part]:
    """The same parts with words in place of such media; each is reported as dropped."""
    dropped += [f"{place} ({part['type']})" for part in parts if part["type"] in media]
    return [placeholder(part) if part["type"] in media else part for part in parts]


def placeholder(part: Part) -> Part:
    """What stands for media that cannot be carried over."""
    if part["type"] != "image_url":
        name = part.get("file", {}).get("filename", "not shown")
        return {"type": "text", "text": f"[{part['type']}: {name}]"}
    url = part["image_url"]["url"]
    head, _, data = url.partition(",")
    if not url.startswith("data:"):
        return {"type": "text", "text": f"[image: {url}]"}
    kind = head.removeprefix("data:").split(";")[0] or "unknown type"
    return {"type": "text", "text": f"[image: {kind}, {len(data) * 3 // 4} bytes, not shown]"}


def output_to_chat(output: object, place: str, dropped: list[str]) -> list[Part]:
    """A tool's output: text, a list of parts, or (from other tools) any JSON value."""
    if isinstance(output, str):
        return [{"type": "text", "text": output}]
    if output == [] or isinstance(output, list) and any(map(_is_part, output)):
        return parts_to_chat(output, place, dropped)
    return [{"type": "text", "text": codec.text(output)}]


def _is_part(value: object) -> bool:
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and (kind in TEXT or kind in MEDIA)
