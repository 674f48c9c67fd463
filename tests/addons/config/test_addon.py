"""The settings in a running mitmproxy, and in the real mitmdump."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import ctx, exceptions, flowfilter
from mitmproxy.flow import Error
from mitmproxy.options import Options
from mitmproxy.test import tflow
from mitmproxy.tools.dump import DumpMaster

from addons.config.addon import (
    QUIET_MITMDUMP,
    Config,
    current_settings,
    key_from_environment,
)
from addons.ingress.addon import Ingress
from addons.launch import available_port
from tests.addons.proxy import bounded, proxy

MITMDUMP = Path(sys.executable).with_name("mitmdump")
ROOT = Path(__file__).parents[3]


@bounded
async def test_options_take_effect_and_wrong_ones_change_nothing() -> None:
    async with proxy(Config(), relay_timeout="7") as (master, _):
        assert current_settings().timeout == 7
        with pytest.raises(exceptions.OptionsError, match="relay_timeout is 'soon'"):
            master.options.update(relay_timeout="soon")
        assert current_settings().timeout == 7
        assert master.options.relay_timeout == "7"
        master.options.update(relay_timeout=None)
        assert current_settings().timeout == 300


@bounded
async def test_set_command_refuses_wrong_values() -> None:
    async with proxy(Config()) as (master, _):
        master.commands.execute("set relay_model_map a:b")
        assert current_settings().model_map == (("a", ("b",)),)
        with pytest.raises(exceptions.CommandError, match="relay_port is 'x'"):
            master.commands.execute("set relay_port x")
        assert current_settings().port is None


@bounded
async def test_deprecated_names_work_and_are_logged_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("CODEX_RELAY_STORE_DAYS", "7")
    file = tmp_path / "relay.toml"
    file.write_text("# mine\nkeep_megabytes = 80\n")
    options = {"relay_config": str(file), "relay_retries": "5", "relay_retry_budget": "9"}
    async with proxy(DeferredOptions(options), Config()) as (master, _):
        settings = current_settings()
        assert (settings.keep.exchanges, settings.keep.megabytes) == (500, 80)
        assert (settings.store_limit.days, settings.store_limit.megabytes) == (7, 256)
        assert (settings.retries.further_attempts, settings.retries.seconds) == (5, 9)
        master.options.update(relay_store_megabytes="64", relay_retry_budget=None)
        assert current_settings().store_limit.megabytes == 64
        assert current_settings().retries.seconds == 60
    notices = [r.message for r in caplog.records if "deprecated" in r.message]
    assert notices == [
        f'{file}:2: keep_megabytes is deprecated: write keep = "80MB"',
        "relay_retry_budget is deprecated: write relay_retries=5,9s",
        "CODEX_RELAY_STORE_DAYS is deprecated: write CODEX_RELAY_STORE_LIMIT=7d",
    ]


class DeferredOptions:
    """Sets options as the command line does: before the relay's addons declare them."""

    def __init__(self, options: dict[str, str]) -> None:
        self._options = options

    def load(self, loader: Any) -> None:
        ctx.options.update_defer(**self._options)


