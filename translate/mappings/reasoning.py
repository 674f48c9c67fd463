"""How thinking travels: a provider's fields → reasoning item with envelope → the fields again.

Providers send it as `reasoning_content` (DeepSeek, Kimi, Qwen, vLLM), `reasoning` (OpenRouter,
Groq, Ollama), `reasoning_details` (OpenRouter, MiniMax), thinking parts in a content list
(Mistral), `<think>` at the head of the text, or sealed beside each call (Gemini). What came is
kept in the envelope as it came.
"""

from typing import Any

from translate.providers.profile import Provider
from translate.wire.envelope import Envelope, seal, unseal

Fields = dict[str, Any]

STRINGS = ("reasoning_content", "reasoning")
DETAILS = "reasoning_details"
THINK = "think"  # text between the tags; not a wire field
PARTS = "parts"  # text that goes back as a part of the content; not a wire field either
CALLS = "calls"  # call id → its `extra_content`, a signature that Gemini wants back; ours too
OPEN, CLOSE = "<think>", "</think>"


def fields_of(delta: Fields, names: tuple[str, ...] = STRINGS) -> Fields:
    """The thinking in a Chat delta or message, under the provider's own names."""
    found: Fields = {}
    for name in names:
        value = delta.get(name)
        if isinstance(value, str) and value:
            found[name] = value
    details = delta.get(DETAILS)
    if isinstance(details, list) and details:
        found[DETAILS] = [detail for detail in details if isinstance(detail, dict)]
    return found


def shown(fields: Fields) -> str:
    """The text that a person reads; sent once even where a provider says it in two fields."""
    for name in (*STRINGS, THINK):
        if name in fields:
            return str(fields[name])
    texts = (detail.get("text") or detail.get("summary") for detail in fields.get(DETAILS, ()))
    return "".join(text for text in texts if isinstance(text, str))


def merge(into: Fields, more: Fields) -> None:
    """Add a delta's fields to what has come so far."""
    for name, value in more.items():
        if name == DETAILS:
            details = into.setdefault(DETAILS, [])
            for detail in value:
                _merge_detail(details, detail)
        elif name == CALLS:
            into[CALLS] = into.get(CALLS, {}) | value
        else:
            into[name] = into.get(name, "") + value


def _merge_detail(details: list[Fields], detail: Fields) -> None:
    """Pieces of one detail share index and type; OpenRouter wants them back joined."""
    last = details[-1] if details else None
    if last is None or not _continues(last, detail):
        details.append(dict(detail))
        return
    for key, value in detail.items():
        grows = key in ("text", "summary", "data") and isinstance(value, str)
        last[key] = str(last.get(key) or "") + value if grows else value or last.get(key)


def _continues(last: Fields, detail: Fields) -> bool:
    if detail.get("id") and last.get("id") not in (None, detail["id"]):
        return False
    return all(last.get(key) == detail.get(key) for key in ("type", "index"))


def sealed(fields: Fields, provider: Provider, model: str) -> str:
    return seal(Envelope(provider.identity, model, fields))


def to_chat(item: Fields, provider: Provider) -> Fields | None:
    """A reasoning item's fields for the assistant message; None if nothing of it can go back."""
    envelope = unseal(item.get("encrypted_content"))
    state = envelope.state if envelope else {}
    own = envelope is not None and envelope.provider == provider.identity
    calls = state.get(CALLS) if own else None
    signed = {CALLS: calls} if isinstance(calls, dict) else {}
    fields = fields_of(state, (*STRINGS, THINK))
    return _thinking(_spoken(item, state), fields, own, provider) | signed or None


def _spoken(item: Fields, state: Fields) -> Fields:
    """Where its words stand: a Chat client brings a Responses upstream's item sealed alone."""
    inner = state.get(ITEM)
    return inner if isinstance(inner, dict) and not summary(item) else item


def _thinking(item: Fields, fields: Fields, own: bool, provider: Provider) -> Fields:
    match provider.reasoning_back:
        case "never":
            return {}
        case "echo":
            return fields if own else {}
        case "reasoning_content" | "reasoning" as name if own and name in fields:
            return fields
        case name:
            text = shown(fields) or summary(item)
            return {name: text} if text else {}


# of a Responses upstream: the item itself, to be given back verbatim
ITEM = "item"


def sealed_item(item: Fields, provider: Provider, model: str) -> str:
    return sealed({ITEM: item}, provider, model)


