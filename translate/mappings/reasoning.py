"""How reasoning travels: a provider's fields → a reasoning item with an envelope → the fields.

Providers send it as `reasoning_content` (DeepSeek, Kimi, Qwen, vLLM), `reasoning` (OpenRouter,
Groq, Ollama), `reasoning_details` (OpenRouter, MiniMax), `thinking_blocks` (LiteLLM), thinking
parts in a content list (Mistral), `<think>` at the head of the text, or sealed beside each call
(Gemini). The envelope keeps these fields unchanged.
"""

from typing import Any

from translate.providers.profile import Provider
from translate.providers.quirks import overlap_length
from translate.wire.envelope import Envelope, open_envelope, seal_envelope

Fields = dict[str, Any]

REASONING_STRINGS = ("reasoning_content", "reasoning")
REASONING_DETAILS = "reasoning_details"
# Claude's own blocks, signed or redacted, as LiteLLM gives them beside `reasoning_content`. With
# tools, Claude refuses a later turn without them (BerriAI/litellm#15601).
THINKING_BLOCKS = "thinking_blocks"
REASONING_LISTS = (REASONING_DETAILS, THINKING_BLOCKS)
# These three are not wire fields:
THINK_TEXT = "think"  # text between the tags
THINKING_PARTS = "parts"  # text that goes back as a part of the content
CALL_SIGNATURES = "calls"  # call id → `extra_content`, a signature that Gemini wants back
OPEN, CLOSE = "<think>", "</think>"


def reasoning_fields(delta: Fields, names: tuple[str, ...] = REASONING_STRINGS) -> Fields:
    """The reasoning in a Chat delta or message, under the provider's own names."""
    fields: Fields = {}
    for name in names:
        value = delta.get(name)
        if isinstance(value, str) and value:
            fields[name] = value
    for name in REASONING_LISTS:
        details = delta.get(name)
        if isinstance(details, list) and details:
            fields[name] = [detail for detail in details if isinstance(detail, dict)]
    return fields


def readable_text(fields: Fields) -> str:
    """The text for a person to read, once even if a provider sends it in two fields."""
    for name in (*REASONING_STRINGS, THINK_TEXT):
        if name in fields:
            return str(fields[name])
    details = next((fields[name] for name in REASONING_LISTS if fields.get(name)), ())
    texts = (_detail_text(detail) for detail in details)
    return "".join(text for text in texts if isinstance(text, str))


def _detail_text(detail: Fields) -> Any:
    return detail.get("text") or detail.get("summary") or detail.get("thinking")


class TextPieces(list[str]):
    """A text that grows; it is joined at the end, as each joining copies all of it."""


def merge_fields(merged: Fields, fields: Fields) -> None:
    """Add a delta's fields to those of the deltas before it, in place; see `join_fields`."""
    for name, value in fields.items():
        if name in REASONING_LISTS:
            details = merged.setdefault(name, [])
            for detail in value:
                _merge_detail(details, detail)
        elif name == CALL_SIGNATURES:
            merged.setdefault(name, {}).update(value)
        else:
            merged.setdefault(name, TextPieces()).append(value)


def join_fields(merged: Fields) -> Fields:
    """The fields as the provider names them, from those that `merge_fields` has merged."""
    return {
        name: [_join_pieces(detail) for detail in value] if name in REASONING_LISTS else value
        for name, value in _join_pieces(merged).items()
    }


def _join_pieces(fields: Fields) -> Fields:
    return {
        name: "".join(value) if isinstance(value, TextPieces) else value
        for name, value in fields.items()
    }


def _merge_detail(details: list[Fields], detail: Fields) -> None:
    """Join the pieces of one detail, as OpenRouter and LiteLLM want it back."""
    last = details[-1] if details else None
    if last is None or not _continues_detail(last, detail):
        details.append(last := {})
    for key, value in detail.items():
        earlier = last.get(key, value)
        if key not in GROWING_FIELDS or not isinstance(value, str):
            last[key] = value or earlier
        elif isinstance(earlier, TextPieces):
            earlier.append(value)
        else:
            last[key] = TextPieces([value])


GROWING_FIELDS = ("text", "summary", "data", "thinking")


