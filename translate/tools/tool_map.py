"""The ToolMap of one exchange: tools, calls and choices, both ways.

The name of the function that a model calls is looked up, never parsed.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import blake2s

from translate.providers.profile import PLAIN_PROVIDER, Provider, SchemaSubset, SearchTool
from translate.tools.freeform_input import is_patch_tool, mend_patch
from translate.tools.kinds import (
    FUNCTION,
    KIND_BY_CALL_TYPE,
    KIND_BY_TOOL_TYPE,
    NAMED_TOOL_TYPES,
    Item,
    Json,
    Kind,
    Tool,
)
from translate.tools.schema import is_closable, rewrite_schema
from translate.tools.schema_restore import restore_arguments
from translate.tools.web_search import is_web_search, search_to_chat
from translate.wire import codec
from translate.wire.errors import BadRequest
from translate.wire.requests import TOOL_FIELDS, check_fields

NAME_LIMIT = 64  # https://platform.openai.com/docs/api-reference/chat/create: tools.function.name


@dataclass(frozen=True)
class ToolEntry:
    """The client's tool behind the name of a Chat function."""

    kind: Kind
    name: str
    namespace: str = ""


class ToolMap:
    """Built once from a request; used for declarations, history, tool_choice and the reply."""

    def __init__(self, provider: Provider = PLAIN_PROVIDER) -> None:
        self.functions: list[Json] = []  # for Chat's `tools`
        self.provider_search: SearchTool | None = None  # the provider's own search, if requested
        self.native_tools: list[Json] = []  # those that a Responses upstream accepts unchanged
        self.long_descriptions: list[str] = []  # those that are too long for the provider
        self.call_ids: set[str] = set()  # used in the history; a reply needs different ones
        self._provider = provider
        self._original_schemas: dict[ToolEntry, Json] = {}  # of tools declared with another schema
        self._native_keys: set[bytes] = set()  # the JSON of each native tool
        self._patch_tools: set[ToolEntry] = set()  # tools whose input is a patch
        self._entry_by_name: dict[str, ToolEntry] = {}  # by Chat name
        self._name_by_entry: dict[ToolEntry, str] = {}
        # Keyed by the letters and digits of a name; None: several names have the same.
        self._name_by_loose_key: dict[str, str | None] = {}
        self._name_by_bare_key: dict[str, str | None] = {}  # the same without the namespace

    def declare_tools(self, tools: list[Tool], path: str = "tools") -> list[str]:
        """Add the tools at `path` of the request in order, each once; returns what was dropped.

        Raises BadRequest for a malformed tool.
        """
        dropped: list[str] = []
        for tool_path, tool, namespace in _walk_tools(tools, path, self._provider):
            kind = KIND_BY_TOOL_TYPE.get(str(tool.get("type")))
            if switched_off := self._switched_off_name(tool, namespace):
                dropped.append(f"tools[{switched_off}] (switched off)")
            elif not namespace and self._provider.passes_through(str(tool.get("type"))):
                self._declare_native_tool(tool)
            elif kind is None:
                dropped += self._declare_search(tool)
            elif kind.tool_type in NAMED_TOOL_TYPES and not tool.get("name"):
                raise BadRequest(f"{tool_path}.name: is missing", param=f"{tool_path}.name")
            else:
                dropped += self._declare_function(
                    _tool_entry(kind, tool, namespace), tool, tool_path
                )
        return dropped

    def _switched_off_name(self, tool: Tool, namespace: str) -> str | None:
        """The tool's full name, if the user has switched it off."""
        name = _tool_name(tool)
        full_name = f"{namespace}.{name}" if namespace else name
        for pattern in self._provider.tools_off:
            if fnmatchcase(name, pattern) or fnmatchcase(full_name, pattern):
                return full_name
        return None

    def is_switched_off(self, tool: Tool) -> bool:
        return self._switched_off_name(tool, "") is not None

    def without_switched_off(self, tool: Tool) -> Tool:
        """The tool; a namespace without those of its tools that the user has switched off."""
        inner_tools, name = tool.get("tools"), str(tool.get("name") or "")
        if not isinstance(inner_tools, list) or not self._provider.tools_off:
            return tool
        return {
            **tool,
            "tools": [
                inner_tool
                for inner_tool in inner_tools
                if not self._switched_off_name(inner_tool, name)
            ],
        }

    def _declare_native_tool(self, tool: Tool) -> None:
        offered_tool = self.without_switched_off(tool)
        if (key := codec.dump_json(offered_tool)) not in self._native_keys:
            self._native_keys.add(key)
            self.native_tools.append(offered_tool)

    def _declare_search(self, tool: Tool) -> list[str]:
        """Request the provider's own search in place of a hosted tool; returns what was dropped."""
        search_profile = self._provider.web_search if self._provider.dialect == "chat" else None
        search, dropped = search_to_chat(tool, search_profile)
        self.provider_search = search or self.provider_search
        return dropped

    def _declare_function(self, entry: ToolEntry, tool: Tool, path: str) -> list[str]:
        if entry in self._name_by_entry:
            return []
        schema, strict = entry.kind.parameter_schema(tool), self._strict_subset(tool)
        subset = strict or self._provider.subset
        parameters = rewrite_schema(schema, subset, f"{path}.parameters")
        if parameters != schema and entry.kind.streamed_field != "input":
            self._original_schemas[entry] = schema
        if is_patch_tool(tool):
            self._patch_tools.add(entry)
        name = self.chat_name(entry)
        function: Json = {
            "name": name,
            "description": self._shorten_description(name, entry.kind.describe_tool(tool)),
            "parameters": parameters,
        }
        if strict:
            function["strict"] = True
        self.functions.append({"type": "function", "function": function})
        return [f"tools[{tool.get('name')}].strict"] if tool.get("strict") and not strict else []

    def _shorten_description(self, name: str, text: str) -> str:
        """Cut a description that is too long, and keep all of it for the instructions."""
        limit = self._provider.description_limit
        if not 0 < limit < len(text):
            return text
        self.long_descriptions.append(f"# The tool {name}\n\n{text}")
        rest = f" … (whole in the instructions, under \u201cThe tool {name}\u201d)"
        return text[: max(0, limit - len(rest))] + rest[-limit:]

    def _strict_subset(self, tool: Tool) -> SchemaSubset | None:
        """The schema subset for a strict tool; None if the tool is not or cannot be strict."""
        if not tool.get("strict"):
            return None
        subset = self._provider.strict
        if subset and (not subset.closed or is_closable(tool.get("parameters") or {})):
            return subset
        return None

    def chat_tool_fields(self) -> Json:
        """The request's Chat fields for all tools. Raises BadRequest if there are too many."""
        search = self.provider_search
        tools = self.functions + ([search.tool] if search and search.tool else [])
        self.check_tools_limit(tools)
        return ({"tools": tools} if tools else {}) | (search.fields if search else {})

    def check_tools_limit(self, tools: list[Json]) -> None:
        """Raises BadRequest for more tools than the provider accepts."""
        limit = self._provider.tools_limit
        if 0 < limit < len(tools):
            title = self._provider.title
            raise BadRequest(f"tools: {len(tools)}, and {title} takes {limit}", param="tools")

    def passes_as_written(self, entry: ToolEntry) -> bool:
        """Whether the arguments pass exactly as the model writes them, and so may stream."""
        return entry not in self._original_schemas and entry not in self._patch_tools

    def call_fields(self, entry: ToolEntry, arguments: str) -> Item:
        """The call item's own fields, from the complete arguments."""
        fields = entry.kind.arguments_to_call(self._restore_arguments(entry, arguments))
        return {"input": mend_patch(fields["input"])} if entry in self._patch_tools else fields

    def _restore_arguments(self, entry: ToolEntry, arguments: str) -> str:
        """The arguments, valid again under the schema that the client sent."""
        schema = self._original_schemas.get(entry)
        if schema is None or not codec.is_json_object(arguments):
            return arguments
        parsed = codec.load_json(arguments)
        restored = restore_arguments(parsed, schema)
        return arguments if restored == parsed else codec.json_text(restored)

    def chat_name(self, entry: ToolEntry) -> str:
        """The entry's name in Chat: legal, unique, at most NAME_LIMIT characters."""
        if existing_name := self._name_by_entry.get(entry):
            return existing_name
        full_name = f"{entry.namespace}__{entry.name}" if entry.namespace else entry.name
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", full_name)
        if len(name) > NAME_LIMIT or name in self._entry_by_name:
            identity = f"{entry.kind.tool_type}\0{entry.namespace}\0{entry.name}"
            tail = blake2s(identity.encode("utf-8", "replace"), digest_size=4).hexdigest()
            name = f"{name[: NAME_LIMIT - 9]}_{tail}"
        self._name_by_entry[entry] = name
        self._entry_by_name[name] = entry
        for table, key in (
            (self._name_by_loose_key, _loose_key(name)),
            (self._name_by_bare_key, _loose_key(entry.name)),
        ):
            table[key] = None if key in table or not key else name
        return name

    def chat_names(self, tools: list[Tool]) -> list[str]:
        return [
            self.chat_name(_tool_entry(kind, tool, namespace))
            for _, tool, namespace in _walk_tools(tools, "tools", self._provider)
            if (kind := KIND_BY_TOOL_TYPE.get(str(tool.get("type"))))
        ]

    def call_to_chat(self, item: Item) -> Json:
        """A call item of the history as a Chat tool call."""
        kind = KIND_BY_CALL_TYPE[item["type"]]
        name = str(item.get("name") or "") if kind.tool_type in NAMED_TOOL_TYPES else kind.tool_type
        entry = ToolEntry(kind, name or "unknown", str(item.get("namespace") or ""))
        function = {"name": self.chat_name(entry), "arguments": kind.call_to_arguments(item)}
        self.call_ids.add(call_id_of(item))
        return {"id": call_id_of(item), "type": "function", "function": function}

    def find_entry(self, name: str) -> ToolEntry:
        """The entry that a model means by `name`; a new function if it means none.

        Models change separators and case, add `functions.`, or leave out the namespace.
        """
        if entry := self._entry_by_name.get(name):
            return entry
        key, unprefixed_key = _loose_key(name), _loose_key(name.removeprefix("functions."))
        similar_name = (
            self._name_by_loose_key.get(key)
            or self._name_by_loose_key.get(unprefixed_key)
            or self._name_by_bare_key.get(unprefixed_key)
        )
        return self._entry_by_name[similar_name] if similar_name else ToolEntry(FUNCTION, name)

    def is_declared_name(self, name: str) -> bool:
        """Whether a call of this name means a declared tool."""
        return self._name_by_entry.get(self.find_entry(name)) in self._declared_names

    @cached_property
    def _declared_names(self) -> frozenset[str]:
        """The names of `functions`, which are complete before the reply."""
        return frozenset(tool["function"]["name"] for tool in self.functions)

    def choice_to_chat(self, choice: str | Json) -> tuple[str | Json, str]:
        """Chat's tool_choice in a form that the provider accepts, and what was dropped or "".

        Removes the tools that may not be called, where the provider accepts no form that says so.
        "auto" means that the field can be left out.
        """
        if choice == "none":
            self.provider_search = None
        if not self.functions and not self.native_tools:
            return "auto", ""
        chat_choice, loss = self._translate_choice(choice)
        form = chat_choice if isinstance(chat_choice, str) else "function"
        accepted_forms = self._provider.tool_choices
        if form == "auto" or form in accepted_forms:
            return chat_choice, loss
        if form == "none":
            self.functions.clear()
            return "auto", ""
        if not isinstance(chat_choice, str) and "required" in accepted_forms:
            self._keep_functions({chat_choice["function"]["name"]})
            return "required", ""
        return "auto", f"tool_choice[{form}]"

    def _keep_functions(self, names: Collection[str | None]) -> None:
        self.functions[:] = [tool for tool in self.functions if tool["function"]["name"] in names]

    def _translate_choice(self, choice: str | Json) -> tuple[str | Json, str]:
        if isinstance(choice, str):
            return choice, ""
        check_fields(choice, TOOL_FIELDS, "tool_choice")
        if choice.get("type") == "allowed_tools":
            return self._apply_allowed_tools(choice), ""
        if name := self._chosen_name(choice):
            return {"type": "function", "function": {"name": name}}, ""
        return "auto", f"tool_choice[{choice.get('type')}]"

    def _apply_allowed_tools(self, choice: Json) -> str:
        self._keep_functions({self._chosen_name(tool) for tool in choice.get("tools") or []})
        if not any(map(is_web_search, choice.get("tools") or [])):
            self.provider_search = None
        return "required" if choice.get("mode") == "required" and self.functions else "auto"

    def _chosen_name(self, choice: Json) -> str | None:
        """The Chat name of the declared tool that a choice names."""
        check_fields(choice, TOOL_FIELDS, "tool_choice")
        kind = KIND_BY_TOOL_TYPE.get(str(choice.get("type")))
        if kind is None:
            return None
        entry = _tool_entry(kind, choice, str(choice.get("namespace") or ""))
        return self._name_by_entry.get(entry)


