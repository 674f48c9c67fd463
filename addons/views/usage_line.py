"""What an exchange cost, how long it took and what became of it, in a line or two."""

from collections.abc import Iterator
from typing import Any

from addons.observe.exchange_record import short
from addons.views.text import line

Json = dict[str, Any]


def number(found: Any, *path: str) -> int | None:
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, int) else None


def tokens(usage: Any) -> str:
    """`12.3k in (9.8k cached) · 412 out (120 of them reasoning)`, of either dialect's usage."""
    into = first(number(usage, "input_tokens"), number(usage, "prompt_tokens"))
    out = first(number(usage, "output_tokens"), number(usage, "completion_tokens"))
    if into is None and out is None:
        return ""
    cached = first(
        number(usage, "input_tokens_details", "cached_tokens"),
        number(usage, "prompt_tokens_details", "cached_tokens"),
    )
    thought = first(
        number(usage, "output_tokens_details", "reasoning_tokens"),
        number(usage, "completion_tokens_details", "reasoning_tokens"),
    )
    went = f"{short(into or 0)} in" + (f" ({short(cached)} cached)" if cached else "")
    came = f"{short(out or 0)} out" + (f" ({short(thought)} of them reasoning)" if thought else "")
    return f"{went} · {came}"


def first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def record(facts: Json) -> Iterator[str]:
    """The record of an exchange, as ledger.py keeps it, without its tokens."""
    timed = [
        f"{name} {facts[key]:.2f} s"
        for name, key in (("first byte", "first_byte"), ("first token", "first_token"))
        if isinstance(facts.get(key), int | float)
    ]
    if rate := facts.get("tokens_per_second"):
        timed.append(f"{rate} tokens/s")
    if isinstance(facts.get("seconds"), int | float):
        timed.append(f"{facts['seconds']:.2f} s in all")
    if timed:
        yield " · ".join(timed)
    if facts.get("estimated"):
        yield "usage: estimated by the relay, as the provider told none"
    for name in ("error", "reason"):
        if facts.get(name):
            yield f"{name}: {line(str(facts[name]), 1000)}"
    yield from lost(facts)


def lost(facts: Json) -> Iterator[str]:
    """What did not cross, and what happened on the way."""
    if dropped := facts.get("dropped"):
        yield f"dropped: {', '.join(map(str, dropped))}"
    for note in facts.get("notes") or ():
        yield f"note: {note}"
