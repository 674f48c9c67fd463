"""The pictures of a request, made fit for its provider before it is translated."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any, NamedTuple

from addons.exchange.images import Fitted, Limits, fitting
from translate import Provider

Json = dict[str, Any]

KEPT, KEPT_BYTES = 512, 64_000_000

# One picture at a time, as one may take half a gigabyte for a moment.
_thread = ThreadPoolExecutor(1, "images")
_cache: dict[tuple[bytes, Limits], Fitted] = {}  # used in that thread only


class Form(NamedTuple):
    """Where a dialect has its pictures."""

    list: str
    fields: tuple[str, ...]
    part: str
    words: str  # the part that holds text


FORMS = (
    Form("input", ("content", "output"), "input_image", "input_text"),
    Form("messages", ("content",), "image_url", "text"),
)


class Found(NamedTuple):
    form: Form
    position: int  # of the item or message
    field: str
    number: int  # of the part
    url: str


async def fitted(body: Json, provider: Provider) -> tuple[Json, list[str]]:
    """The request with pictures that the provider takes, and what was done, by place."""
    if next(pictures(body, provider), None) is None:
        return body, []
    return await asyncio.get_running_loop().run_in_executor(_thread, fit, body, provider)


def fit(body: Json, provider: Provider) -> tuple[Json, list[str]]:
    limits = Limits(provider.image_side, provider.image_bytes, provider.image_types)
    made, lost = {**body}, []
    for form, position, field, number, url in pictures(body, provider):
        picture = kept(url, limits)
        if picture.done:
            place = f"{form.list}[{position}].{field}[{number}]"
            lost.append(f"{place} (image: {picture.done})")
        if picture.changed:
            items = made[form.list] = [*made[form.list]]
            parts = [*items[position][field]]
            parts[number] = changed(form, parts[number], picture)
            items[position] = {**items[position], field: parts}
    return made, lost


def changed(form: Form, part: Json, picture: Fitted) -> Json:
    if not picture.url:
        return {"type": form.words, "text": picture.words}
    inner = part["image_url"]
    inside = form.list == "messages" and isinstance(inner, dict)
    return {**part, "image_url": {**inner, "url": picture.url} if inside else picture.url}


def pictures(body: Json, provider: Provider) -> Iterator[Found]:
    """What would go up as a picture."""
    shown = {"content": provider.images, "output": provider.images and provider.output_images}
    for form in FORMS:
        items = body.get(form.list)
        for position, item in enumerate(items if isinstance(items, list) else []):
            for field in form.fields if isinstance(item, dict) else ():
                parts = item.get(field) if shown[field] else None
                for number, part in enumerate(parts if isinstance(parts, list) else []):
                    if url := source(part, form):
                        yield Found(form, position, field, number, url)


def source(part: Any, form: Form) -> str | None:
    """A picture's URL, unless it is the provider that fetches it."""
    if not isinstance(part, dict) or part.get("type") != form.part:
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
