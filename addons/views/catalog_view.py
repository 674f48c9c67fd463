"""The view `Catalog`: a model list, OpenAI's or Codex's, or one of OpenAI's, as a table."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from addons.views.base import Seen, View
from translate.providers import catalog
from translate.providers.catalog import LISTS, first
from translate.wire import codec

Json = dict[str, Any]
EXTRA = ("tool_mode", "shell_type", "apply_patch_tool_type", "visibility", "owned_by")
ROUTES = frozenset({"models", "model"})
HEAD = ("slug", "title", "context", "images", "efforts", *EXTRA)


class Catalog(View):
    name = "Catalog"

    def fits(self, body: bytes, seen: Seen) -> float:
        return -1

    def render_priority(self, data: bytes, metadata: Any) -> float:
        told = metadata.flow.metadata if metadata.flow else {}
        return 100 if told.get("relay.route") in ROUTES and data.lstrip()[:1] == b"{" else -1

    def blocks(self, body: bytes, seen: Seen) -> Iterator[str]:
        yield from table(body)


def table(body: bytes) -> Iterator[str]:
    """Raises ValueError for what is no model list."""
    found = codec.loads(body)
    models = first(found, LISTS, list) or [found]
    rows = [row for model in models if (row := row_of(model))]
    if not rows:
        raise ValueError("it lists no models")
    shown = [column for column in zip(HEAD, *rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in shown]
    yield f"{len(rows)} model{'s' * (len(rows) != 1)}"
    yield ""
    for cells in zip(*shown, strict=True):
        yield "  ".join(map(str.ljust, cells, widths)).rstrip()


def row_of(model: Any) -> tuple[str, ...] | None:
    model = {"id": model} if isinstance(model, str) else model
    one = catalog.entry(model)
    if one is None:
        return None
    context = f"{one.context:,}" if one.context else ""
    images = {True: "yes", False: "no", None: ""}[one.images]
    more = (cell(model.get(name)) for name in EXTRA)
    title = one.title if one.title != one.id else ""
    return tuple(chain((one.id, title, context, images, efforts(model)), more))


def cell(value: Any) -> str:
    return "" if value is None else str(value)[:40]


def efforts(model: Json) -> str:
    levels = model.get("supported_reasoning_levels")
    found = [level.get("effort") for level in levels or () if isinstance(level, dict)]
    return " ".join(map(str, found))
