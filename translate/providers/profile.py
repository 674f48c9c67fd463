"""What is different about an upstream, as data: one table a provider in providers.toml."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import Field, JsonValue, model_validator

from translate.providers.taken import ALL, Data, Search, Subset

Dialect = Literal["chat", "responses"]
Form = Literal["none", "required", "function"]
Format = Literal["json_object", "json_schema"]

COMMON = frozenset(
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


class Provider(Data):
    """Defaults describe a plain server of its dialect of which nothing more is known."""

    name: str
    title: str = Field(description="How errors and pages call it.")
    dialect: Dialect = "chat"

    # where it is, and the key
    base_urls: tuple[str, ...] = Field(
        (),
        description="Where it lives, the usual one first; recognised by host, on this machine by "
        "port too.",
    )
    host: str = Field("", description="Of an upstream that no table knows; set when it is met.")
    hosts: tuple[str, ...] = Field((), description="More hosts; `*` stands for any text.")
    key_env: tuple[str, ...] = Field(
        (),
        description="Variables with its key, where the relay was given none; the first that is "
        "set counts. Used for its own hosts only.",
    )
    port: int | None = Field(None, ge=1, le=65_535, description="Where `relay_ports` serves it.")
    model: str = Field("", description="Used for names that it does not list.")
    known_models: tuple[str, ...] = Field(
        (), description="Its models, where its own list cannot be had; the usual one first."
    )
    aliases: dict[str, str] = Field(
        {}, description="Names that always mean one of its newest models."
    )
    key_header: Literal["authorization", "api-key"] = Field(
        "authorization", description="The header for the key; `authorization` has it as Bearer."
    )
    accounts: bool = Field(
        False,
        description="Whether it serves whom logs in there, and not who has a key: its credentials "
        "are those of an account.",
    )
    headers: dict[str, str] = Field({}, description="Headers that every request has.")
    list_version: bool = Field(
        False, description="Whether its list of models wants to know a `client_version` of Codex's."
    )

    session_header: str = Field(
        "",
        description="A header with the key of the conversation, which is the `prompt_cache_key` "
        "too where the client gives none.",
    )
    client_headers: frozenset[str] = Field(
        frozenset(),
        description="Headers of a Codex client that go on to it, as it is whom they are for.",
    )
    reply_headers: frozenset[str] = Field(
        frozenset(), description="Headers of its replies that go on to a Codex client."
    )

    # messages
    instructions: str = Field(
        "",
        description="Told to a responses upstream that wants instructions, where a client gives "
        "none.",
    )
    system_role: Literal["system", "developer"] = Field(
        "system", description="Role of the first message, which joins all leading instructions."
    )
    late_system_role: Literal["system", "developer", "user"] = Field(
        "user",
        description="Role of instructions that come later; they stay in their place. As a user's "
        "they are marked: chat templates of local servers refuse a later system message "
        "(vllm#42407).",
    )
    images: bool = Field(True, description="Whether messages may hold images.")
    output_images: bool = Field(
        True,
        description="Whether images in the outputs of tools follow in a message of the user's, as "
        "tool messages hold text only; else words tell of their type and size.",
    )
    image_side: int = Field(
        2048,
        ge=0,
        description="Pixels of an image's longer side; larger ones are scaled down. 0: any. At "
        "2,048 models scale images themselves "
        "(https://developers.openai.com/api/docs/guides/images-vision).",
    )
    image_bytes: int = Field(
        5_000_000, ge=0, description="Bytes of an image in base64; the same. 0: any."
    )
    image_types: frozenset[str] = Field(
        frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"}),
        description="Media types taken; other images become PNG or JPEG.",
    )
    reasoning_back: Literal["echo", "reasoning_content", "reasoning", "think", "parts", "never"] = (
        Field(
            "echo",
            description="How earlier thinking goes back: in the fields in which this provider sent "
            "it, always in a named field (a blank one for a message without "
            "thinking), in `<think>` tags, in parts of the content, or never.",
        )
    )

    foreign_seals: bool = Field(
        True, description="Whether what OpenAI itself sealed goes up, where all passes as it is."
    )

    # parameters
    takes: frozenset[str] = Field(
        frozenset(), description="Responses parameters taken beside the common ones."
    )
    refuses: frozenset[str] = Field(
        frozenset(), description="Common ones not taken: dropped and reported."
    )
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="The field for `max_output_tokens`."
    )
    efforts: dict[str, str | dict[str, JsonValue]] = Field(
        {},
        description="Codex's reasoning effort (`*`: any other) → the provider's word for it, or "
        "the fields to send instead; none at all: it is dropped. Others pass unchanged.",
    )
    cache_key: str = Field(
        "prompt_cache_key",
        description="The field for `prompt_cache_key`, where it is taken; `header:` and a name for "
        "a header.",
    )
    effort_field: str = Field(
        "reasoning_effort", description="Where that word goes; a dot leads into an object."
    )
    formats: frozenset[Format] = Field(
        frozenset({"json_object", "json_schema"}),
        description="Forms of `response_format`. Without `json_schema` the schema is told in the "
        "instructions.",
    )
    formatted: dict[str, JsonValue] = Field(
        {},
        description="Fields to send with a `response_format`, in place of the effort, where "
        "thinking excludes that.",
    )
    stream_options: bool = Field(
        True, description="Whether a stream's usage is asked for; else it comes unasked."
    )
    extra: dict[str, JsonValue] = Field({}, description="Fields that every request has.")
    omits: frozenset[str] = Field(
        frozenset(),
        description="Fields of a Chat body that are never sent, whatever asks for them: taken off "
        "and reported. A dot leads into objects and into each element of a list.",
    )

    # tools
    tool_types: frozenset[str] = Field(
        frozenset(),
        description="Types of tools that a responses upstream takes beside plain functions; they, "
        "their calls and outputs pass as they are. `*`: all, and so does the order of the input.",
    )
    one_call: bool = Field(
        False, description="Whether it makes one call at a time unless told otherwise."
    )
    tool_choices: frozenset[Form] = Field(
        frozenset({"none", "required", "function"}),
        description="Forms of `tool_choice` beside `auto`. One function is else required by "
        "declaring it alone, none by declaring none.",
    )
    forced: dict[str, JsonValue] = Field(
        {},
        description="Fields to send with a tool choice that forces a call, in place of the "
        "effort, where thinking excludes that.",
    )
    tools_limit: int = Field(0, ge=0, description="Tools in a request; more are refused. 0: any.")
    description_limit: int = Field(
        0,
        ge=0,
        description="Characters of a tool's description; a longer one moves to the leading "
        "instructions. 0: any.",
    )
    web_search: Search | None = Field(
        None,
        description="Its own search, for `web_search`: only one that the model calls when it "
        "wants to, as others would be paid for each turn.",
    )
    subset: Subset = Field(ALL, description="What it takes of the schemas of tools.")
    strict: Subset | Literal[False] = Field(
        ALL, description="The same for tools with `strict`; false: the field is not sent."
    )

    tools_off: tuple[str, ...] = Field(
        (),
        description="Tools not offered to its models, by name or `namespace.name`; `*` stands for "
        "any text.",
    )
    quirks: tuple[str, ...] = Field(
        (), description="Oddities that data cannot say, by their names in quirks.py."
    )
    quirks_off: frozenset[str] = Field(
        frozenset(), description="Oddities not to be looked for, of those that any model may have."
    )
    context_window: int = Field(
        128_000, description="Tokens, for models of which the provider's list tells nothing."
    )
    models: dict[str, "Provider"] = Field(
        {},
        description="Pattern of model names → what is different about them, on top of this table. "
        "The first that fits counts.",
    )

    @model_validator(mode="before")
    @classmethod
    def _layered(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or not isinstance(fields.get("models"), dict):
            return fields
        base = {name: value for name, value in fields.items() if name != "models"}
        models = {
            pattern: {**base, **over} if isinstance(over, dict) else over
            for pattern, over in fields["models"].items()
        }
        return {**fields, "models": models}

    @property
    def parameters(self) -> frozenset[str]:
        """Responses parameters taken; any other is dropped and reported."""
        return (COMMON | self.takes) - self.refuses

    def native(self, type: str) -> bool:
        """Whether tools of a type, or `*`: whether all of the dialect, pass as they are."""
        return self.dialect == "responses" and not self.tool_types.isdisjoint((type, "*"))

    def reads_foreign_seals(self) -> bool:
        """Whether it may be OpenAI itself, who can read what OpenAI sealed."""
        return self.foreign_seals and self.native("*")

    def of(self, model: str) -> "Provider":
        """The provider as it is for one model, whose name may have a path before it."""
        name = model.lower()
        for pattern, different in self.models.items():
            if fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern):
                return different
        return self

    def without(self, quirks: Collection[str], tools: Collection[str] = ()) -> "Provider":
        """The same with these quirks and tools switched off."""
        if not quirks and not tools:
            return self
        return self.model_copy(
            update={
                "quirks": tuple(quirk for quirk in self.quirks if quirk not in quirks),
                "quirks_off": self.quirks_off | set(quirks),
                "tools_off": (*self.tools_off, *tools),
                "models": {name: one.without(quirks, tools) for name, one in self.models.items()},
            }
        )

    def at(self, host: str | None) -> "Provider":
        """An unknown upstream under its host's name, or an account under its own, as no two of
        them are the same provider."""
        title = self.title if self.accounts else f"The upstream {host}"
        models = {name: one.at(host) for name, one in self.models.items()}
        return self.model_copy(update={"title": title, "host": host or "", "models": models})

    @property
    def identity(self) -> str:
        """Whose thinking an envelope holds."""
        return f"{self.name}@{self.host}" if self.host else self.name

    def credentials(self, key: str | None) -> dict[str, str]:
        """The header that carries the key."""
        if not key:
            return {}
        bearer = self.key_header == "authorization"
        return {self.key_header: f"Bearer {key}" if bearer else key}


PLAIN = Provider.model_validate({"name": "plain", "title": "The upstream"})
