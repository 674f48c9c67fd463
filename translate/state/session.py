"""Session keys: all requests of a conversation have the same key, made from its beginning.

The beginning is what a client repeats in every turn: the instructions, and all items up to the
user's first message. The model is not part of it, as it may change during a conversation.
"""

from collections.abc import Sequence
from hashlib import blake2s
from typing import Any

from translate.mappings.parameters import fits_header
from translate.providers.profile import Provider
from translate.wire.json_steps import dump_json_in_steps
from translate.wire.requests import ResponsesRequest

Json = dict[str, Any]

KEY_FIELD = "prompt_cache_key"
KEY_LIMIT = 64  # characters that the field takes


def request_session_key(request: ResponsesRequest) -> str:
    """The client's own key if it can be used, else 32 hexadecimal digits."""
    client_key = (request.model_extra or {}).get(KEY_FIELD)
    if fits_header(client_key) and len(str(client_key)) <= KEY_LIMIT:
        return str(client_key)
    beginning = [request.instructions, *map(_item_content, _first_items(request.input_items))]
    source = dump_json_in_steps([client_key] if client_key else beginning)
    return blake2s(source, digest_size=16).hexdigest()


def _first_items(items: Sequence[Json]) -> Sequence[Json]:
    user_positions = (n for n, item in enumerate(items) if item.get("role") == "user")
    return items[: next(user_positions, 0) + 1]


def _item_content(item: Json) -> list[Any]:
    """The role and the content, without the ids and marks that clients add between two turns."""
    content = item.get("content")
    parts = [{"text": content}] if isinstance(content, str) else content or []
    return [item.get("role"), [_part_content(part) for part in parts]]


def _part_content(part: Any) -> Any:
    return part.get("text") or part if isinstance(part, dict) else part


def session_field(session_key: str, provider: Provider) -> Json:
    """The field of the request, for a provider that also wants the key in a header."""
    return {KEY_FIELD: session_key} if provider.session_header else {}


def session_headers(session_key: str, provider: Provider) -> dict[str, str]:
    return {provider.session_header: session_key} if provider.session_header else {}
