"""Message parts, both ways, and media in tool outputs.

Sources: https://developers.openai.com/api/reference/resources/responses (input parts) and
https://platform.openai.com/docs/api-reference/chat/create (messages).
"""

from typing import Any

from translate.wire import codec
from translate.wire.requests import PART_FIELDS, check_fields

Json = dict[str, Any]
Part = Json
ConvertedParts = tuple[list[Part], list[str]]  # the parts, and what was dropped

TEXT_FIELDS = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
    # In messages of sub-agents, a relayed model writes plain text where OpenAI's seal theirs.
    "encrypted_content": "encrypted_content",
}

# Chat knows low, high and auto; Codex's `original` asks for full size.
IMAGE_DETAILS = {"original": "high"}


def parts_to_chat(content: str | list[Any] | None, path: str) -> ConvertedParts:
    """The Chat parts of the content at `path` of the request, in the same order.

    Empty texts are left out, as some servers refuse them. Raises BadRequest for a malformed part.
    """
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    parts, dropped = [], []
    for index, part in enumerate(content or []):
        part_path = f"{path}[{index}]"
        check_fields(part, PART_FIELDS, part_path)
        if (converted := _part_to_chat(part)) is None:
            dropped.append(f"{part_path} ({part.get('type')})")
        elif converted.get("text") != "":
            parts.append(converted)
    return parts, dropped


def _part_to_chat(part: Part) -> Part | None:
    part_type = str(part.get("type"))
    if field := TEXT_FIELDS.get(part_type):
        return {"type": "text", "text": str(part.get(field) or "")}
    convert = MEDIA_CONVERTERS.get(part_type)
    return convert(part) if convert else None


def _image_to_chat(part: Part) -> Part | None:
    url = part.get("image_url")
    if isinstance(url, dict):  # Chat's spelling, which some SDK users send
        url = url.get("url")
    if not isinstance(url, str):
        return None
    detail = part.get("detail")
    image = {"url": url} | ({"detail": IMAGE_DETAILS.get(detail, detail)} if detail else {})
    return {"type": "image_url", "image_url": image}


def _file_to_chat(part: Part) -> Part | None:
    file = {key: part[key] for key in ("filename", "file_data", "file_id") if part.get(key)}
    return {"type": "file", "file": file} if len(file) > ("filename" in file) else None


def _audio_to_chat(part: Part) -> Part | None:
    audio = part.get("input_audio")
    return {"type": "input_audio", "input_audio": audio} if audio else None


MEDIA_CONVERTERS = {
    "input_image": _image_to_chat,
    "computer_screenshot": _image_to_chat,
    "input_file": _file_to_chat,
    "input_audio": _audio_to_chat,
}


def part_to_responses(part: Part) -> Part:
    """The Responses part for a message that is not the assistant's."""
    match part["type"]:
        case "text":
            return {"type": "input_text", "text": part["text"]}
        case "image_url":
            image = image_fields(part["image_url"])
            detail = image.get("detail") or "auto"
            return {"type": "input_image", "image_url": image["url"], "detail": detail}
        case "file":
            return {"type": "input_file", **part["file"]}
    return part


def image_fields(image: Any) -> Json:
    """The fields of an image; clients of Mistral and Ollama send the URL alone."""
    return image if isinstance(image, dict) else {"url": image}


def simplify_content(parts: list[Part]) -> str | list[Part]:
    """Text parts as one string, which every server accepts; parts with media stay a list."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def split_text_and_media(parts: list[Part]) -> tuple[str, list[Part]]:
    """The text and the media parts, for messages of tools and assistants, which hold only text."""
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return text, [part for part in parts if part["type"] != "text"]


MEDIA_PARTS = ("image_url", "file", "input_audio")


def replace_media(
    parts: list[Part], path: str, media: tuple[str, ...] = MEDIA_PARTS
) -> ConvertedParts:
    """The parts with a text in place of media of these types, and what was dropped."""
    dropped = [f"{path} ({part['type']})" for part in parts if part["type"] in media]
    return [media_placeholder(part) if part["type"] in media else part for part in parts], dropped


def media_placeholder(part: Part) -> Part:
    """The text that stands for media that cannot be sent."""
    if part["type"] != "image_url":
        name = part.get("file", {}).get("filename", "not shown")
        return {"type": "text", "text": f"[{part['type']}: {name}]"}
    url = part["image_url"]["url"]
    head, _, data = url.partition(",")
    if not url.startswith("data:"):
        return {"type": "text", "text": f"[image: {url}]"}
    media_type = head.removeprefix("data:").split(";")[0] or "unknown type"
    return {"type": "text", "text": f"[image: {media_type}, {len(data) * 3 // 4} bytes, not shown]"}


def output_to_chat(output: object, path: str) -> ConvertedParts:
    """A tool's output, which may be a text, a list of parts or any JSON value, as Chat parts."""
    if isinstance(output, str):
        return [{"type": "text", "text": output}], []
    if _is_content_part(output):
        output = [output]
    if isinstance(output, list) and (not output or any(map(_is_content_part, output))):
        return parts_to_chat(output, path)
    return [{"type": "text", "text": codec.json_text(output)}], []


def _is_content_part(value: object) -> bool:
    part_type = value.get("type") if isinstance(value, dict) else None
    return isinstance(part_type, str) and (
        part_type in TEXT_FIELDS or part_type in MEDIA_CONVERTERS
    )