def _walk_tools(
    tools: list[Tool], path: str, provider: Provider, namespace: str = ""
) -> Iterator[tuple[str, Tool, str]]:
    """(path, tool, namespace) of every tool, in order. Raises BadRequest for a malformed tool."""
    for index, tool in enumerate(tools):
        tool_path = f"{path}[{index}]"
        check_fields(tool, TOOL_FIELDS, tool_path)
        if tool.get("type") == "namespace" and not provider.passes_through("namespace"):
            inner_tools, name = tool.get("tools") or [], tool.get("name") or ""
            yield from _walk_tools(inner_tools, f"{tool_path}.tools", provider, name)
        else:
            yield tool_path, tool, namespace


def _tool_entry(kind: Kind, tool: Tool, namespace: str) -> ToolEntry:
    return ToolEntry(kind, str(tool.get("name") or kind.tool_type), namespace)


def _tool_name(tool: Tool) -> str:
    """The name of a tool; a hosted one has none but its type."""
    return str(tool.get("name") or tool.get("type") or "without a type")


def _loose_key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def call_id_of(item: Item) -> str:
    """The id that joins a call and its output; a local shell call may have the item's id only."""
    return str(item.get("call_id") or item.get("id") or "")


def call_skeleton(entry: ToolEntry, call_id: str) -> Item:
    """A call item without the fields that its kind adds."""
    item: Item = {"type": entry.kind.call_type, "call_id": call_id}
    if entry.kind.tool_type in NAMED_TOOL_TYPES:
        item["name"] = entry.name
    if entry.namespace:
        item["namespace"] = entry.namespace
    return item
