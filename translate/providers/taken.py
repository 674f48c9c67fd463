"""What a provider takes of JSON Schema, and its own search: tables within its table."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Subset(Data):
    """What is taken of JSON Schema. Defaults: all of it, and it goes up as it came."""

    keywords: frozenset[str] | None = Field(
        None,
        description="The keywords taken. Others are said with these where that can be (`$ref`, "
        "`const`, `oneOf`, `allOf`, tuples), else left out.",
    )
    one_type: bool = Field(
        False,
        description="Each schema has one type: no list of types, none beside `anyOf`, none "
        "missing; the root is an object.",
    )
    nullable: bool = Field(False, description="Null is said with `nullable`, not with a type.")
    string_enums: bool = Field(False, description="Only strings may be enumerated.")
    closed: bool = Field(
        False,
        description="Objects name all their properties and require each of them; one that may be "
        "left out may be null instead.",
    )


class Search(Data):
    """How a provider's own web search is declared."""

    tool: dict[str, JsonValue] = Field({}, description="An entry of `tools`.")
    fields: dict[str, JsonValue] = Field({}, description="Fields of the request.")
    options: dict[str, str] = Field(
        {},
        description="Options of `web_search` (a dot leads into an object) → where the entry has "
        "them. Others are reported.",
    )


ALL = Subset.model_validate({})
