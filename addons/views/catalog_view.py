"""The view `Catalog`: a list of models, in OpenAI's form or Codex's, or one model, as a table."""

from collections.abc import Iterator
from typing import Any

from mitmproxy.contentviews import Metadata

from addons.ingress import ROUTE_KEY, Route
from addons.views.base import RelayView, ShownMessage, first_character
from addons.views.text import to_one_line
from translate import find_model_list, load_json, parse_model

type Json = dict[str, Any]
CATALOG_ROUTES = frozenset({Route.MODELS, Route.MODEL})
EXTRA_FIELDS = ("tool_mode", "shell_type", "apply_patch_tool_type", "visibility", "owned_by")
COLUMNS = ("slug", "title", "context", "images", "efforts", *EXTRA_FIELDS)
CELL_WIDTH = 60  # characters


class Catalog(RelayView):
    name = "Catalog"

    def relayed_priority(self, body: bytes, message: ShownMessage) -> float:
        return -1  # see `render_priority`: model lists are not relayed

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        route = metadata.flow.metadata.get(ROUTE_KEY) if metadata.flow else None
        return 100 if route in CATALOG_ROUTES and first_character(data) == b"{" else -1

    def text_blocks(self, body: bytes, message: ShownMessage) -> Iterator[str]:
        yield from model_table(body)


def model_table(body: bytes) -> Iterator[str]:
    """The lines of the table. Raises ValueError if the body lists no models."""
    value = load_json(body)
    models = find_model_list(value) or [value]
    rows = [row for model in models if (row := _model_row(model))]
    if not rows:
        raise ValueError("it lists no models")
    columns = [column for column in zip(COLUMNS, *rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    yield f"{len(rows)} model{'s' * (len(rows) != 1)}"
    yield ""
    for cells in zip(*columns, strict=True):
        yield "  ".join(map(str.ljust, cells, widths)).rstrip()


def _model_row(fields: Any) -> tuple[str, ...] | None:
    fields = {"id": fields} if isinstance(fields, str) else fields
    model = parse_model(fields)
    if model is None:
        return None
    title = model.title if model.title != model.id else ""
    context = f"{model.context_window:,}" if model.context_window else ""
    images = {True: "yes", False: "no", None: ""}[model.images]
    extra = (_cell_text(fields.get(name)) for name in EXTRA_FIELDS)
    texts = (model.id, title, context, images, _reasoning_efforts(fields))
    return (*map(_cell_text, texts), *extra)


def _cell_text(value: Any) -> str:
    return "" if value is None else to_one_line(str(value), CELL_WIDTH)


def _reasoning_efforts(fields: Json) -> str:
    levels = fields.get("supported_reasoning_levels")
    efforts = [level.get("effort") for level in levels or () if isinstance(level, dict)]
    return " ".join(map(str, efforts))
