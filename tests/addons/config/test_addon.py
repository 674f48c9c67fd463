import asyncio
import logging
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from mitmproxy import exceptions
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from addons.config import addon as config
from addons.config.addon import Config
from addons.config.config_file import Wrong
from addons.config.given import read
from addons.config.settings import FIELDS, OPTIONS, SECRETS, VARIABLES, Settings
from addons.ingress.listeners import Listeners
from addons.launch import bindable
from tests.addons.proxy import bounded, proxy

MITMDUMP = Path(sys.executable).with_name("mitmdump")
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CODEX_RELAY_")]:
        monkeypatch.delenv(name)


# The values


def test_nothing_set_is_the_defaults() -> None:
    assert (
        read({}, {}) == read(dict.fromkeys(OPTIONS), {"HOME": "/"}) == Settings.model_validate({})
    )


VALUES: list[tuple[str, str, object]] = [
    ("upstream", "https://api.deepseek.com/v1/", "https://api.deepseek.com/v1"),
    ("upstream", " http://[::1]:8000/v1 ", "http://[::1]:8000/v1"),
    ("upstream", "https://h/v1/chat/completions", "https://h/v1"),
    ("provider", "deepseek", "deepseek"),
    ("model", "deepseek-chat", "deepseek-chat"),
    (
        "model_map",
        "gpt-5.5:qwen3:32b, gpt-6*:r1,",
        (("gpt-5.5", ("qwen3:32b",)), ("gpt-6*", ("r1",))),
    ),
    ("port", "4444", 4444),
    ("isolate", "off", False),
    ("isolate", "On", True),
    ("hosts", "Relay.lan, 192.168.1.5,fe80::1", ("relay.lan", "192.168.1.5", "fe80::1")),
    ("quirks_off", "dsml_calls, tagged_calls", ("dsml_calls", "tagged_calls")),
    ("model_map", "a:b | c/d", (("a", ("b", "c/d")),)),
    (
        "role_map",
        "subagent:m,compaction:kimi/k",
        (("subagent", ("m",)), ("compaction", ("kimi/k",))),
    ),
    ("ports", "deepseek, kimi,ollama:4460", (("deepseek", 4446), ("kimi", 4447), ("ollama", 4460))),
    ("tools_off", "view_image, mcp__x.*", ("view_image", "mcp__x.*")),
    ("heartbeat", "0.5", 0.5),
    ("timeout", "10", 10.0),
    ("retries", "0", 0),
    ("retry_budget", "1", 1.0),
    ("models_ttl", "0", 0.0),
    ("store", "Off", "off"),
    ("store", "redis://:secret@[::1]:6379/0", "redis://:secret@[::1]:6379/0"),
    ("store", "unix:///run/redis.sock", "unix:///run/redis.sock"),
    ("store", "sqlite:///var/kept.db", "/var/kept.db"),
    ("store", "sqlite:////var/kept.db", "/var/kept.db"),
    ("store", "sqlite:///C:/kept.db", "C:/kept.db"),
    ("store", "~/kept.db", "~/kept.db"),
    ("store_days", "0.5", 0.5),
    ("store_megabytes", "10", 10.0),
]


@pytest.mark.parametrize(("field", "text", "value"), VALUES)
def test_option_and_variable_alike(field: str, text: str, value: object) -> None:
    for settings in (
        read({f"relay_{field}": text}, {}),
        read({}, {f"CODEX_RELAY_{field.upper()}": text}),
        read({f"relay_{field}": text}, {f"CODEX_RELAY_{field.upper()}": "nonsense, unread"}),
    ):
        assert getattr(settings, field) == value


def test_secrets_do_not_show() -> None:
    settings = read({"relay_api_key": "sk-hush"}, {"CODEX_RELAY_CLIENT_KEY": "hush1, hush2"})
    assert settings.api_key.get_secret_value() == "sk-hush"
    assert [key.secret.get_secret_value() for key in settings.client_key] == ["hush1", "hush2"]
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump_json()}"
    assert "hush" not in repr(read({"relay_store": "redis://:hush@h"}, {}))
    with pytest.raises(Wrong, match=r"redis://\(hidden\)@h:x") as wrong:
        read({"relay_store": "redis://:hush@h:x"}, {})
    assert "hush" not in str(wrong.value)


def test_an_empty_option_is_the_default_and_beats_the_variable() -> None:
    environment = {"CODEX_RELAY_UPSTREAM": "https://h/v1", "CODEX_RELAY_PORT": ""}
    assert read({"relay_upstream": ""}, environment) == Settings.model_validate({})


