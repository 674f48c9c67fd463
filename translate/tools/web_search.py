"""`web_search`, which OpenAI runs itself, as the provider's own search.

Source: https://developers.openai.com/api/docs/guides/tools-web-search.
"""

import re
from copy import deepcopy
from typing import Any

from translate.providers.taken import Search

Json = dict[str, Any]

TYPES = re.compile(r"web_search(_preview)?(_\d{4}_\d\d_\d\d)?")


def is_search(tool: Json) -> bool:
    return bool(TYPES.fullmatch(str(tool.get("type"))))


def to_chat(tool: Json, search: Search | None, dropped: list[str]) -> Search | None:
    """The provider's search with this tool's options; what is left of them is reported.

    Without access to the web OpenAI searches its own cache, which nobody else has.
    """
    kind = tool.get("type")
    if search is None or not is_search(tool) or tool.get("external_web_access") is False:
        dropped.append(f"tools[{kind}]")
        return None
    entry = deepcopy(search.tool)
    for name, value in _options(tool).items():
        if place := search.options.get(name):
            _put(entry, place, value)
        else:
            dropped.append(f"tools[{kind}].{name}")
    return search.model_copy(update={"tool": entry})


def _options(tool: Json) -> Json:
    """What is set, by dotted name."""
    given = {k: v for k, v in tool.items() if k not in ("type", "external_web_access", "filters")}
    filters = tool.get("filters")
    if isinstance(filters, dict):
        given |= {f"filters.{name}": value for name, value in filters.items()}
    return {name: value for name, value in sorted(given.items()) if value}


def _put(entry: Json, place: str, value: Any) -> None:
    *outer, field = place.split(".")
    for part in outer:
        entry = entry.setdefault(part, {})
    entry[field] = value
