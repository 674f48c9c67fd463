"""The report of a real relay: when it is logged, and where it is shown."""

import asyncio
import json
from typing import Any

import pytest

from addons.config.addon import Config
from addons.demo_provider import DemoProvider
from addons.endpoints.addon import Endpoints
from addons.ingress.addon import Ingress
from addons.routing.model_lists import forget_model_lists
from addons.start_report import StartReport, report_from_json
from addons.startup import Startup, start_report
from addons.transport.addon import Transport
from tests.addons.proxy import Call, Client, bounded, proxy, upstream

MODELS = b'{"object": "list", "data": [{"id": "m-1"}]}'


def relay_addons() -> list[Any]:
    forget_model_lists()
    return [Config(), Transport(), Ingress(), Endpoints(), DemoProvider(), Startup()]


async def ask_health(port: int, **headers: str) -> dict[str, Any]:
    async with Client.connect(port) as client:
        client.send("/health", b"", method="GET", **headers)
        await client.head()
        health: dict[str, Any] = json.loads(await client.rest())
        return health


async def next_report(former: StartReport | None = None) -> StartReport:
    async with asyncio.timeout(5):
        while (report := start_report()) is None or report == former:
            await asyncio.sleep(0.005)
    return report


def logged_reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if " listens at http://" in message]


@bounded
async def test_relay_serves_before_its_upstream_has_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    has_served = asyncio.Event()

    async def answer_late(call: Call) -> None:
        await has_served.wait()
        call.reply(200, MODELS)

    async with upstream(answer_late) as above:
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*relay_addons(), relay_upstream=url) as (_, port):
            assert (await ask_health(port))["report"] is None
            assert logged_reports(caplog) == []
            has_served.set()
            report = await next_report()
            assert (report.model_count, report.model, report.upstream) == (1, "m-1", url)
            assert report_from_json((await ask_health(port))["report"]) == report
    [text] = logged_reports(caplog)
    assert f"  provider     {url}, 1 model, default m-1" in text.splitlines()
    assert start_report() is None  # the relay has ended


@bounded
async def test_change_of_the_provider_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with upstream(lambda call: call.reply(200, MODELS)) as above:
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*relay_addons()) as (master, port):
            demo = await next_report()
            assert demo.is_demo
            master.options.update(relay_upstream=url, relay_api_key="sk-an-invented-key")
            assert (await next_report(demo)).upstream == url
            master.options.update(relay_heartbeat="7")
            await ask_health(port)
    assert len(logged_reports(caplog)) == 2
    assert "sk-an-invented-key" not in caplog.text


@bounded
async def test_health_shows_the_report_to_holders_of_a_key_only() -> None:
    async with proxy(*relay_addons(), relay_client_key="k-1") as (_, port):
        await next_report()
        assert "report" not in await ask_health(port)
        report = report_from_json((await ask_health(port, authorization="Bearer k-1"))["report"])
        assert report and "k-1" not in repr(report)


@bounded
async def test_front_page_shows_the_problem_and_the_way_to_set_up() -> None:
    async with upstream(lambda call: call.reply(401, b"{}")) as above:
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*relay_addons(), relay_upstream=url) as (_, port):
            await next_report()
            async with Client.connect(port) as client:
                client.send("/", b"", method="GET")
                await client.head()
                page = (await client.rest()).decode()
    assert "mitmcodex setup" in page
    assert "\nProblem: " in page and "401" in page


@bounded
async def test_reading_a_capture_reports_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    startup = Startup()
    async with proxy(Config()) as (master, _):
        master.options.update(server=False)
        startup.running()
        assert startup.reporting is None
        startup.done()
    assert logged_reports(caplog) == []
