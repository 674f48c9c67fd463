"""Which conversation a request belongs to: a key that all its turns share, made of its beginning.

The beginning is what a client sends again with every turn: the instructions, and all up to the
first message of the user's. The model is no part of it, as it may change on the way.
"""

from collections.abc import Sequence
from hashlib import blake2s
from typing import Any

from translate.mappings.parameters import fits_header
from translate.providers.profile import Provider
from translate.wire import codec
from translate.wire.requests import ResponsesRequest

Json = dict[str, Any]

FIELD = "prompt_cache_key"
LIMIT = 64  # characters that the field takes


def session(request: ResponsesRequest) -> str:
    """The client's own key where it gives one, else 32 hexadecimal digits."""
    given = (request.model_extra or {}).get(FIELD)
    if fits_header(given) and len(str(given)) <= LIMIT:
        return str(given)
    begins = [given] if given else [request.instructions, *map(_said, _beginning(request.items))]
    return blake2s(codec.dumps(begins), digest_size=16).hexdigest()


def _beginning(items: Sequence[Json]) -> Sequence[Json]:
    first = (n for n, item in enumerate(items) if item.get("role") == "user")
    return items[: next(first, 0) + 1]


def _said(item: Json) -> list[Any]:
    """An item without ids and marks, which clients may add between two turns."""
    content = item.get("content")
    parts = [{"text": content}] if isinstance(content, str) else content or []
    return [item.get("role"), [_part(part) for part in parts]]


def _part(part: Any) -> Any:
    return part.get("text") or part if isinstance(part, dict) else part


def key(name: str, provider: Provider) -> Json:
    """The field of the request, for a provider that keeps a conversation together by it."""
    return {FIELD: name} if provider.session_header else {}


def headers(name: str, provider: Provider) -> dict[str, str]:
    return {provider.session_header: name} if provider.session_header else {}
