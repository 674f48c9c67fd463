"""`GET /metrics`: what has been relayed, in Prometheus' form.

https://prometheus.io/docs/practices/naming/
"""

from mitmproxy.http import HTTPFlow
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from addons.ingress import routes
from addons.ingress.local_reply import answer
from addons.ingress.routes import Route
from addons.observe.exchange_record import Facts

MANY = 200  # models that are told apart: their names come from clients
WAITS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # s
TURNS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)  # s
KINDS = ("input", "cached", "output", "reasoning")

disable_created_metrics()  # type: ignore[no-untyped-call]  # a time beside each count
_registry = CollectorRegistry()
ProcessCollector(registry=_registry)
_exchanges = Counter(
    "codex_relay_exchanges", "Exchanges that have ended.",
    ("provider", "model", "client", "status"), registry=_registry,
)  # fmt: skip
_tokens = Counter(
    "codex_relay_tokens", "Tokens; cached ones are part of input, reasoning of output.",
    ("provider", "model", "kind"), registry=_registry,
)  # fmt: skip
_first = Histogram(
    "codex_relay_first_token_seconds", "From the request to the first piece of a text or call.",
    ("provider",), buckets=WAITS, registry=_registry,
)  # fmt: skip
_seconds = Histogram(
    "codex_relay_exchange_seconds", "From the request to the end of the reply.",
    ("provider",), buckets=TURNS, registry=_registry,
)  # fmt: skip
_models: set[tuple[str, str]] = set()


def count(told: Facts) -> None:
    """An exchange has ended."""
    provider = str(told["provider"])
    model = known(provider, str(told["model"]))
    _exchanges.labels(provider, model, told["client"], told["status"]).inc()
    for kind in KINDS:
        _tokens.labels(provider, model, kind).inc(told[f"{kind}_tokens"] or 0)
    _seconds.labels(provider).observe(told["seconds"])
    if told["first_token"] is not None:
        _first.labels(provider).observe(told["first_token"])


def known(provider: str, model: str) -> str:
    if len(_models) < MANY:
        _models.add((provider, model))
    return model if (provider, model) in _models else "other"


class Metrics:
    async def request(self, flow: HTTPFlow) -> None:
        if flow.live and not flow.response and routes.route_of(flow) is Route.METRICS:
            answer(flow, 200, generate_latest(_registry), content_type=CONTENT_TYPE_LATEST)
