"""Reads the body of an upstream's error, whatever form the provider gives it."""

import re
from collections.abc import Iterator
from typing import Any

from translate.wire import codec
from translate.wire.printable import printable

# Few providers send a code for this, but their wordings are stable. Those of each provider, with
# their sources, are in tests/translate/wire/test_errors.py.
OVERFLOW = re.compile(
    r"context_(length|window)_exceeded|context (length|window|size)|maximum (context|prompt length)"
    r"|too many (input )?tokens|(prompt|input) (is )?too long|model token limit|total message size"
    r"|exceeds? the (available |model'?s )?(max\w* )?context|prompt exceeds max length"
    r"|(input|prompt) tokens? .{0,40}exceed|reduce the length|range of input length"
    r"|exceed context limit|longer than the maximum model length|must have less than \d+ tokens"
    r"|inputs` tokens \+ `max_new_tokens",
    re.I,
)
# These mention tokens and lengths too, but a shorter conversation would not help.
OTHER_LIMIT = re.compile(
    r"per[ -](min|day|hour)|\bTPM\b|rate.?limit|max_\w{0,40}tokens\W.{0,40}too large", re.I
)
# "quota" and "billing" alone prove nothing: Gemini's temporary 429 mentions both.
EMPTY_ACCOUNT_WORDS = re.compile(
    rb"insufficient[_ ](quota|balance|credit|funds)|exceeded_current_quota|billing_(hard|not)"
    rb"|credit balance|payment required|(out of|all available) credits|credits are depleted"
    rb"|spending limit|arrear|\"1113\"",  # GLM's code; its message is in Chinese
    re.I,
)


MOST_MESSAGES = 20  # of a list
LONGEST_TEXT = 2_000  # characters
LARGEST_PAGE = 256 << 10  # bytes that are searched for a text; the message of a page stands early
LARGEST_JSON = 1 << 20  # bytes of an error that is parsed; a larger one counts as a page
SKIPPED = (b"script", b"style")


def has_code(code: str, body: bytes) -> bool:
    """Whether the error has this code or this type."""
    return any(
        code in (error.get("type"), error.get("code"), error.get("error"))
        for error in _error_objects(body)
    )


def is_empty_account(body: bytes) -> bool:
    """Whether the upstream says that the account is out of money, so that waiting does not help."""
    return bool(EMPTY_ACCOUNT_WORDS.search(body[:20_000]))


def is_overflow(body: bytes) -> bool:
    """Whether the upstream says that the conversation is too long for the model's context."""
    text = error_text(body)
    return bool(OVERFLOW.search(text)) and not OTHER_LIMIT.search(text)


def is_message_only(body: bytes) -> bool:
    """Whether an error is a JSON object without a code, type or status that names its cause."""
    errors = _error_objects(body)
    names = ("type", "code", "status")
    return bool(errors) and all(error.get(name) is None for error in errors for name in names)


def reset_facts(body: bytes) -> dict[str, Any]:
    """The fields from which Codex tells the user when an account's limit resets
    (Soju06/codex-lb#1246)."""
    match _parse(body):
        case {"error": dict(error)}:
            names = ("plan_type", "resets_at", "resets_in_seconds")
            return {name: error[name] for name in names if error.get(name) is not None}
    return {}


def stream_error_status(body: bytes) -> int:
    """The 4xx status that an error inside a stream has as its code (OpenRouter), or 200."""
    match _parse(body):
        case {"error": {"code": int(code)}} | {"code": int(code)} if 400 <= code < 500:
            return code
    return 200


def error_code(body: bytes) -> str:
    """The code of an error inside a stream, or "" if that is not a word."""
    match _parse(body):
        case {"error": {"code": str(code)}} | {"code": str(code)}:
            return code
    return ""


def error_text(body: bytes) -> str:
    """The readable message of an error body: one line of at most 2,000 characters."""
    text = _find_message(_parse(body))
    if not text:
        text = b"".join(_page_texts(body[:LARGEST_PAGE])).decode("utf-8", "replace")
    return printable(" ".join(text.split()), LONGEST_TEXT) or "no message"


def _page_texts(page: bytes) -> Iterator[bytes]:
    """The texts of an HTML page without its tags, scripts and styles.

    A plain text is such a page, too: a "<" that begins no tag stays.
    """
    before, *pieces = page.split(b"<")
    yield before
    closing_tag = b""  # of the script or the style that is open
    for piece in pieces:
        tag, end, text = piece.partition(b">")
        name = tag.lower()
        if closing_tag:
            closing_tag = b"" if name.startswith(closing_tag) else closing_tag
            yield b"" if closing_tag else b" " + text
        elif not end:
            yield b"<" + piece
        else:
            closing_tag = next((b"/" + skip for skip in SKIPPED if name.startswith(skip)), b"")
            yield b"" if closing_tag else b" " + text


def _error_objects(body: bytes) -> list[dict[str, Any]]:
    """The error's JSON object, and those inside it that providers put its code in."""
    outer = _parse(body)
    if not isinstance(outer, dict):
        return []
    inner = (outer.get("error"), outer.get("detail"))
    return [outer, *(error for error in inner if isinstance(error, dict))]


def _parse(body: bytes) -> Any:
    try:
        return codec.load_json(body) if len(body) <= LARGEST_JSON else None
    except ValueError:
        return None


def _find_message(body: Any) -> str:
    """Look in the usual places: error.message, error, message, detail, a list around any of them.

    Returns "" if none has a message.
    """
    match body:
        case str():
            return body
        case {"error": str(title), "message": str(message)} if title and title not in message:
            return _message_with_code({**body, "message": f"{title}: {message}".rstrip(": ")})
        case list():
            return "; ".join(filter(None, map(_find_message, body[:MOST_MESSAGES])))
        case {"error": dict() | str() | list() as inner} if inner:
            return _message_with_code(inner)
        case {"message": str()}:
            return _message_with_code(body)
        case {"detail": str() | list() as inner} | {"message": dict() | list() as inner}:
            return _find_message(inner)
        case {"msg": str(inner), "loc": [*path]}:  # pydantic's: Mistral, vLLM
            return f"{'.'.join(map(str, path))}: {inner}"
        case {"msg": str(inner)} | {"error_msg": str(inner)}:
            return inner
    return ""


def _message_with_code(error: Any) -> str:
    """`message [code]`, since some codes say more than their message."""
    if not isinstance(error, dict):
        return _find_message(error)
    message, code = error.get("message"), error.get("code")
    if not isinstance(message, str):
        return ""
    return f"{message} [{code}]" if isinstance(code, str) and code else message