def test_provider_key_comes_from_its_variable(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert key_from_environment("SOME_KEY") is None
    monkeypatch.setenv("SOME_KEY", " sk-1 ")
    assert key_from_environment("SOME_KEY") == "sk-1"
    monkeypatch.setenv("SOME_KEY", "sk-\u00fc")
    assert key_from_environment("SOME_KEY") is None
    assert "SOME_KEY has characters that no HTTP header can carry" in caplog.text
    assert "sk-" not in caplog.text


@bounded
async def test_options_of_mitmproxy_are_set_unless_the_user_has_set_them() -> None:
    master = DumpMaster(Options(), with_termlog=False, with_dumper=False)
    master.addons.remove(master.addons.get("errorcheck"))
    master.options.update(http2=True)  # mitmproxy's own default, but set
    master.addons.add(Config())
    assert master.options.http2 is True
    assert master.options.upstream_cert is False
    assert master.options.connection_strategy == "lazy"


@bounded
async def test_flows_are_printed_for_users_who_ask_for_them() -> None:
    for options, printed_filter in [
        ({}, QUIET_MITMDUMP["dumper_filter"]),
        ({"flow_detail": 2}, None),
        ({"dumper_filter": "~u x"}, "~u x"),
    ]:
        master = DumpMaster(Options(), with_termlog=False)
        master.addons.remove(master.addons.get("errorcheck"))
        master.options.update(**options)
        master.addons.add(Config())
        assert master.options.dumper_filter == printed_filter


@pytest.mark.parametrize(
    ("route", "error", "is_printed"),
    [
        ("pass", None, False),
        ("pass", Error("connection refused"), True),
        ("relay", Error("connection refused"), False),  # its line in the log has it
        ("dashboard", Error("Client disconnected."), False),
        (None, Error("connection refused"), True),  # a tunnel
    ],
)
def test_flows_that_only_pass_are_printed_if_they_fail(
    route: str | None, error: Error | None, is_printed: bool
) -> None:
    flow = tflow.tflow()
    flow.error = error
    flow.metadata |= {"relay.client": "a"} | ({"relay.route": route} if route else {})
    assert bool(flowfilter.match(QUIET_MITMDUMP["dumper_filter"], flow)) is is_printed


@bounded
async def test_additional_port_opens_and_closes() -> None:
    first, second = available_port(0), available_port(0)
    async with proxy(Config(), Ingress(), relay_port=str(first)) as (master, port):
        server = master.addons.get("proxyserver")
        await wait_until(lambda: ("127.0.0.1", first) in server.listen_addrs())
        master.options.update(relay_port=str(port))  # mitmproxy listens there already
        await wait_until(lambda: ("127.0.0.1", first) not in server.listen_addrs())
        assert master.options.mode == ["regular"]
        master.options.update(relay_port=str(second))
        await wait_until(lambda: ("127.0.0.1", second) in server.listen_addrs())
        master.options.update(relay_port=None)
        await wait_until(lambda: ("127.0.0.1", second) not in server.listen_addrs())


@bounded
async def test_streaming_of_requests_is_refused() -> None:
    async with proxy(Config()) as (master, _):
        with pytest.raises(exceptions.CommandError, match="stream_large_bodies"):
            master.commands.execute("set stream_large_bodies 1k")


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


# The real mitmdump


def mitmdump(
    folder: Path, *arguments: str, yaml: str = "", root: Path = ROOT, **environment: str
) -> subprocess.Popen[str]:
    (folder / "config.yaml").write_text(yaml)
    command = [MITMDUMP, "-s", root / "addons" / "relay.py", "--set", f"confdir={folder}"]
    return subprocess.Popen(
        [
            *command,
            "--listen-host",
            "127.0.0.1",
            "--listen-port",
            str(available_port(0)),
            *arguments,
        ],
        env={"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "HOME": str(folder)} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "yaml", "line"),
    [
        (["--set", "relay_port=abc"], {}, "", "relay_port is 'abc': should be a valid integer"),
        (["--set", "stream_large_bodies=1k"], {}, "", "stream_large_bodies is set: the relay"),
        (["--set", "relay_prot=1"], {}, "", "relay_prot is unknown: did you mean relay_port?"),
        ([], {"CODEX_RELAY_UPSTREAM": "x"}, "", "CODEX_RELAY_UPSTREAM is 'x': not an http"),
        (
            [],
            {"CODEX_RELAY_UPSTRAEM": "https://api.example.com/v1"},
            "",
            "CODEX_RELAY_UPSTRAEM is unknown: did you mean CODEX_RELAY_UPSTREAM?",
        ),
        (["--set", "relay_provider=azure"], {}, "", "relay_upstream must say where it is"),
        (
            [],
            {},
            "relay_retries: [1, 2]",
            "relay_retries is '1,2': says the further attempts twice",
        ),
        (
            ["--set", "relay_api_key=hush", "--set", "relay_api_key=hush"],
            {},
            "",
            "relay_api_key is set 2 times: set it once",
        ),
    ],
)
def test_wrong_setting_ends_the_start_with_one_line(
    arguments: list[str], environment: dict[str, str], yaml: str, line: str, tmp_path: Path
) -> None:
    with mitmdump(tmp_path, *arguments, yaml=yaml, **environment) as running:
        output, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "Traceback" not in output
    assert "hush" not in output
    lines = output.splitlines()
    [fault] = [text for text in lines if re.search("relay_|stream_large", text, re.I)]
    assert line in fault


def test_port_in_use_ends_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with mitmdump(tmp_path, CODEX_RELAY_PORT=port) as running:
            output, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: " in output and f"(pid {os.getpid()})" in output


def test_yaml_values_may_be_numbers_booleans_and_lists(tmp_path: Path) -> None:
    port = available_port(0)
    yaml = f"relay_port: {port}\nrelay_isolate: false\nrelay_hosts: [a.lan, b.lan]\n"
    with mitmdump(tmp_path, yaml=yaml) as running:
        assert running.stdout
        try:
            while f"also         http://127.0.0.1:{port}" not in running.stdout.readline():
                assert running.poll() is None
            request = urllib.request.Request(f"http://127.0.0.1:{port}/health")
            request.add_header("host", "b.lan")
            with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - ours
                assert reply.status == 200
        finally:
            running.terminate()
