"""How large a request may be: checked before anything in it is validated or converted."""

from typing import Any

from translate.wire.errors import RequestTooLarge
from translate.wire.limits import Limits

Json = dict[str, Any]


TOOL_LISTS = ("tools", "functions")


def check_request_size(body: Json, stored_count: int, limits: Limits) -> None:
    """Raises RequestTooLarge for more items, messages or tools than the relay takes.

    `stored_count`: how many items stored responses add to the input.
    """
    for name, added_count in (("input", stored_count), ("messages", 0), ("instructions", 0)):
        count = len(_list_at(body, name)) + added_count
        _check_count(name, count, limits.item_count, "relay_max_items")
    for name in TOOL_LISTS:
        _check_count(name, _count_tools(body, name), limits.tool_count, "relay_max_tools")
    for position, item in enumerate(_list_at(body, "input")):
        path = f"input[{position}].tools"
        _check_count(path, _count_tools(item, "tools"), limits.tool_count, "relay_max_tools")


def _check_count(path: str, count: int, limit: int, option: str) -> None:
    if count > limit:
        message = f"{path}: has {count:,} elements, and the relay takes {limit:,} ({option})"
        raise RequestTooLarge(message, param=path)


def _list_at(value: Any, name: str) -> list[Any]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, list) else []


def _count_tools(value: Any, name: str) -> int:
    """The tools in a list, those inside namespaces included."""
    count, pending = 0, [_list_at(value, name)]
    while pending:
        tools = pending.pop()
        count += len(tools)
        pending += [inner for tool in tools if (inner := _list_at(tool, "tools"))]
    return count
