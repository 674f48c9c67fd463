"""What ends with an exchange: each step runs, whatever happens to the others."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from mitmproxy.addons.view import View
from mitmproxy.http import HTTPFlow
from prometheus_client import Counter

from addons.exchange.closing import run_steps
from addons.observe import exchange_record, flow_pair, metrics
from tests.addons.chain import exchange_addons
from tests.addons.exchange.test_addon import ask_once, says
from tests.addons.proxy import bounded, proxy, upstream


@pytest.mark.parametrize("failing", ["first", "second", "third"])
def test_failing_step_is_logged_with_its_name_and_the_others_run(
    failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def run_step(name: str) -> None:
        calls.append(name)
        if name == failing:
            raise RuntimeError("broken")

    names = ["first", "second", "third"]
    run_steps("end", {name: lambda name=name: run_step(name) for name in names})  # type: ignore[misc]
    assert calls == names
    assert [record.getMessage() for record in caplog.records] == [
        f"mitmcodex failed at the end of an exchange: {failing}"
    ]


# What surrounds the relay fails as an exchange ends: other addons, the user's logging, Prometheus.


def break_listener(monkeypatch: pytest.MonkeyPatch, view: View) -> None:
    def fail_at_end(flow: HTTPFlow, record: dict[str, Any]) -> None:
        if record["status"] != "in_progress":
            raise RuntimeError("broken")

    monkeypatch.setattr(exchange_record, "record_listeners", [fail_at_end])


def break_log(monkeypatch: pytest.MonkeyPatch, view: View) -> None:
    def refuse_line(record: logging.LogRecord) -> bool:
        if " → " in record.getMessage():
            raise RuntimeError("broken")
        return True

    monkeypatch.setattr(logging.getLogger(), "filters", [refuse_line])


def break_metrics(monkeypatch: pytest.MonkeyPatch, view: View) -> None:
    other_counter = Counter("broken", "Of other labels.", registry=None)
    monkeypatch.setattr(metrics, "_exchanges", other_counter)


def break_view(monkeypatch: pytest.MonkeyPatch, view: View) -> None:
    def refuse_removal(flow: HTTPFlow, index: int) -> None:
        raise RuntimeError("broken")

    view.sig_view_remove.connect(refuse_removal)
    monkeypatch.setattr(view, "kept_alive", refuse_removal, raising=False)  # the signal is weak


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("break_surroundings", "name", "failures"),
    [
        (break_listener, "recording an exchange", 3),
        (break_log, "its line in the log", 3),
        (break_metrics, "its metrics", 3),
        (break_view, "the number of flows", 1),
    ],
)
@bounded
async def test_exchange_ends_in_all_other_ways(
    break_surroundings: Callable[[pytest.MonkeyPatch, View], None],
    name: str,
    failures: int,
    stream: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    view = View()
    monkeypatch.setattr(flow_pair, "_ended_flows", deque())
    async with upstream(says()) as above:
        url = f"http://127.0.0.1:{above.port}/v1"
        options = {"relay_upstream": url, "relay_keep": "2", "relay_store": "off"}
        with pytest.raises(AssertionError, match=name):  # of the log, as the proxy ends
            async with proxy(*exchange_addons(view), **options) as (_, port):
                break_surroundings(monkeypatch, view)
                for _ in range(3):
                    assert (await ask_once(port, stream=stream)).status == 200
    logged = [record.getMessage() for record in caplog.records if record.exc_info]
    assert len(logged) == failures and all(name in message for message in logged)
    _, (last_flows, _) = flow_pair._ended_flows
    client_flow, upstream_flow = last_flows
    assert client_flow.metadata[exchange_record.RECORD]["status"] == "completed"
    assert client_flow.marked == exchange_record.STATUS_MARKERS["completed"]
    assert upstream_flow.response and upstream_flow.response.timestamp_end
