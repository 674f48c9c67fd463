"""The profile of a provider, as data: one table for each provider in providers.toml."""

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Dialect = Literal["chat", "responses"]
ToolChoiceForm = Literal["none", "required", "function"]
ResponseFormat = Literal["json_object", "json_schema"]

COMMON_PARAMETERS = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "max_output_tokens",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning.effort",
        "seed",
        "stop",
        "temperature",
        "text.format",
        "tool_choice",
        "top_p",
    }
)
HOST_PORT = re.compile(r":\d+$")


class FrozenTable(BaseModel):
    """A table of a providers file, in which an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SchemaSubset(FrozenTable):
    """The part of JSON Schema that a provider accepts. Default: all of it, unchanged."""

    keywords: frozenset[str] | None = Field(
        None,
        description="The accepted keywords. Others are expressed with these where possible "
        "(`$ref`, `const`, `oneOf`, `allOf`, tuples), otherwise left out.",
    )
    one_type: bool = Field(
        False,
        description="Each schema has exactly one type: no list of types, no type beside `anyOf`; "
        "the root is an object.",
    )
    nullable: bool = Field(
        False, description="Null is allowed by the keyword `nullable`, not by a type."
    )
    string_enums: bool = Field(False, description="Only strings may be enumerated.")
    closed: bool = Field(
        False,
        description="Objects list all their properties and require each of them; optional ones "
        "may be null instead.",
    )


FULL_SCHEMA = SchemaSubset.model_validate({})


class SearchTool(FrozenTable):
    """How a request declares a provider's own web search."""

    tool: dict[str, JsonValue] = Field({}, description="An entry of `tools`.")
    fields: dict[str, JsonValue] = Field({}, description="Fields of the request.")
    options: dict[str, str] = Field(
        {},
        description="Options of `web_search` → where they go in the entry; a dot leads into an "
        "object. Other options are dropped and reported.",
    )