def _continues_detail(last: Fields, detail: Fields) -> bool:
    """Whether these are pieces of one detail: they share index and type.

    A signature ends a block of Claude's, and a redacted block comes whole.
    """
    if detail.get("type") == "redacted_thinking" or ("thinking" in last and last.get("signature")):
        return False
    if detail.get("id") and last.get("id") not in (None, detail["id"]):
        return False
    return all(last.get(key) == detail.get(key) for key in ("type", "index"))


def seal_fields(fields: Fields, provider: Provider, model: str) -> str:
    return seal_envelope(Envelope(provider.identity, model, fields))


def reasoning_to_chat(item: Fields, provider: Provider) -> Fields | None:
    """A reasoning item's fields for the assistant message; None if none can go back."""
    envelope = open_envelope(item.get("encrypted_content"))
    payload = envelope.payload if envelope else {}
    is_own = envelope is not None and envelope.provider_identity == provider.identity
    signatures = payload.get(CALL_SIGNATURES) if is_own else None
    signature_fields = {CALL_SIGNATURES: signatures} if isinstance(signatures, dict) else {}
    fields = reasoning_fields(payload, (*REASONING_STRINGS, THINK_TEXT))
    returned = _fields_to_return(_readable_item(item, payload), fields, is_own, provider)
    return (returned | signature_fields) or None


def _readable_item(item: Fields, payload: Fields) -> Fields:
    """The item, or the upstream's item sealed in it, whichever has readable text.

    Chat clients send back only the sealed item.
    """
    sealed_item = payload.get(SEALED_ITEM)
    return sealed_item if isinstance(sealed_item, dict) and not reasoning_text(item) else item


def _fields_to_return(item: Fields, fields: Fields, is_own: bool, provider: Provider) -> Fields:
    """The fields that the provider wants back; `is_own`: it sent them itself."""
    match provider.reasoning_back:
        case "never":
            return {}
        case "echo":
            return fields if is_own else {}
        case "reasoning_content" | "reasoning" as name if is_own and name in fields:
            return fields
        case name:
            text = readable_text(fields) or reasoning_text(item)
            return {name: text} if text else {}


# The field of an envelope for a Responses upstream's own item, which goes back verbatim.
SEALED_ITEM = "item"


def seal_item(item: Fields, provider: Provider, model: str) -> str:
    return seal_fields({SEALED_ITEM: item}, provider, model)


def reasoning_to_responses(item: Fields, provider: Provider) -> Fields | None:
    """A reasoning item for a Responses upstream; None if nothing can go back.

    The upstream's own item goes back unchanged, as some upstreams check the seal against its id.
    """
    sealed = item.get("encrypted_content")
    envelope = open_envelope(sealed)
    if sealed and envelope is None and provider.reads_foreign_seals():
        return item  # sealed by OpenAI, which this upstream may be
    is_own = envelope is not None and envelope.provider_identity == provider.identity
    payload = envelope.payload if envelope else {}
    if is_own and isinstance(sealed_item := payload.get(SEALED_ITEM), dict):
        return sealed_item
    payload_fields = reasoning_fields(payload, (*REASONING_STRINGS, THINK_TEXT))
    fields = _fields_to_return(_readable_item(item, payload), payload_fields, is_own, provider)
    text = readable_text(fields) or fields.get(THINKING_PARTS)
    if not text:
        return None
    content = [{"type": "reasoning_text", "text": text}]
    item_id = item.get("id") or "rs_0"
    return {"type": "reasoning", "id": item_id, "summary": [], "content": content}


# For Chat clients, a reasoning item travels as a sealed detail beside its text.
ENCRYPTED_DETAIL = "reasoning.encrypted"


def sealed_detail(item: Fields, number: int) -> Fields:
    """The detail that a Chat client gets, and sends back with the message."""
    sealed = item["encrypted_content"]
    return {"type": ENCRYPTED_DETAIL, "id": item["id"], "index": number, "data": sealed}


def reasoning_items(message: Fields) -> list[Fields]:
    """The reasoning items of a Chat client's message: those that the relay sealed, or its text."""
    fields = reasoning_fields(message)
    sealed_items = [
        {
            "type": "reasoning",
            "id": detail.get("id"),
            "summary": [],
            "encrypted_content": detail["data"],
        }
        for detail in fields.get(REASONING_DETAILS, ())
        if detail.get("type") == ENCRYPTED_DETAIL and open_envelope(detail.get("data"))
    ]
    text = readable_text(fields)
    summary = [{"type": "summary_text", "text": text}]
    return sealed_items or ([{"type": "reasoning", "summary": summary}] if text else [])


