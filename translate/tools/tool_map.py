"""The ToolMap of one exchange: tools, calls and choices, both ways.

A call is restored by its function's name, which is looked up here and never parsed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2s
from typing import Any

from translate.providers.profile import PLAIN, Provider
from translate.providers.taken import Search, Subset
from translate.tools import web_search as search
from translate.tools.freeform_input import is_patch_tool, mended
from translate.tools.kinds import BY_CALL, BY_TOOL, FUNCTION, NAMED, Item, Json, Kind, Tool
from translate.tools.schema import closable, normalised
from translate.tools.schema_restore import restored
from translate.wire import codec
from translate.wire.errors import BadRequest
from translate.wire.requests import TOOL, check

NAME_LIMIT = 64  # https://platform.openai.com/docs/api-reference/chat/create: tools.function.name


@dataclass(frozen=True)
class Entry:
    """Where a chat function's name leads back to."""

    kind: Kind
    name: str
    namespace: str = ""


class ToolMap:
    """Built once from a request; serves declaration, history, tool_choice and reply."""

    def __init__(self, dropped: list[str], provider: Provider = PLAIN) -> None:
        self.declared: list[Json] = []  # what goes into Chat's `tools`
        self.search: Search | None = None  # the provider's own, where it was asked for
        self.manuals: list[str] = []  # descriptions that are longer than the provider takes
        self.native: list[Json] = []  # what a responses upstream takes as it is
        self._provider = provider
        self._originals: dict[Entry, Json] = {}  # schemas that were not declared as they came
        self._patches: set[Entry] = set()  # whose input must be a patch
        self.dropped = dropped
        self.ids: set[str] = set()  # call ids in use, so that a reply brings new ones
        self._entries: dict[str, Entry] = {}  # chat name → entry
        self._names: dict[Entry, str] = {}
        self._loose: dict[str, str | None] = {}  # letters and digits only → chat name, if unique
        self._bare: dict[str, str | None] = {}  # the same, without the namespace

    def declare(self, tools: list[Tool], place: str = "tools") -> None:
        """Add tools in order. A tool declared again, as searches do, is taken once."""
        for here, tool, namespace in _each(tools, place, self._provider):
            kind = BY_TOOL.get(str(tool.get("type")))
            if off := self._off(tool, namespace):
                self.dropped.append(f"tools[{off}] (switched off)")
            elif not namespace and self._provider.native(str(tool.get("type"))):
                kept = self.offered(tool)
                self.native += [kept] if kept not in self.native else []
            elif kind is None:
                own = self._provider.web_search if self._provider.dialect == "chat" else None
                found = search.to_chat(tool, own, self.dropped)
                self.search = found or self.search
            elif kind.tool_type in NAMED and not tool.get("name"):
                raise BadRequest(f"{here}.name: is missing", param=f"{here}.name")
            else:
                self._declare(_entry(kind, tool, namespace), tool)

    def _off(self, tool: Tool, namespace: str) -> str | None:
        """The name of a tool that the user wants no model to have."""
        name = str(tool.get("name") or tool.get("type"))
        whole = f"{namespace}.{name}" if namespace else name
        off = self._provider.tools_off
        return whole if any(fnmatchcase(x, y) for x in (name, whole) for y in off) else None

    def is_off(self, tool: Tool) -> bool:
        return self._off(tool, "") is not None

    def offered(self, tool: Tool) -> Tool:
        """A namespace that passes as it is, without the tools that are switched off."""
        inner, name = tool.get("tools"), str(tool.get("name") or "")
        if not isinstance(inner, list) or not self._provider.tools_off:
            return tool
        return {**tool, "tools": [one for one in inner if not self._off(one, name)]}

    def _declare(self, entry: Entry, tool: Tool) -> None:
        if entry in self._names:
            return
        schema, strict = entry.kind.parameters(tool), self._strict(tool)
        parameters = normalised(schema, strict or self._provider.subset)
        if parameters != schema and entry.kind.live != "input":
            self._originals[entry] = schema
        if is_patch_tool(tool):
            self._patches.add(entry)
        function: Json = {
            "name": self.name(entry),
            "description": self._described(self.name(entry), entry.kind.description(tool)),
            "parameters": parameters,
        }
        if strict:
            function["strict"] = True
        self.declared.append({"type": "function", "function": function})

    def _described(self, name: str, text: str) -> str:
        """The description, or its beginning where the whole is for the leading instructions."""
        limit = self._provider.description_limit
        if not 0 < limit < len(text):
            return text
        self.manuals.append(f"# The tool {name}\n\n{text}")
        rest = f" … (whole in the instructions, under \u201cThe tool {name}\u201d)"
        return text[: max(0, limit - len(rest))] + rest[-limit:]

    def _strict(self, tool: Tool) -> Subset | None:
        """What a strict tool's schema may hold; None where it cannot be strict."""
        if not tool.get("strict"):
            return None
        subset = self._provider.strict
        if subset and (not subset.closed or closable(tool.get("parameters") or {})):
            return subset
        self.dropped.append(f"tools[{tool.get('name')}].strict")
        return None

    def to_chat_tools(self) -> Json:
        """The fields for all of these. Raises BadRequest for more tools than are taken."""
        found = self.search
        tools = self.declared + ([found.tool] if found and found.tool else [])
        self.limited(tools)
        return ({"tools": tools} if tools else {}) | (found.fields if found else {})

    def limited(self, tools: list[Json]) -> None:
        """Raises BadRequest for more tools than are taken."""
        most = self._provider.tools_limit
        if 0 < most < len(tools):
            title = self._provider.title
            raise BadRequest(f"tools: {len(tools)}, and {title} takes {most}", param="tools")

    def as_written(self, entry: Entry) -> bool:
        """Whether arguments pass as the model writes them, so that they may stream."""
        return entry not in self._originals and entry not in self._patches

    def payload(self, entry: Entry, arguments: str) -> Item:
        """A call's own fields, from its whole arguments."""
        made = entry.kind.payload(self._arguments(entry, arguments))
        return {"input": mended(made["input"])} if entry in self._patches else made

    def _arguments(self, entry: Entry, arguments: str) -> str:
        """Valid again under the schema that the client gave."""
        schema = self._originals.get(entry)
        if schema is None or not codec.is_object(arguments):
            return arguments
        given = codec.loads(arguments)
        made = restored(given, schema)
        return arguments if made == given else codec.text(made)

    def name(self, entry: Entry) -> str:
        """The entry's chat name: legal, at most 64 characters, its own."""
        if known := self._names.get(entry):
            return known
        whole = f"{entry.namespace}__{entry.name}" if entry.namespace else entry.name
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", whole)
        if len(name) > NAME_LIMIT or name in self._entries:
            identity = f"{entry.kind.tool_type}\0{entry.namespace}\0{entry.name}"
            tail = blake2s(identity.encode("utf-8", "replace"), digest_size=4).hexdigest()
            name = f"{name[: NAME_LIMIT - 9]}_{tail}"
        self._names[entry] = name
        self._entries[name] = entry
        for table, key in ((self._loose, _loosely(name)), (self._bare, _loosely(entry.name))):
            table[key] = None if key in table or not key else name
        return name

    def names(self, tools: list[Tool]) -> list[str]:
        """The chat names of tools that are declared."""
        return [
            self.name(_entry(kind, tool, namespace))
            for _, tool, namespace in _each(tools, "tools", self._provider)
            if (kind := BY_TOOL.get(str(tool.get("type"))))
        ]

    def to_chat(self, item: Item) -> Json:
        """A call item of the history as a Chat tool call."""
        kind = BY_CALL[item["type"]]
        name = str(item.get("name") or "") if kind.tool_type in NAMED else kind.tool_type
        entry = Entry(kind, name or "unknown", str(item.get("namespace") or ""))
        function = {"name": self.name(entry), "arguments": kind.arguments(item)}
        self.ids.add(call_id(item))
        return {"id": call_id(item), "type": "function", "function": function}

    def find(self, name: str) -> Entry:
        """The entry that a model means, with any joiner, `functions.` prefix, case, or no scope."""
        if found := self._entries.get(name):
            return found
        key, bare = _loosely(name), _loosely(name.removeprefix("functions."))
        near = self._loose.get(key) or self._loose.get(bare) or self._bare.get(bare)
        return self._entries[near] if near else Entry(FUNCTION, name)

    def knows(self, name: str) -> bool:
        """Whether a call of this name is one of a tool that is declared."""
        declared = {tool["function"]["name"] for tool in self.declared}
        return self._names.get(self.find(name)) in declared

    def to_responses(self, call: Mapping[str, Any]) -> Item:
        """A whole Chat tool call as the Responses call item (without id and status)."""
        function = call["function"]
        entry = self.find(function["name"])
        return skeleton(entry, call["id"]) | self.payload(entry, function["arguments"])

    def choice(self, choice: str | Json) -> str | Json:
        """Chat's tool_choice as the provider takes it; `auto` where nothing is to be said."""
        if choice == "none":
            self.search = None
        said = self._said(choice) if self.declared or self.native else "auto"
        form, taken = said if isinstance(said, str) else "function", self._provider.tool_choices
        if form == "auto" or form in taken:
            return said
        if form == "none":
            self.declared.clear()
            return "auto"
        if not isinstance(said, str) and "required" in taken:
            name = said["function"]["name"]
            self.declared[:] = [t for t in self.declared if t["function"]["name"] == name]
            return "required"
        self.dropped.append(f"tool_choice[{form}]")
        return "auto"

    def _said(self, choice: str | Json) -> str | Json:
        if isinstance(choice, str):
            return choice
        check(choice, TOOL, "tool_choice")
        if choice.get("type") == "allowed_tools":
            return self._allowed(choice)
        if name := self._chosen(choice):
            return {"type": "function", "function": {"name": name}}
        self.dropped.append(f"tool_choice[{choice.get('type')}]")
        return "auto"

    def _allowed(self, choice: Json) -> str:
        names = {self._chosen(tool) for tool in choice.get("tools") or []}
        self.declared[:] = [t for t in self.declared if t["function"]["name"] in names]
        if not any(map(search.is_search, choice.get("tools") or [])):
            self.search = None
        return "required" if choice.get("mode") == "required" and self.declared else "auto"

    def _chosen(self, choice: Json) -> str | None:
        check(choice, TOOL, "tool_choice")
        kind = BY_TOOL.get(str(choice.get("type")))
        if kind is None:
            return None
        return self._names.get(_entry(kind, choice, str(choice.get("namespace") or "")))


def _each(
    tools: list[Tool], place: str, provider: Provider, namespace: str = ""
) -> Iterator[tuple[str, Tool, str]]:
    """(place, tool, namespace) of every tool, in order. Raises BadRequest for what is none."""
    for number, tool in enumerate(tools):
        here = f"{place}[{number}]"
        check(tool, TOOL, here)
        if tool.get("type") == "namespace" and not provider.native("namespace"):
            inner, name = tool.get("tools") or [], tool.get("name") or ""
            yield from _each(inner, f"{here}.tools", provider, name)
        else:
            yield here, tool, namespace


def _entry(kind: Kind, tool: Tool, namespace: str) -> Entry:
    return Entry(kind, str(tool.get("name") or kind.tool_type), namespace)


def _loosely(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def call_id(item: Item) -> str:
    """The id that joins a call and its output; local shells use the item's own."""
    return str(item.get("call_id") or item.get("id") or "")


def skeleton(entry: Entry, call: str) -> Item:
    """A call item before its payload."""
    item: Item = {"type": entry.kind.call_type, "call_id": call}
    if entry.kind.tool_type in NAMED:
        item["name"] = entry.name
    if entry.namespace:
        item["namespace"] = entry.namespace
    return item
