"""What an exchange cost, by the price list that genai-prices brings along; it is never fetched."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    dollars: float
    notional: bool  # an account's turn is paid for already: this is what the API would have cost


def cost(told: dict[str, Any]) -> Cost | None:
    """Of the facts of an exchange; None where the price or the usage is not known. The first call
    reads the list, which takes half a second."""
    from genai_prices import Usage, calc_price

    if told["input_tokens"] is None:
        return None
    usage = Usage(
        input_tokens=told["input_tokens"],
        cache_read_tokens=min(told["cached_tokens"] or 0, told["input_tokens"]),
        output_tokens=told["output_tokens"] or 0,
    )
    whose = {"provider_id": "openai"} if told["account"] else {"provider_api_url": told["url"]}
    try:
        found = calc_price(usage, told["model"], **whose)
    except (LookupError, ValueError):
        return None
    return Cost(round(float(found.total_price), 6), notional=bool(told["account"]))