def to_responses(item: Fields, provider: Provider) -> Fields | None:
    """A reasoning item as an upstream of its own dialect may have it; None for nothing.

    Its own comes back as it made it, as some check what they sealed against the item's id.
    """
    foreign, envelope = item.get("encrypted_content"), unseal(item.get("encrypted_content"))
    if foreign and envelope is None and provider.reads_foreign_seals():
        return item  # OpenAI sealed it and may well be here
    own = envelope is not None and envelope.provider == provider.identity
    state = envelope.state if envelope else {}
    if own and isinstance(made := state.get(ITEM), dict):
        return made
    told = fields_of(state, (*STRINGS, THINK))
    fields = _thinking(_spoken(item, state), told, own, provider)
    text = shown(fields) or fields.get(PARTS)
    content = [{"type": "reasoning_text", "text": text}]
    made = {"type": "reasoning", "id": item.get("id") or "rs_0", "summary": [], "content": content}
    return made if text else None


# A Chat client's: a reasoning item travels as a sealed detail beside its text.
ENCRYPTED = "reasoning.encrypted"


def detail(item: Fields, number: int) -> Fields:
    """What goes down to a Chat client, and comes back with the message."""
    sealed = item["encrypted_content"]
    return {"type": ENCRYPTED, "id": item["id"], "index": number, "data": sealed}


def items(message: Fields) -> list[Fields]:
    """The items behind a Chat client's message: those that we sealed, or else the text alone."""
    found = fields_of(message)
    sealed = [
        {"type": "reasoning", "id": one.get("id"), "summary": [], "encrypted_content": one["data"]}
        for one in found.get(DETAILS, ())
        if one.get("type") == ENCRYPTED and unseal(one.get("data"))
    ]
    text = shown(found)
    said = [{"type": "summary_text", "text": text}]
    return sealed or ([{"type": "reasoning", "summary": said}] if text else [])


def foreign(message: Fields) -> bool:
    """Whether it holds what others sealed, which is refused ("could not be verified")."""
    details = fields_of(message).get(DETAILS, ())
    return any(one.get("type") == ENCRYPTED and not unseal(one.get("data")) for one in details)


def blank(provider: Provider) -> Fields:
    """What an assistant message without thinking says where the provider demands the field.

    Turns of another model, and those without a thought, have none: DeepSeek refuses them
    (opencode#17523, continue#11290), and Kimi takes "" for missing (earendil-works/pi#4178).
    """
    name = provider.reasoning_back
    return {name: " "} if name in STRINGS else {}


def unblank(message: Fields, provider: Provider) -> Fields:
    """The message without that, for those whom no server has to please."""
    told = blank(provider).items()
    return {name: value for name, value in message.items() if (name, value) not in told}


def summary(item: Fields) -> str:
    """What a reasoning item says in plain words."""
    parts = [*(item.get("content") or []), *(item.get("summary") or [])]
    return "\n\n".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def thoughts(output: list[Fields]) -> str:
    """What all the thinking of a reply says."""
    texts = [summary(item) for item in output if item["type"] == "reasoning"]
    return "\n\n".join(filter(None, texts))


def tagged(thinking: str, text: str) -> str:
    """The text with its thinking at the head, as `ThinkTags` took it off."""
    return f"{OPEN}{thinking}{CLOSE}\n\n{text}" if thinking else text


class ThinkTags:
    """Splits `<think>…</think>` off the head of a text that arrives in pieces.

    `feed` and `close` give (thinking, text). Only the head counts: later tags are text.
    """

    def __init__(self) -> None:
        self._step = self._head
        self._held = ""

    def feed(self, piece: str) -> tuple[str, str]:
        return self._step(piece)

    def close(self) -> tuple[str, str]:
        """What is still held; an unclosed tag was thinking all along, space alone is no text."""
        held, self._held = self._held, ""
        return (held, "") if self._step == self._inside else ("", held if held.strip() else "")

    def _head(self, piece: str) -> tuple[str, str]:
        self._held += piece
        start = self._held.lstrip()
        if start.startswith(OPEN):
            self._step, self._held = self._inside, ""
            return self._inside(start[len(OPEN) :])
        if OPEN.startswith(start):  # nothing but space, or the beginning of a tag
            return "", ""
        text, self._held = self._held, ""
        self._step = self._text
        return "", text

    def _inside(self, piece: str) -> tuple[str, str]:
        text = self._held + piece
        thinking, tag, rest = text.partition(CLOSE)
        if tag:
            self._step, self._held = self._after, ""
            return thinking, self._after(rest)[1]
        keep = next((n for n in range(len(CLOSE) - 1, 0, -1) if text.endswith(CLOSE[:n])), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], ""

    def _after(self, piece: str) -> tuple[str, str]:
        text = piece.lstrip("\r\n")
        if text:
            self._step = self._text
        return "", text

    def _text(self, piece: str) -> tuple[str, str]:
        return "", piece


class NoTags:
    """The same where tags are nothing but text."""

    def feed(self, piece: str) -> tuple[str, str]:
        return "", piece

    def close(self) -> tuple[str, str]:
        return "", ""
