"""What a real relay finds out about itself and its upstream."""

import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from addons.config.addon import Config
from addons.demo_provider import DemoProvider
from addons.ingress.addon import Ingress
from addons.launch import available_port
from addons.routing.model_lists import forget_model_lists
from addons.start_report import ExtraPort, StartReport
from addons.startup.facts import build_report, find_command, wait_for_listeners
from tests.addons.proxy import Handler, bounded, confdir, proxy, upstream

ROOT = Path(__file__).parents[3]
MODELS = b'{"object": "list", "data": [{"id": "m-1"}, {"id": "m-2"}]}'
KEY = "sk-a-key-that-nobody-sees"


async def report_with(handler: Handler, **options: str) -> StartReport:
    """The report of a relay before an upstream that answers so."""
    async with upstream(handler) as above:
        url = f"http://127.0.0.1:{above.port}/v1"
        return await report_of(relay_upstream=url, relay_api_key=KEY, **options)


async def report_of(**options: str) -> StartReport:
    forget_model_lists()
    async with proxy(Config(), Ingress(), DemoProvider(), **options):
        return await build_report()


@bounded
async def test_models_are_counted_and_the_first_is_the_default() -> None:
    report = await report_with(lambda call: call.reply(200, MODELS))
    assert (report.model_count, report.model, report.fault) == (2, "m-1", "")
    assert report.provider == "generic" and report.upstream.startswith("http://127.0.0.1:")
    report = await report_with(lambda call: call.reply(200, MODELS), relay_model="m-2")
    assert report.model == "m-2"


@bounded
async def test_a_refused_key_is_a_fault_and_stays_secret() -> None:
    body = f'{{"error": {{"message": "Invalid key {KEY}"}}}}'.encode()
    report = await report_with(lambda call: call.reply(401, body))
    assert "401" in report.fault and report.next_step
    assert KEY not in repr(report)


@bounded
async def test_a_private_relay_repeats_no_text_of_the_upstream() -> None:
    body = b'{"error": {"message": "a text of its own"}}'
    report = await report_with(lambda call: call.reply(500, body))
    assert report.fault.endswith("answered 500: a text of its own")
    report = await report_with(lambda call: call.reply(500, body), relay_private="on")
    assert report.fault.endswith("answered 500")


@bounded
async def test_an_upstream_that_does_not_run_is_a_fault() -> None:
    report = await report_of(relay_upstream=f"http://127.0.0.1:{available_port(0)}/v1")
    assert "nothing listens at http://127.0.0.1:" in report.fault
    assert report.next_step == "is the server running?"


@bounded
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
async def test_an_upstream_that_is_the_relay_itself_is_a_fault(name: str) -> None:
    port = available_port(0)
    report = await report_of(relay_port=str(port), relay_upstream=f"http://{name}:{port}/v1")
    assert report.fault.endswith("is this relay itself") and "-p 8090" in report.next_step


@bounded
async def test_without_a_provider_the_demonstration_is_reported() -> None:
    report = await report_of()
    assert report.is_demo and report.model_count == 1 and not report.fault
    assert " setup, or set CODEX_RELAY_UPSTREAM; then" in report.next_step


@asynccontextmanager
async def relay_with_ports(**options: str) -> AsyncIterator[tuple[int, StartReport]]:
    async with proxy(Config(), Ingress(), DemoProvider(), **options) as (_, port):
        await wait_for_listeners([int(options["relay_port"])])
        yield port, await build_report()


@bounded
async def test_ports_and_pages_are_those_on_which_the_relay_listens() -> None:
    first, second = sorted((available_port(0), available_port(0)))
    ports = {"relay_port": str(first), "relay_ports": f"kimi:{second}"}
    async with relay_with_ports(**ports, relay_client_key="a-client-key") as (port, report):
        assert report.address == f"http://127.0.0.1:{port}"
        assert report.ports == (
            ExtraPort(f"http://127.0.0.1:{first}"),
            ExtraPort(f"http://127.0.0.1:{second}", "kimi"),
        )
        assert report.dashboard == f"{report.address}/relay/" and report.mitmweb == ""
        assert not report.serves_others  # it listens at a loopback address


@bounded
async def test_codex_line_has_our_command_or_the_authority_of_this_relay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "elsewhere" / "python"))
    monkeypatch.chdir(ROOT)
    assert find_command() == "./scripts/mitmcodex"
    monkeypatch.chdir(tmp_path)
    assert find_command() == shlex.quote(str(ROOT / "scripts" / "mitmcodex"))
    monkeypatch.setattr("addons.startup.facts.COMMAND", "mitmcodex-elsewhere")
    assert find_command() == ""
    report = await report_of()
    assert f"CODEX_CA_CERTIFICATE={confdir()}/mitmproxy-ca-cert.pem codex" in report.codex_command
    assert report.next_step.startswith("set CODEX_RELAY_UPSTREAM=")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    command = tmp_path / "mitmcodex"
    command.touch(0o755)
    assert find_command() == "mitmcodex"
    assert (await report_of()).codex_command.startswith("mitmcodex codex --port ")
