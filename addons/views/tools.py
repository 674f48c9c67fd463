"""A request's tools as a list of names."""

from collections.abc import Iterator
from typing import Any


def flat(tools: Any, within: str = "") -> Iterator[str]:
    """The name of each tool, `namespace.name` where it has one; hosted ones by their type."""
    for tool in tools if isinstance(tools, list) else []:
        if not isinstance(tool, dict):
            continue
        function = tool.get("function")
        inner = function if isinstance(function, dict) else tool
        name = str(inner.get("name") or inner.get("type"))
        if isinstance(tool.get("tools"), list):
            yield from flat(tool["tools"], f"{within}{name}.")
        else:
            kind = tool.get("type", "function")
            yield f"{within}{name}" + (f" ({kind})" if kind not in ("function", name) else "")


def names(tools: Any) -> str:
    """`3 tools: exec_command, apply_patch (custom), collaboration.wait_agent`"""
    found = list(flat(tools))
    return (
        f"{len(found)} tool{'s' * (len(found) != 1)}: {', '.join(found)}" if found else "no tools"
    )
