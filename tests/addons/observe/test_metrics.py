"""The metrics that Prometheus reads."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from addons.observe import metrics
from tests.addons.exchange.test_chat_clients import HELLO, ask, relay
from tests.addons.proxy import Answer, Client, bounded


@pytest.fixture(autouse=True)
def no_counts() -> None:
    metrics._exchanges.clear()
    metrics._tokens.clear()
    metrics._first_token_seconds.clear()
    metrics._exchange_seconds.clear()
    metrics._labelled_models.clear()


async def read_metrics(port: int, **headers: str) -> Answer:
    async with Client.connect(port) as client:
        client.send("/metrics", b"", method="GET", **headers)
        await client.head()
        await client.rest()
        return client.answer


def samples(page: Answer) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.body.decode())
        for sample in family.samples
    }


@bounded
async def test_exchanges_are_counted_by_provider_model_client_and_status() -> None:
    async with relay(HELLO, relay_client_key="laptop:k-1,admin:k-2") as (port, _):
        await ask(port, authorization="Bearer k-1")
        await ask(port, authorization="Bearer k-1", stream=True)
        refused = await read_metrics(port)
        other = await read_metrics(port, authorization="Bearer k-1")  # it would see everybody's
        page = await read_metrics(port, authorization="Bearer k-2")
    assert (refused.status, other.status, page.status) == (401, 403, 200)
    counts = samples(page)
    name = "codex_relay_exchanges_total"
    assert counts[name, *sorted(["completed", "generic", "laptop", "m"])] == 2
    assert counts["codex_relay_exchange_seconds_count", "generic"] == 2
    assert counts["codex_relay_tokens_total", *sorted(["generic", "m", "output"])] > 0
    assert counts["process_resident_memory_bytes",] > 1e6


def test_number_of_model_labels_is_bounded() -> None:
    record: dict[str, Any] = {
        "provider": "p", "client": "", "status": "failed", "seconds": 1.0, "first_token": None,
        **{f"{kind}_tokens": None for kind in metrics.TOKEN_KINDS},
    }  # fmt: skip
    for number in range(metrics.MAX_LABELLED_MODELS + 50):
        metrics.count_exchange({**record, "model": f"m{number}"})
    models = {sample.labels["model"] for sample in metrics._exchanges.collect()[0].samples}
    assert len(models) == metrics.MAX_LABELLED_MODELS + 1 and "other" in models