class Provider(FrozenTable):
    """A provider's profile. The defaults describe a plain server of its dialect."""

    name: str
    title: str = Field(description="Its name in errors and on pages.")
    dialect: Dialect = "chat"

    # location and credentials
    base_urls: tuple[str, ...] = Field(
        (),
        description="Its URLs, the usual one first. A configured URL with the host of one of these "
        "(on this machine: host and port) is this provider's.",
    )
    host: str = Field(
        "",
        description="The host, with its port, of an upstream without a table, or the id of an "
        "account; the relay sets it.",
    )
    hosts: tuple[str, ...] = Field((), description="More hosts; `*` stands for any text.")
    key_env: tuple[str, ...] = Field(
        (),
        description="Environment variables that may hold its key, for a relay without "
        "`relay_api_key`; the first that is set counts. The key goes to its own hosts only.",
    )
    keys_page: str = Field("", description="The page where its users get a key, for people.")
    port: int | None = Field(
        None, ge=1, le=65_535, description="The port on which `relay_ports` serves it."
    )
    model: str = Field(
        "", description="The model that replaces a requested one that it does not list."
    )
    known_models: tuple[str, ...] = Field(
        (), description="Its models, the usual one first, for when its own list is unavailable."
    )
    aliases: dict[str, str] = Field(
        {}, description="Names that always mean one of its newest models → that model."
    )
    key_header: Literal["authorization", "api-key"] = Field(
        "authorization",
        description="The header for the key; in `authorization` it is a Bearer token.",
    )
    accounts: bool = Field(
        False, description="Whether its credentials are the login of an account, not a key."
    )
    headers: dict[str, str] = Field({}, description="Headers of every request.")
    list_version: bool = Field(
        False, description="Whether its list of models requires Codex's `client_version`."
    )

    session_header: str = Field(
        "",
        description="The header for the conversation's key, which is also sent as "
        "`prompt_cache_key` if the client sends none.",
    )
    client_headers: frozenset[str] = Field(
        frozenset(),
        description="Headers from a Codex client that are passed on, as they are meant for this "
        "provider.",
    )
    reply_headers: frozenset[str] = Field(
        frozenset(), description="Headers of its replies that are passed on to a Codex client."
    )

    # messages
    instructions: str = Field(
        "",
        description="Instructions to send if the client sends none, for a responses upstream that "
        "requires some.",
    )
    system_role: Literal["system", "developer"] = Field(
        "system", description="Role of the first message, which holds all leading instructions."
    )
    late_system_role: Literal["system", "developer", "user"] = Field(
        "user",
        description="Role of later instructions, which stay where they are. As user messages they "
        "are marked; chat templates of local servers refuse a later system message "
        "(vllm-project/vllm#42407).",
    )
    images: bool = Field(True, description="Whether messages may hold images.")
    output_images: bool = Field(
        True,
        description="Whether images in the outputs of tools are sent in a user message behind "
        "them, as tool messages hold text only; otherwise a text names their type and size.",
    )
    image_side: int = Field(
        2048,
        ge=0,
        description="Pixels of an image's longer side; larger images are scaled down. 0: no limit. "
        "Models scale images to 2,048 themselves "
        "(https://developers.openai.com/api/docs/guides/images-vision).",
    )
    image_bytes: int = Field(
        5_000_000,
        ge=0,
        description="Bytes of an image in base64; larger images are scaled down. 0: no limit.",
    )
    image_types: frozenset[str] = Field(
        frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"}),
        description="Accepted media types; other images become PNG or JPEG.",
    )
    reasoning_back: Literal["echo", "reasoning_content", "reasoning", "think", "parts", "never"] = (
        Field(
            "echo",
            description="How earlier thinking goes back: in the fields in which this provider sent "
            "it, always in the named field (blank for a message without thinking), in `<think>` "
            "tags, in parts of the content, or never.",
        )
    )

    foreign_seals: bool = Field(
        True,
        description="Whether content that OpenAI itself sealed is sent, where the whole dialect "
        "passes unchanged.",
    )

    # parameters
    takes: frozenset[str] = Field(
        frozenset(), description="Responses parameters that it accepts beside the common ones."
    )
    refuses: frozenset[str] = Field(
        frozenset(),
        description="Common parameters that it does not accept; they are dropped and reported.",
    )
    max_tokens: str = Field(
        "max_tokens", min_length=1, description="The field for `max_output_tokens`."
    )
    efforts: dict[str, str | dict[str, JsonValue]] = Field(
        {},
        description="Codex's reasoning effort (`*`: any other) → the provider's word for it, or "
        "the fields to send instead; with an empty table it is dropped. Efforts that are not "
        "listed pass unchanged.",
    )
    cache_key: str = Field(
        "prompt_cache_key",
        description="The field for `prompt_cache_key`, where that is accepted; `header:` and a "
        "name for a header.",
    )
    effort_field: str = Field(
        "reasoning_effort",
        description="The field for the provider's effort; a dot leads into an object.",
    )
    formats: frozenset[ResponseFormat] = Field(
        frozenset({"json_object", "json_schema"}),
        description="Accepted forms of `response_format`. Without `json_schema` the schema goes "
        "into the instructions.",
    )
    formatted: dict[str, JsonValue] = Field(
        {},
        description="Fields to send with a `response_format` in place of the effort, for providers "
        "that do not combine it with thinking.",
    )
    stream_options: bool = Field(
        True,
        description="Whether a stream's usage must be requested; otherwise it is always sent.",
    )
    extra: dict[str, JsonValue] = Field({}, description="Fields of every request.")
    omits: frozenset[str] = Field(
        frozenset(),
        description="Fields that are never sent, wherever they come from: dropped and reported. "
        "A dot leads into objects and into each element of a list.",
    )

    # tools
    tool_types: frozenset[str] = Field(
        frozenset(),
        description="Types of tools that a responses upstream accepts beside plain functions; "
        "they, their calls and outputs pass unchanged. `*`: all types, and the order of the input "
        "stays too.",
    )
    one_call: bool = Field(
        False, description="Whether it makes one call at a time unless the request allows more."
    )
    tool_choices: frozenset[ToolChoiceForm] = Field(
        frozenset({"none", "required", "function"}),
        description="Forms of `tool_choice` that it accepts beside `auto`. Otherwise the request "
        "declares the required function alone, or no function if none may be called.",
    )
    forced: dict[str, JsonValue] = Field(
        {},
        description="Fields to send with a tool choice that forces a call in place of the effort, "
        "for providers that do not combine it with thinking.",
    )
    tools_limit: int = Field(
        0, ge=0, description="Tools in a request; requests with more are refused. 0: no limit."
    )
    description_limit: int = Field(
        0,
        ge=0,
        description="Characters of a tool's description; a longer one goes into the leading "
        "instructions. 0: no limit.",
    )
    web_search: SearchTool | None = Field(
        None,
        description="Its own search, in place of `web_search`. Only a search that the model calls "
        "when it needs one: a search in every turn would cost money.",
    )
    subset: SchemaSubset = Field(
        FULL_SCHEMA, description="The part of JSON Schema that it accepts in tools."
    )
    strict: SchemaSubset | Literal[False] = Field(
        FULL_SCHEMA, description="The same for tools with `strict`; false: the field is not sent."
    )

    tools_off: tuple[str, ...] = Field(
        (),
        description="Tools that its models do not get, by name or `namespace.name`; `*` stands for "
        "any text.",
    )
    quirks: tuple[str, ...] = Field(
        (), description="Oddities that data cannot express, by their names in quirks.py."
    )
    quirks_off: frozenset[str] = Field(
        frozenset(),
        description="Oddities that any model may have, but for which the relay does not look here.",
    )
    context_window: int = Field(
        128_000, description="Tokens, for models whose window the provider's list does not name."
    )
    models: dict[str, "Provider"] = Field(
        {},
        description="Pattern of model names → the fields that replace this table's for them. The "
        "first pattern that matches counts.",
    )

    @model_validator(mode="before")
    @classmethod
    def _inherit_in_models(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or not isinstance(fields.get("models"), dict):
            return fields
        base = {name: value for name, value in fields.items() if name != "models"}
        models = {
            pattern: {**base, **table} if isinstance(table, dict) else table
            for pattern, table in fields["models"].items()
        }
        return {**fields, "models": models}

    @property
    def accepted_parameters(self) -> frozenset[str]:
        """Responses parameters that are sent; others are dropped and reported."""
        return (COMMON_PARAMETERS | self.takes) - self.refuses

    def passes_through(self, tool_type: str) -> bool:
        """Whether tools of this type pass unchanged; for "*", whether the whole dialect does."""
        return self.dialect == "responses" and not self.tool_types.isdisjoint((tool_type, "*"))

    def reads_foreign_seals(self) -> bool:
        """Whether the upstream may be OpenAI itself, and so can open what OpenAI sealed."""
        return self.foreign_seals and self.passes_through("*")

    def for_model(self, model: str) -> "Provider":
        """The profile for one model, whose name may begin with a path, such as `zai-org/`."""
        name = model.lower()
        for pattern, profile in self.models.items():
            if fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern):
                return profile
        return self

    def switch_off(self, quirks: Collection[str], tools: Collection[str] = ()) -> "Provider":
        """The profile with these quirks, and tools that match these patterns, switched off."""
        if not quirks and not tools:
            return self
        models = {name: profile.switch_off(quirks, tools) for name, profile in self.models.items()}
        return self.model_copy(
            update={
                "quirks": tuple(quirk for quirk in self.quirks if quirk not in quirks),
                "quirks_off": self.quirks_off | set(quirks),
                "tools_off": (*self.tools_off, *tools),
                "models": models,
            }
        )

    def at_host(self, host: str | None) -> "Provider":
        """The profile of one unknown upstream, by its host and port, or of one account, by its id.

        It keeps their identities apart, so that neither gets sealed thinking of the other.
        """
        title = self.title if self.accounts else f"The upstream {host}"
        models = {name: profile.at_host(host) for name, profile in self.models.items()}
        return self.model_copy(update={"title": title, "host": host or "", "models": models})

    @property
    def identity(self) -> str:
        """The name under which envelopes hold this provider's thinking: without the port of its
        host, which may differ from one start of the server to the next."""
        host = HOST_PORT.sub("", self.host).strip("[]")
        return f"{self.name}@{host}" if host else self.name

    def key_headers(self, key: str | None) -> dict[str, str]:
        """The header with the key; {} without a key."""
        if not key:
            return {}
        is_bearer = self.key_header == "authorization"
        return {self.key_header: f"Bearer {key}" if is_bearer else key}


PLAIN_PROVIDER = Provider.model_validate({"name": "plain", "title": "The upstream"})
