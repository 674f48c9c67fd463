"""What is different about an upstream, as data: one table a provider in providers.toml."""

import tomllib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Dialect = Literal["chat", "responses"]

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


class Provider(BaseModel):
    """Defaults describe a plain Chat Completions server of which nothing more is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str = Field(description="How errors and pages call it.")
    base_urls: tuple[str, ...] = Field((), description="Where it lives; recognised by host.")
    dialect: Dialect = "chat"
    system_role: Literal["system", "developer"] = Field(
        "system", description="Role of the first message, which joins all leading instructions."
    )
    late_system_role: Literal["system", "developer", "user"] = Field(
        "user",
        description="Role of instructions that come later; they stay in their place. As a user's "
        "they are marked: chat templates of local servers refuse a later system message "
        "(vllm#42407).",
    )
    parameters: frozenset[str] = Field(
        COMMON, description="Responses parameters taken; any other is dropped and reported."
    )
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="The field for `max_output_tokens`."
    )
    efforts: dict[str, str] = Field(
        {}, description="Codex's reasoning effort → the provider's; others pass unchanged."
    )
    reasoning_back: Literal["echo", "reasoning_content", "reasoning", "never"] = Field(
        "echo",
        description="How earlier thinking goes back: in the fields in which this provider sent "
        "it, always in a named field (a blank one for a message without thinking), or not at all.",
    )
    images: bool = Field(True, description="Whether messages may hold images.")
    context_window: int = Field(
        128_000, description="Tokens, for models of which the provider's list tells nothing."
    )


def providers(toml: str) -> dict[str, Provider]:
    """Read a providers file: a table a provider. Raises ValueError naming table and field."""
    return {name: _provider(name, table) for name, table in tomllib.loads(toml).items()}


def _provider(name: str, table: object) -> Provider:
    fields = {"name": name, **table} if isinstance(table, dict) else table
    try:
        return Provider.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (name, *first["loc"])))
        raise ValueError(f"{place}: {first['msg']}") from None