WRONG = [
    ("upstream", "api.deepseek.com", "not an http(s) URL"),
    ("upstream", "ftp://h", "not an http(s) URL"),
    ("upstream", "http://", "not an http(s) URL"),
    ("upstream", "http://a b", "not an http(s) URL"),
    ("upstream", "http://h:x", "Port could not be cast"),
    ("upstream", "https://h/v1?key=1", "has a query"),
    ("provider", "deepsek", "known: azure"),
    ("model_map", "a", "not a list of name:value pairs"),
    ("model_map", "a:b,:c", "not a list of name:value pairs"),
    ("role_map", "subagents:m", "should be 'subagent', 'compaction', 'review' or 'title'"),
    ("ports", "ollama", "say ollama:4460"),
    ("ports", "nobody", "unknown provider; known: azure"),
    ("ports", "deepseek,kimi:4446", "two providers on one port"),
    ("ports", "ollama:x", "'x' is no port"),
    ("port", "abc", "valid integer"),
    ("port", "70000", "less than or equal to 65535"),
    ("isolate", "maybe", "valid boolean"),
    ("hosts", "http://h", "no host name"),
    ("hosts", "h:80", "no host name"),
    ("heartbeat", "-1", "greater than or equal to 0"),
    ("heartbeat", "inf", "less than or equal"),
    ("heartbeat", "nan", "equal to"),
    ("timeout", "0", "greater than 0"),
    ("store", "postgres://h/db", "neither a file"),
    ("store", "redis://", "names no host"),
    ("store", "redis://h:x", "Port could not be cast"),
    ("store", "/var/", "neither a file"),
    ("store_days", "0", "greater than 0"),
    ("store_megabytes", "inf", "less than or equal"),
    ("retries", "1.5", "valid integer"),
]


@pytest.mark.parametrize(("field", "text", "why"), WRONG)
def test_a_wrong_value_is_named_with_its_cure(field: str, text: str, why: str) -> None:
    for name, options, environment in (
        (f"relay_{field}", {f"relay_{field}": text}, {}),
        (f"CODEX_RELAY_{field.upper()}", {}, {f"CODEX_RELAY_{field.upper()}": text}),
    ):
        with pytest.raises(Wrong) as caught:
            read(options, environment)
        [line] = caught.value.args
        assert line.startswith(f"{name} is {text!r}: ")
        assert why in line
        assert f"; for example {name}=" in line
        assert "\n" not in line


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("api_key", "sk-hush\u00e4"),
        ("api_key", "sk-hush hush"),
        ("client_key", "ok,sk-hush hush"),
        ("client_key", " , "),
        ("upstream", "https://user:sk-hush@h/v1"),
    ],
)
def test_a_wrong_secret_is_not_told(field: str, text: str) -> None:
    with pytest.raises(Wrong) as caught:
        read({f"relay_{field}": text}, {})
    [line] = caught.value.args
    assert "hush" not in line
    assert "(hidden)" in line


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_described_and_its_example_holds(name: str) -> None:
    field = FIELDS[name]
    assert field.description
    assert field.examples
    if name not in SECRETS:
        assert read({f"relay_{name}": field.examples[0]}, {})


def test_the_tables_of_names() -> None:
    assert OPTIONS["relay_model_map"] == VARIABLES["CODEX_RELAY_MODEL_MAP"] == "model_map"
    assert set(OPTIONS.values()) == set(VARIABLES.values()) == set(FIELDS)


# In mitmproxy


@bounded
async def test_options_take_effect_and_wrong_ones_leave_the_old() -> None:
    async with proxy(Config(), relay_timeout="7") as (master, _):
        assert config.settings().timeout == 7
        with pytest.raises(exceptions.OptionsError, match="relay_timeout is 'soon'"):
            master.options.update(relay_timeout="soon")
        assert config.settings().timeout == 7
        assert master.options.relay_timeout == "7"
        master.options.update(relay_timeout=None)
        assert config.settings().timeout == 300


@bounded
async def test_the_set_command_refuses_as_well() -> None:
    async with proxy(Config()) as (master, _):
        master.commands.execute("set relay_model_map a:b")
        assert config.settings().model_map == (("a", ("b",)),)
        with pytest.raises(exceptions.CommandError, match="relay_port is 'x'"):
            master.commands.execute("set relay_port x")
        assert config.settings().port is None


