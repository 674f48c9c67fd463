"""`web_search`, which OpenAI runs on its servers, as the provider's own search.

Source: https://developers.openai.com/api/docs/guides/tools-web-search.
"""

import re
from copy import deepcopy
from typing import Any

from translate.providers.profile import SearchTool

Json = dict[str, Any]

WEB_SEARCH_TYPES = re.compile(r"web_search(_preview)?(_\d{4}_\d\d_\d\d)?")


def is_web_search(tool: Json) -> bool:
    return bool(WEB_SEARCH_TYPES.fullmatch(str(tool.get("type"))))


def search_to_chat(tool: Json, search: SearchTool | None) -> tuple[SearchTool | None, list[str]]:
    """The provider's search with this tool's options, and what was dropped.

    `external_web_access: false` asks for OpenAI's own cache, which no other provider has.
    """
    tool_type = tool.get("type") or "without a type"
    if search is None or not is_web_search(tool) or tool.get("external_web_access") is False:
        return None, [f"tools[{tool_type}]"]
    dropped = []
    entry = deepcopy(search.tool)
    for name, value in _search_options(tool).items():
        if path := search.options.get(name):
            _set_path(entry, path, value)
        else:
            dropped.append(f"tools[{tool_type}].{name}")
    return search.model_copy(update={"tool": entry}), dropped


def _search_options(tool: Json) -> Json:
    """The options that are set, by dotted name."""
    others = ("type", "external_web_access", "filters")
    options = {name: value for name, value in tool.items() if name not in others}
    filters = tool.get("filters")
    if isinstance(filters, dict):
        options |= {f"filters.{name}": value for name, value in filters.items()}
    return {name: value for name, value in sorted(options.items()) if value}


def _set_path(entry: Json, path: str, value: Any) -> None:
    *outer_names, name = path.split(".")
    for outer_name in outer_names:
        entry = entry.setdefault(outer_name, {})
    entry[name] = value
