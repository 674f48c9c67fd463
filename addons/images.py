"""The pictures of a request, made fit for its provider before it is translated."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any

from addons.picture import Fitted, Limits, fitting
from translate import Provider

Json = dict[str, Any]

KEPT, KEPT_BYTES = 512, 64_000_000

# One picture at a time, as one may take half a gigabyte for a moment.
_thread = ThreadPoolExecutor(1, "images")
_cache: dict[tuple[bytes, Limits], Fitted] = {}  # used in that thread only


async def fitted(body: Json, provider: Provider) -> tuple[Json, list[str]]:
    """The request with pictures that the provider takes, and what was done, by place."""
    if next(pictures(body, provider), None) is None:
        return body, []
    return await asyncio.get_running_loop().run_in_executor(_thread, fit, body, provider)


def fit(body: Json, provider: Provider) -> tuple[Json, list[str]]:
    limits = Limits(provider.image_side, provider.image_bytes, provider.image_types)
    items, lost = list(body["input"]), []
    for position, field, number, url in pictures(body, provider):
        made = kept(url, limits)
        if made.done:
            lost.append(f"input[{position}].{field}[{number}] (image: {made.done})")
        if made.changed:
            parts = list(items[position][field])
            parts[number] = {"type": "input_text", "text": made.words}
            if made.url:
                parts[number] = {**body["input"][position][field][number], "image_url": made.url}
            items[position] = {**items[position], field: parts}
    return {**body, "input": items}, lost


def pictures(body: Json, provider: Provider) -> Iterator[tuple[int, str, int, str]]:
    """(number of the item, field, number of the part, URL) of what would go up as a picture."""
    items, fields = body.get("input"), ["content"] * provider.images
    fields += ["output"] * (provider.images and provider.output_images)
    for position, item in enumerate(items if isinstance(items, list) else []):
        for field in fields if isinstance(item, dict) else []:
            parts = item.get(field)
            for number, part in enumerate(parts if isinstance(parts, list) else []):
                if url := source(part):
                    yield position, field, number, url


def source(part: Any) -> str | None:
    """A picture's URL, unless it is the provider that fetches it."""
    if not isinstance(part, dict) or part.get("type") != "input_image":
        return None
    url = part.get("image_url")
    url = url.get("url") if isinstance(url, dict) else url
    return url if isinstance(url, str) and not url.startswith(("https://", "http://")) else None


def kept(url: str, limits: Limits) -> Fitted:
    """Each picture is worked on once, though every turn of a session brings all of them again."""
    key = (blake2b(url.encode("utf-8", "replace"), digest_size=16).digest(), limits)
    _cache[key] = made = _cache.pop(key, None) or fitting(url, limits)  # the last one now
    size = sum(len(one.url) for one in _cache.values())
    while len(_cache) > KEPT or (size > KEPT_BYTES and len(_cache) > 1):
        size -= len(_cache.pop(next(iter(_cache))).url)
    return made