@bounded
async def test_an_unknown_variable_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CODEX_RELAY_UPSTRAEM", "x")
    async with proxy(Config()):
        [record] = [r for r in caplog.records if "CODEX_RELAY" in r.message]
    assert record.levelno == logging.WARNING
    assert record.message == "CODEX_RELAY_UPSTRAEM is unknown: did you mean CODEX_RELAY_UPSTREAM?"


@bounded
async def test_mitmproxys_own_options_are_set_unless_chosen() -> None:
    master = DumpMaster(Options(), with_termlog=False, with_dumper=False)
    master.addons.remove(master.addons.get("errorcheck"))
    master.options.update(http2=True)  # mitmproxy's own default, but chosen
    master.addons.add(Config())
    assert master.options.http2 is True
    assert master.options.upstream_cert is False
    assert master.options.connection_strategy == "lazy"


@bounded
async def test_one_more_port() -> None:
    first, second = bindable(0), bindable(0)
    async with proxy(Config(), Listeners(), relay_port=str(first)) as (master, port):
        server = master.addons.get("proxyserver")
        await until(lambda: ("127.0.0.1", first) in server.listen_addrs())
        master.options.update(relay_port=str(port))  # mitmproxy listens there already
        await until(lambda: ("127.0.0.1", first) not in server.listen_addrs())
        assert master.options.mode == ["regular"]
        master.options.update(relay_port=str(second))
        await until(lambda: ("127.0.0.1", second) in server.listen_addrs())
        master.options.update(relay_port=None)
        await until(lambda: ("127.0.0.1", second) not in server.listen_addrs())


@bounded
async def test_requests_cannot_be_streamed_past_us() -> None:
    async with proxy(Config()) as (master, _):
        with pytest.raises(exceptions.CommandError, match="stream_large_bodies"):
            master.commands.execute("set stream_large_bodies 1k")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["azure", "generic"])
def test_provider_without_a_place_of_its_own_needs_an_upstream(name: str) -> None:
    with pytest.raises(Wrong, match="relay_upstream must say where it is"):
        read({"relay_provider": name}, {})
    upstream = {"CODEX_RELAY_UPSTREAM": "https://mine.openai.azure.com/openai/v1"}
    assert read({"relay_provider": name}, upstream).provider == name
    with pytest.raises(Wrong) as wrong:  # one fault, told once
        read({"relay_provider": name, "relay_upstream": "nowhere"}, {})
    assert len(wrong.value.args) == 1
    assert read({"relay_provider": "demo"}, {}).provider == "demo"


# The real mitmdump


def mitmdump(
    folder: Path, *arguments: str, yaml: str = "", root: Path = ROOT, **environment: str
) -> subprocess.Popen[str]:
    (folder / "config.yaml").write_text(yaml)
    command = [MITMDUMP, "-s", root / "addons" / "relay.py", "--set", f"confdir={folder}"]
    return subprocess.Popen(
        [*command, "--listen-host", "127.0.0.1", "--listen-port", str(bindable(0)), *arguments],
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
        (["--set", "relay_provider=azure"], {}, "", "relay_upstream must say where it is"),
        ([], {}, "relay_retries: [1, 2]", "relay_retries is '1,2': should be a valid integer"),
        (
            ["--set", "relay_api_key=hush", "--set", "relay_api_key=hush"],
            {},
            "",
            "relay_api_key is set 2 times: set it once",
        ),
    ],
)
def test_a_wrong_start_ends_with_one_line(
    arguments: list[str], environment: dict[str, str], yaml: str, line: str, tmp_path: Path
) -> None:
    with mitmdump(tmp_path, *arguments, yaml=yaml, **environment) as running:
        output, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "Traceback" not in output
    assert "hush" not in output
    [told] = [one for one in output.splitlines() if re.search("relay_|stream_large", one, re.I)]
    assert line in told


def test_a_port_in_use_ends_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with mitmdump(tmp_path, CODEX_RELAY_PORT=port) as running:
            output, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in output


def test_yaml_may_have_numbers_and_booleans(tmp_path: Path) -> None:
    port = bindable(0)
    yaml = f"relay_port: {port}\nrelay_isolate: false\nrelay_hosts: [a.lan, b.lan]\n"
    with mitmdump(tmp_path, yaml=yaml) as running:
        assert running.stdout
        try:
            while f"listening at 127.0.0.1:{port}" not in running.stdout.readline():
                assert running.poll() is None
            request = urllib.request.Request(f"http://127.0.0.1:{port}/health")
            request.add_header("host", "b.lan")
            with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - ours
                assert reply.status == 200
        finally:
            running.terminate()
