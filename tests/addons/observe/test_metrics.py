"""What Prometheus reads of the relay."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from addons.observe import metrics
from addons.observe.metrics import Metrics
from tests.addons.exchange.test_chat_clients import HELLO, ask, relay
from tests.addons.proxy import Answer, Client, bounded


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    for one in (metrics._exchanges, metrics._tokens, metrics._first, metrics._seconds):
        one.clear()
    metrics._models.clear()


async def read(port: int, **headers: str) -> Answer:
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
async def test_exchanges_are_counted_by_provider_model_client_and_ending() -> None:
    async with relay(HELLO, more=[Metrics()], relay_client_key="laptop:k-1") as (port, _):
        await ask(port, authorization="Bearer k-1")
        await ask(port, authorization="Bearer k-1", stream=True)
        refused = await read(port)
        page = await read(port, authorization="Bearer k-1")
    assert (refused.status, page.status) == (401, 200)
    counted = samples(page)
    name = "codex_relay_exchanges_total"
    assert counted[name, *sorted(["completed", "generic", "laptop", "m"])] == 2
    assert counted["codex_relay_exchange_seconds_count", "generic"] == 2
    assert counted["codex_relay_tokens_total", *sorted(["generic", "m", "output"])] > 0
    assert counted["process_resident_memory_bytes",] > 1e6


def test_names_that_clients_invent_are_bounded() -> None:
    told: dict[str, Any] = {
        "provider": "p", "client": "", "status": "failed", "seconds": 1.0, "first_token": None,
        **{f"{kind}_tokens": None for kind in metrics.KINDS},
    }  # fmt: skip
    for number in range(metrics.MANY + 50):
        metrics.count({**told, "model": f"m{number}"})
    models = {sample.labels["model"] for sample in metrics._exchanges.collect()[0].samples}
    assert len(models) == metrics.MANY + 1 and "other" in models
