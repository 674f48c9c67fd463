"""Metrics of the relayed exchanges in Prometheus' format, for `GET /metrics`.

https://prometheus.io/docs/practices/naming/
"""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from addons.observe.exchange_record import STATUS_MARKERS, ExchangeRecord
from translate import printable

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
MAX_LABELLED_MODELS = 200  # clients may send any number of names; further ones count as "other"
MAX_LABEL_LENGTH = 200  # characters
FIRST_TOKEN_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # s
EXCHANGE_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)  # s
TOKEN_KINDS = ("input", "cached", "output", "reasoning")

disable_created_metrics()  # type: ignore[no-untyped-call]  # else each count also has a time
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
_first_token_seconds = Histogram(
    "codex_relay_first_token_seconds", "From the request to the first piece of a text or call.",
    ("provider",), buckets=FIRST_TOKEN_BUCKETS, registry=_registry,
)  # fmt: skip
_exchange_seconds = Histogram(
    "codex_relay_exchange_seconds", "From the request to the end of the reply.",
    ("provider",), buckets=EXCHANGE_BUCKETS, registry=_registry,
)  # fmt: skip
_labelled_models: set[tuple[str, str]] = set()


def count_exchange(record: ExchangeRecord) -> None:
    """Count an exchange that has ended."""
    provider = str(record["provider"])
    model = model_label(provider, str(record["model"]))
    status = record["status"] if record["status"] in STATUS_MARKERS else "other"
    _exchanges.labels(provider, model, record["client"], status).inc()
    for kind in TOKEN_KINDS:
        _tokens.labels(provider, model, kind).inc(record[f"{kind}_tokens"] or 0)
    _exchange_seconds.labels(provider).observe(record["seconds"])
    if record["first_token"] is not None:
        _first_token_seconds.labels(provider).observe(record["first_token"])


def model_label(provider: str, model: str) -> str:
    model = printable(model, MAX_LABEL_LENGTH)
    if len(_labelled_models) < MAX_LABELLED_MODELS:
        _labelled_models.add((provider, model))
    return model if (provider, model) in _labelled_models else "other"


def metrics_page() -> bytes:
    """The body for `GET /metrics`, whose content type is METRICS_CONTENT_TYPE."""
    return generate_latest(_registry)
