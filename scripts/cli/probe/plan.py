"""What a session will send at most, and what that may cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from .endpoint import Endpoint
from .findings import Measurements
from .probes import Probe, build_request
from .session import ProbeLimits, text_tokens


@dataclass(frozen=True)
class ProbePlan:
    """Upper bounds, before anything is sent."""

    requests: int
    input_tokens: int
    output_tokens: int
    dollars: float | None  # None: no list has a price for this model

    def to_text(self) -> str:
        cost = "at a price that is not known"
        if self.dollars is not None:
            cost = f"for ${max(ceil(self.dollars * 100) / 100, 0.01):.2f} at most"
        return (
            f"at most {self.requests} small requests, about {self.input_tokens:,} tokens to read "
            f"and up to {self.output_tokens:,} to write, {cost}"
        )


def plan_session(endpoint: Endpoint, probes: Sequence[Probe], limits: ProbeLimits) -> ProbePlan:
    """The bounds for these probes; the list of models counts as one request."""
    measured = Measurements(endpoint)
    bundles = {probe.bundle for probe in probes if probe.bundle}
    requests = min(1 + len(probes) + len(bundles), limits.requests)
    input_tokens = sum(text_tokens(build_request(probe, measured)) for probe in probes)
    output_tokens = sum(probe.tokens for probe in probes)
    dollars = price_tokens(endpoint, input_tokens, output_tokens)
    return ProbePlan(requests, input_tokens, output_tokens, dollars)


def price_tokens(endpoint: Endpoint, input_tokens: int, output_tokens: int) -> float | None:
    """US dollars by the price list in the package genai-prices; None if it has no such model."""
    from genai_prices import Usage, calc_price  # reads its list, in half a second

    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    try:
        price = calc_price(usage, endpoint.model, provider_api_url=endpoint.url)
    except (LookupError, ValueError):
        return None
    return float(price.total_price)
