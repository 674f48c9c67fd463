"""A request's tools as a list of names."""

from collections.abc import Iterator
from typing import Any

SEARCH = "web_search_options"  # Chat's models that search have no tool for it


def flat(tools: Any, within: str = "") -> Iterator[str]:
    """The name of each tool, `namespace.name` where it has one; hosted ones by their type."""
    for tool in tools if isinstance(tools, list) else []:
        if not isinstance(tool, dict):
            continue
        kind = str(tool.get("type", "function"))
        inner = tool[kind] if isinstance(tool.get(kind), dict) else tool  # Chat's form: a box in it
        name = str(inner.get("name") or kind)
        if isinstance(tool.get("tools"), list):
            yield from flat(tool["tools"], f"{within}{name}.")
        else:
            yield f"{within}{name}" + (f" ({kind})" if kind not in ("function", name) else "")


def offered(request: dict[str, Any]) -> Iterator[str]:
    """The names of the tools that stand beside a conversation, of both times of Chat."""
    for field in ("tools", "functions"):
        yield from flat(request.get(field))
    if request.get(SEARCH) is not None:
        yield "web_search"


def names(tools: Any) -> str:
    """`3 tools: exec_command, apply_patch (custom), collaboration.wait_agent`"""
    return listed(list(flat(tools)))


def listed(found: list[str]) -> str:
    return (
        f"{len(found)} tool{'s' * (len(found) != 1)}: {', '.join(found)}" if found else "no tools"
    )
