"""The tokens, times, dropped fields and notes of an exchange, in a few lines."""

from collections.abc import Iterator
from typing import Any

from addons.observe import format_count
from addons.views.text import to_one_line

type Json = dict[str, Any]
# Label, field of the record
TIMES = (("first byte", "first_byte"), ("first token", "first_token"))


def token_usage(usage: Any) -> str:
    """`12.3k in (9.8k cached) · 412 out (120 of them reasoning)` for either dialect's usage."""
    input_count = _first_count(usage, "input_tokens", "prompt_tokens")
    output_count = _first_count(usage, "output_tokens", "completion_tokens")
    if input_count is None and output_count is None:
        return ""
    cached = _first_count(
        usage, "input_tokens_details.cached_tokens", "prompt_tokens_details.cached_tokens"
    )
    reasoning = _first_count(
        usage,
        "output_tokens_details.reasoning_tokens",
        "completion_tokens_details.reasoning_tokens",
    )
    cached_note = f" ({format_count(cached)} cached)" if cached else ""
    reasoning_note = f" ({format_count(reasoning)} of them reasoning)" if reasoning else ""
    input_part = f"{format_count(input_count or 0)} in{cached_note}"
    return f"{input_part} · {format_count(output_count or 0)} out{reasoning_note}"


def _first_count(usage: Any, *paths: str) -> int | None:
    """The first number at one of these dotted paths."""
    counts = (_count_at(usage, path) for path in paths)
    return next((count for count in counts if count is not None), None)


def _count_at(value: Any, path: str) -> int | None:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int) else None


def record_lines(record: Json) -> Iterator[str]:
    """The record of an exchange (see addons/observe/exchange_record.py) without its tokens."""
    parts = [
        f"{name} {record[field]:.2f} s"
        for name, field in TIMES
        if isinstance(record.get(field), int | float)
    ]
    if rate := record.get("tokens_per_second"):
        parts.append(f"{rate} tokens/s")
    if isinstance(record.get("seconds"), int | float):
        parts.append(f"{record['seconds']:.2f} s in all")
    if parts:
        yield " · ".join(parts)
    if record.get("estimated"):
        yield "usage: estimated by the relay, as the provider sent none"
    for name in ("error", "reason"):
        if record.get(name):
            yield f"{name}: {to_one_line(str(record[name]), 1000)}"
    yield from dropped_and_notes(record)


def dropped_and_notes(record: Json) -> Iterator[str]:
    """What the relay dropped from the request, and its notes."""
    if dropped := record.get("dropped"):
        yield f"dropped: {', '.join(map(str, dropped))}"
    for note in record.get("notes") or ():
        yield f"note: {note}"