def foreign_seal_fields(message: Fields) -> list[str]:
    """The fields of a message whose seals the relay did not make, so that no upstream gets them."""
    fields = reasoning_fields(message)
    return [name for name in REASONING_LISTS if any(map(_is_foreign_seal, fields.get(name, ())))]


def _is_foreign_seal(detail: Fields) -> bool:
    if detail.get("type") == ENCRYPTED_DETAIL:
        return open_envelope(detail.get("data")) is None
    return "thinking" in str(detail.get("type")) and bool(
        detail.get("signature") or detail.get("data")
    )


def blank_reasoning(provider: Provider) -> Fields:
    """The field for an assistant message without reasoning, if the provider demands one.

    Turns of another model have no reasoning. DeepSeek refuses a message without the field
    (anomalyco/opencode#17523, continuedev/continue#11290), and for Kimi "" is as good as none
    (earendil-works/pi#4178).
    """
    name = provider.reasoning_back
    return {name: " "} if name in REASONING_STRINGS else {}


def remove_blank_reasoning(message: Fields, provider: Provider) -> Fields:
    """The message without the blank field, for anyone but the provider."""
    blank_fields = blank_reasoning(provider).items()
    return {name: value for name, value in message.items() if (name, value) not in blank_fields}


def reasoning_text(item: Fields) -> str:
    """The plain text of a reasoning item. Total: an envelope may hold an item of any shape."""
    lists = [value for name in ("content", "summary") if isinstance(value := item.get(name), list)]
    parts = [part for value in lists for part in value if isinstance(part, dict)]
    return "\n\n".join(str(part.get("text") or "") for part in parts)


def all_reasoning_text(output: list[Fields]) -> str:
    """The plain text of all reasoning in a reply."""
    texts = [reasoning_text(item) for item in output if item["type"] == "reasoning"]
    return "\n\n".join(filter(None, texts))


def add_think_tags(thinking: str, text: str) -> str:
    """The text with its thinking in tags before it; the inverse of `ThinkTags`."""
    return f"{OPEN}{thinking}{CLOSE}\n\n{text}" if thinking else text


class ThinkTags:
    """Splits `<think>…</think>` off the head of a text that arrives in pieces.

    `feed` and `close` return (thinking, text). Tags elsewhere in the text are text.
    """

    def __init__(self) -> None:
        self._step = self._read_head
        self._spaces: list[str] = []  # before the head
        self._pending = ""

    def feed(self, piece: str) -> tuple[str, str]:
        return self._step(piece)

    def close(self) -> tuple[str, str]:
        """The rest: thinking if its tag never closed; otherwise text, unless it is only space."""
        rest, self._pending = self._pending, ""
        spaces, self._spaces = self._spaces, []
        if self._step == self._read_thinking:
            return rest, ""
        return "", "".join([*spaces, rest]) if rest else ""

    def _read_head(self, piece: str) -> tuple[str, str]:
        text = self._pending + piece
        start = text if self._pending else text.lstrip()
        if start.startswith(OPEN):
            self._step, self._pending = self._read_thinking, ""
            return self._read_thinking(start[len(OPEN) :])
        if OPEN.startswith(start):  # only space, or the beginning of a tag
            self._spaces.append(text[: len(text) - len(start)])
            self._pending = start
            return "", ""
        self._step, self._pending = self._read_text, ""
        return "", "".join([*self._spaces, text])

    def _read_thinking(self, piece: str) -> tuple[str, str]:
        text = self._pending + piece
        thinking, tag, rest = text.partition(CLOSE)
        if tag:
            self._step, self._pending = self._skip_line_breaks, ""
            return thinking, self._skip_line_breaks(rest)[1]
        end = len(text) - overlap_length(text, CLOSE)
        thinking, self._pending = text[:end], text[end:]
        return thinking, ""

    def _skip_line_breaks(self, piece: str) -> tuple[str, str]:
        text = piece.lstrip("\r\n")
        if text:
            self._step = self._read_text
        return "", text

    def _read_text(self, piece: str) -> tuple[str, str]:
        return "", piece


class NoThinkTags:
    """Has the contract of `ThinkTags`, for models whose tags are plain text."""

    def feed(self, piece: str) -> tuple[str, str]:
        return "", piece

    def close(self) -> tuple[str, str]:
        return "", ""
