"""The settings that bound what clients and upstreams may send; README's table "Limits" shows them.

Past a bound the relay refuses a request, or interrupts a reply, while its bytes still arrive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from addons.config.option_types import AMOUNT, setting_text, split_list
from translate import Limits

BYTES_OF_UNIT = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
MAX_BYTES = 100 << 30


class ByteCount(int):
    """A number of bytes that is shown with the largest unit that divides it: `64MB`."""

    def __str__(self) -> str:
        for unit, size in reversed(BYTES_OF_UNIT.items()):
            if self >= size and self % size == 0:
                return f"{int(self) // size}{unit.upper()}"
        return f"{int(self)}"


def parse_bytes(value: object) -> int:
    """`128KB`, `64MB`, `1.5GB`, or a plain number of bytes."""
    text = setting_text(value).strip()
    number, unit = match.groups() if (match := AMOUNT.fullmatch(text)) else ("", "")
    try:
        return round(float(number) * BYTES_OF_UNIT[unit.lower()])
    except (ValueError, KeyError, OverflowError):  # the last: more digits than a float has
        raise ValueError(f"{text!r} is not a size; write it with KB, MB or GB") from None


def parse_pair(first: str, second: str) -> Callable[[object], object]:
    """A validator that reads two amounts in this order; a single one stands for both."""

    def read_pair(value: object) -> object:
        entries = split_list(setting_text(value))
        if not isinstance(entries, list) or not 1 <= len(entries) <= 2:
            raise ValueError("neither one amount nor two")
        return {first: entries[0], second: entries[-1]}

    return read_pair


Bytes = Annotated[
    int,
    BeforeValidator(parse_bytes),
    Field(ge=1_000, le=MAX_BYTES),
    AfterValidator(ByteCount),
]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
# Deeper JSON would overflow the stack of the parsers.
Depth = Annotated[int, Field(ge=8, le=200)]


@dataclass(frozen=True)
class RequestLimits:
    """How many bytes the body of a model request may have."""

    as_sent: Bytes = ByteCount(64 << 20)
    decoded: Bytes = ByteCount(128 << 20)  # after its content-encoding

    def __str__(self) -> str:
        return f"{self.as_sent},{self.decoded}"


@dataclass(frozen=True)
class ExchangeLimits:
    """How many exchanges may run at the same time."""

    in_all: Count = 1000
    per_client: Count = 250  # client: the name of the key, else the address

    def __str__(self) -> str:
        return f"{self.in_all},{self.per_client}"


@dataclass(frozen=True)
class BodyTotals:
    """How many bytes the bodies of all requests under way may have together."""

    total_bytes: Bytes = ByteCount(1 << 30)
    client_bytes: Bytes = ByteCount(512 << 20)  # client: the name of the key, else the address

    def __str__(self) -> str:
        return f"{self.total_bytes},{self.client_bytes}"


RequestLimit = Annotated[RequestLimits, BeforeValidator(parse_pair("as_sent", "decoded"))]
ExchangeLimit = Annotated[ExchangeLimits, BeforeValidator(parse_pair("in_all", "per_client"))]

BodyTotal = Annotated[BodyTotals, BeforeValidator(parse_pair("total_bytes", "client_bytes"))]


class LimitSettings(BaseModel):
    """The limits among the settings. A KB has 1024 bytes, a MB 1024 KB, a GB 1024 MB."""

    max_request: RequestLimit = Field(
        RequestLimits(),
        description="Size of a request to a model: as it is sent, and decompressed. A larger one "
        "gets a 413.",
        examples=["100MB,200MB"],
    )
    max_side_call: Bytes = Field(
        ByteCount(1 << 20),
        description="Size of the body of any other call, decompressed as well. A larger one gets "
        "a 413.",
        examples=["2MB"],
    )
    max_head: Bytes = Field(
        ByteCount(128 << 10),
        description="Size of all header lines of a request or of a provider's reply. A larger "
        "request gets a 431; a larger reply counts as failed.",
        examples=["256KB"],
    )
    max_items: Count = Field(
        50_000,
        description="How many items or messages a request may have. One with more gets a 413.",
        examples=["100000"],
    )
    max_tools: Count = Field(
        4096,
        description="How many tools a request may have. One with more gets a 413.",
        examples=["8192"],
    )
    max_nesting: Depth = Field(
        128,
        description="How deep the JSON of a request may be nested. A deeper one gets a 413.",
        examples=["200"],
    )
    max_values: Count = Field(
        2_000_000,
        description="How many values (objects, lists, texts, numbers) the JSON of a request or of "
        "one event of a provider's reply may have. They take many times the memory of their JSON; "
        "below 1 MB they are not counted.",
        examples=["4000000"],
    )
    max_event: Bytes = Field(
        ByteCount(16 << 20),
        description="Size of one event in a provider's stream. A larger one ends the reply as "
        "failed.",
        examples=["32MB"],
    )
    max_reply: Bytes = Field(
        ByteCount(64 << 20),
        description="Size of a provider's reply, decompressed, streamed or whole. A larger one "
        "ends as failed, and the connection to the provider is closed.",
        examples=["128MB"],
    )
    max_exchanges: ExchangeLimit = Field(
        ExchangeLimits(),
        description="How many exchanges may run at the same time: in all, and for one client (by "
        "the name of its key, else by its address). Further ones get a 429 with Retry-After.",
        examples=["2000,100"],
    )
    max_bodies: BodyTotal = Field(
        BodyTotals(),
        description="Size of the requests under way together, decompressed as well: of all, and of "
        "one client. Further ones get a 429 with Retry-After.",
        examples=["4GB,1GB"],
    )
    max_connections: Count | None = Field(
        None,
        description="How many connections clients may have open. The default follows from how "
        "many files the process may open, and is at most 4096. Further ones are closed at once.",
        examples=["500"],
    )
    idle: Annotated[float, Field(gt=0, le=86_400)] = Field(
        600.0,
        description="Seconds after which a client's connection is closed if the client sends no "
        "request, or stops in the middle of one.",
        examples=["120"],
    )
    max_log_line: Annotated[int, Field(ge=200, le=1_000_000)] = Field(
        2000, description="Characters of a line in the log. The rest is cut off.", examples=["4000"]
    )


def translation_limits(settings: LimitSettings) -> Limits:
    """The limits that `translate` keeps, as the settings have them."""
    return Limits(
        item_count=settings.max_items,
        tool_count=settings.max_tools,
        nesting=settings.max_nesting,
        value_count=settings.max_values,
        event_bytes=settings.max_event,
        reply_bytes=settings.max_reply,
    )
