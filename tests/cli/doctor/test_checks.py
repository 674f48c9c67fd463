"""The doctor finds planted faults, real ones, and names the cure."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from mitmproxy.certs import CertStore, create_ca

from addons.config import ConfigFile, read_settings, use_settings
from addons.launch import RelayProcess, available_port, start
from addons.relay_health import read_health
from addons.routing import forget_model_lists
from scripts.cli.doctor.checks import CHECKS, examine
from scripts.cli.doctor.context import DoctorContext, find_context
from scripts.cli.doctor.finding import DoctorFinding, Health
from scripts.cli.running_relay import RunningRelay, StartedRelay, find_running_relay
from tests.cli.probe.measured_provider import MeasuredProvider

ROOT = Path(__file__).parents[3]
KEY = "provider-key-0001"


@dataclass
class Setup:
    """A healthy machine: a home with a certificate authority and a Codex, and a provider."""

    home: Path
    provider: MeasuredProvider
    patch: pytest.MonkeyPatch
    relay: RelayProcess
    sees_relay: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    server: HTTPServer | None = None
    taken: socket.socket | None = None

    @property
    def ca_file(self) -> Path:
        return self.home / ".mitmproxy" / "mitmproxy-ca-cert.pem"

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def write_config(self, text: str) -> None:
        path = self.home / ".codex" / "config.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def install_codex(self, version: str) -> None:
        path = self.home / "bin" / "codex"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho codex-cli {version}\n")
        path.chmod(0o755)

    def show_relay(self) -> int:
        """The port of the relay, which the doctor sees from now on. Its upstream is the provider,
        and its authority that of this home."""
        self.sees_relay = True
        return self.relay.port

    def start_server(self) -> int:
        """The port of a server that claims to be a relay of an old version."""
        self.server = HTTPServer(("127.0.0.1", 0), OldRelay)
        Thread(target=self.server.serve_forever, args=(0.02,)).start()
        return self.server.server_port

    def context(self, is_offline: bool = True) -> DoctorContext:
        """What the doctor sees; other relays of this machine are left out."""
        found = find_context(is_offline=is_offline)
        relay = find_running_relay(self.relay.port) if self.sees_relay else None
        return replace(found, relay=relay)

    def close(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)
        if self.server:
            self.server.shutdown()
            self.server.server_close()
        if self.taken:
            self.taken.close()


class OldRelay(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        body = json.dumps({"status": "ok", "version": "0.1.0", "uptime": 9.0}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def measured_provider() -> Iterator[MeasuredProvider]:
    provider = MeasuredProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def relay(
    measured_provider: MeasuredProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RelayProcess]:
    home = tmp_path_factory.mktemp("home")
    settings = {"upstream": measured_provider.url, "api_key": KEY}
    with start(
        log=home / "log", environment={**os.environ, "HOME": str(home)}, **settings
    ) as relay:
        yield relay


@pytest.fixture
def setup(
    tmp_path: Path,
    measured_provider: MeasuredProvider,
    relay: RelayProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Setup]:
    forget_model_lists()
    measured_provider.reset()
    measured_provider.use_rules("generic")
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "CODEX_HOME")
    for name in (*names, *map(str.lower, names), "CODEX_CA_CERTIFICATE"):
        monkeypatch.delenv(name, raising=False)
    for name in (name for name in os.environ if name.startswith(("XDG_", "CODEX_RELAY_"))):
        monkeypatch.delenv(name)
    setup = Setup(tmp_path, measured_provider, monkeypatch, relay)
    setup.set(
        HOME=str(tmp_path),
        PATH=f"{tmp_path}/bin:/usr/bin:/bin",
        CODEX_RELAY_UPSTREAM=measured_provider.url,
        CODEX_RELAY_API_KEY=KEY,
    )
    shutil.copytree(relay.log.parent / ".mitmproxy", tmp_path / ".mitmproxy")
    setup.install_codex("0.169.0")
    yield setup
    setup.close()
    use_settings(read_settings({}, {}), ConfigFile.empty())


def look_at(name: str, context: DoctorContext) -> DoctorFinding:
    finding = CHECKS[name](context)
    assert finding and finding.name == name
    return finding


def take_port(setup: Setup) -> None:
    setup.taken = socket.socket()
    setup.taken.bind(("127.0.0.1", 0))
    setup.set(CODEX_RELAY_PORT=str(setup.taken.getsockname()[1]))


def name_dead_proxy(setup: Setup) -> None:
    setup.set(HTTPS_PROXY=f"http://127.0.0.1:{available_port(0)}")


def cover_loopback(setup: Setup) -> None:
    setup.set(HTTP_PROXY="http://proxy.example:3128")
    setup.write_config('model_provider = "relay"\n[model_providers.relay]\nname = "relay"\n')
    with (setup.home / ".codex" / "config.toml").open("a") as file:
        file.write('base_url = "http://127.0.0.1:8080/v1"\n')


def bypass_relay(setup: Setup) -> None:
    port = setup.show_relay()
    setup.set(HTTPS_PROXY=f"http://127.0.0.1:{port}", NO_PROXY=".chatgpt.com")


def forget_authority(setup: Setup) -> None:
    setup.set(HTTPS_PROXY=f"http://127.0.0.1:{setup.show_relay()}")


def trust_another_authority(setup: Setup) -> None:
    other = setup.home / "other"
    CertStore.create_store(other, "other", 2048)
    setup.set(CODEX_CA_CERTIFICATE=str(other / "other-ca-cert.pem"))
    setup.set(HTTPS_PROXY=f"http://127.0.0.1:{setup.show_relay()}")


def remove_authority(setup: Setup) -> None:
    setup.show_relay()
    setup.ca_file.unlink()


def replace_authority(setup: Setup) -> None:
    setup.show_relay()
    for file in setup.ca_file.parent.iterdir():
        file.unlink()
    CertStore.create_store(setup.ca_file.parent, "mitmproxy", 2048)


def let_authority_expire(setup: Setup) -> None:
    key, certificate = create_ca("mitmproxy", "mitmproxy", 2048)
    builder = x509.CertificateBuilder(
        certificate.issuer,
        certificate.subject,
        certificate.public_key(),
        certificate.serial_number,
        datetime.now(UTC) - timedelta(days=20),
        datetime.now(UTC) - timedelta(days=10),
    )
    setup.ca_file.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))


def leave_daemon_behind(setup: Setup) -> None:
    program = setup.home / "codex"
    program.write_text("import time; time.sleep(60)\n")
    environment = {**os.environ, "HTTPS_PROXY": "http://relay:client-key@127.0.0.1:9999"}
    command = [sys.executable, str(program), "app-server", "--listen", "unix://"]
    setup.process = subprocess.Popen(command, env=environment)


def run_daemon_in_another_home(setup: Setup) -> None:
    leave_daemon_behind(setup)
    setup.set(HOME=str(setup.home / "other"))


def refuse_key(setup: Setup) -> None:
    setup.provider.key = "another-key"


def shorten_url(setup: Setup) -> None:
    setup.set(CODEX_RELAY_UPSTREAM=setup.provider.url.removesuffix("/v1"))


def take_upstream_down(setup: Setup) -> None:
    setup.set(CODEX_RELAY_UPSTREAM=f"http://127.0.0.1:{available_port(0)}/v1")


def connect_relay_to_itself(setup: Setup) -> None:
    setup.set(CODEX_RELAY_UPSTREAM=f"http://127.0.0.1:{setup.show_relay()}/v1")


def misspell_key_of_file(setup: Setup) -> None:
    path = setup.home / ".config" / "mitmcodex" / "relay.toml"
    path.parent.mkdir(parents=True)
    path.write_text('modle = "model-one"\n')


def other_url(name: str, url: str, **fields: str) -> str:
    lines = [f'model_provider = "{name}"', f"[model_providers.{name}]", f'name = "{name}"']
    return "\n".join([*lines, f'base_url = "{url}"', *(f'{k} = "{v}"' for k, v in fields.items())])


def write_config(text: str) -> Callable[[Setup], None]:
    return lambda setup: setup.write_config(text)


def point_at_dead_port(setup: Setup) -> None:
    setup.show_relay()
    setup.write_config(other_url("relay", f"http://127.0.0.1:{available_port(0)}/v1"))


def set_variable(**variables: str) -> Callable[[Setup], None]:
    return lambda setup: setup.set(**variables)


@dataclass(frozen=True)
class Fault:
    plant: Callable[[Setup], None]
    check: str
    words: str  # of what is wrong
    cure: str
    status: Health = Health.FAIL
    is_offline: bool = True


FAULTS = {
    "a taken port": Fault(take_port, "ports", "is taken by", "end that program"),
    "a dead proxy": Fault(
        name_dead_proxy, "HTTPS_PROXY", "where nothing listens", "unset HTTPS_PROXY"
    ),
    "a proxy for loopback": Fault(
        cover_loopback, "HTTP_PROXY", "also for http://127.0.0.1", "NO_PROXY=127.0.0.1"
    ),
    "a bypassed relay": Fault(
        bypass_relay, "HTTPS_PROXY", "NO_PROXY has .chatgpt.com", "out of NO_PROXY"
    ),
    "an authority that Codex does not know": Fault(
        forget_authority, "CODEX_CA_CERTIFICATE", "does not trust it", "set CODEX_CA_CERTIFICATE="
    ),
    "another authority in the environment": Fault(
        trust_another_authority,
        "CODEX_CA_CERTIFICATE",
        "lacks the relay's authority",
        "set CODEX_CA_CERTIFICATE=",
    ),
    "a missing authority": Fault(
        remove_authority, "certificate authority", "there is no", "http://mitm.it/cert/pem"
    ),
    "a replaced authority": Fault(
        replace_authority, "interception", "signs with another authority", "restart the relay"
    ),
    "an expired authority": Fault(
        let_authority_expire, "certificate authority", "expired on", "remove"
    ),
    "a stale background process": Fault(
        leave_daemon_behind,
        "Codex's background process",
        "HTTPS_PROXY=http://(hidden)@127.0.0.1:9999, and this shell has (none)",
        "codex app-server daemon stop",
        Health.WARN,
    ),
    "the background process of another home": Fault(
        run_daemon_in_another_home, "Codex's background process", "none runs", "", Health.PASS
    ),
    "no Codex": Fault(
        set_variable(PATH="/nowhere"),
        "Codex",
        "not installed",
        "npm install -g @openai/codex",
        Health.WARN,
    ),
    "an old Codex": Fault(
        lambda setup: setup.install_codex("0.98.0"),
        "Codex",
        "0.98.0 is older than",
        "npm install -g @openai/codex",
        Health.WARN,
    ),
    "a broken config.toml": Fault(
        write_config("model = \n"), "config.toml", "line 1", "mend the line"
    ),
    "a foreign provider of Codex": Fault(
        write_config(other_url("other", "https://api.example.com/v1")),
        "config.toml",
        "https://api.example.com/v1, past the relay",
        "mitmcodex config write",
        Health.WARN,
    ),
    "a base URL with another port": Fault(
        point_at_dead_port, "config.toml", "and the relay is on port", "mitmcodex config write"
    ),
    "a base URL that is none": Fault(
        write_config(other_url("relay", "http://me:secret@127.0.0.1:99999/v1")),
        "config.toml",
        "leads to http://(hidden)@127.0.0.1:99999/v1, which is no URL",
        "mitmcodex config write",
    ),
    "an own base URL elsewhere": Fault(
        write_config('openai_base_url = "https://api.example.com/v1"'),
        "config.toml",
        "openai_base_url leads to https://api.example.com/v1",
        "mitmcodex config write",
        Health.WARN,
    ),
    "a profile that overrides": Fault(
        write_config('profile = "work"\n[profiles.work]\nmodel_provider = "ollama"\n'),
        "config.toml",
        "model_provider of profile 'work' is 'ollama'",
        "mitmcodex config write",
        Health.WARN,
    ),
    "a provider without a table": Fault(
        write_config('model_provider = "relay"'), "config.toml", "no table", "config write"
    ),
    "Chat in config.toml": Fault(
        write_config(other_url("relay", "http://127.0.0.1:8080/v1", wire_api="chat")),
        "config.toml",
        'wire_api = "chat"',
        'wire_api = "responses"',
    ),
    "a misspelt variable": Fault(
        set_variable(CODEX_RELAY_UPSTRAEM="http://127.0.0.1:1/v1"),
        "settings",
        "CODEX_RELAY_UPSTRAEM is unknown: did you mean CODEX_RELAY_UPSTREAM?",
        "correct it",
    ),
    "a typo in relay.toml": Fault(
        misspell_key_of_file, "settings", "relay.toml:1: modle is unknown", "correct it"
    ),
    "a refused key": Fault(
        refuse_key, "key", "the key was refused (401)", "CODEX_RELAY_API_KEY", is_offline=False
    ),
    "a missing key": Fault(
        set_variable(
            CODEX_RELAY_UPSTREAM="https://api.deepseek.com/v1",
            CODEX_RELAY_API_KEY="",
            DEEPSEEK_API_KEY="",
        ),
        "key",
        "none is set",
        "set DEEPSEEK_API_KEY",
    ),
    "a URL without /v1": Fault(
        shorten_url, "provider", "no /v1 in the URL", "did you mean http://", is_offline=False
    ),
    "an upstream that is down": Fault(
        take_upstream_down,
        "provider",
        "nothing listens at http://127.0.0.1:",
        "is the server running?",
        is_offline=False,
    ),
    "no list of models, and a model that is set": Fault(
        lambda setup: setup.set(
            CODEX_RELAY_UPSTREAM=f"{setup.provider.url}/api", CODEX_RELAY_MODEL="model-one"
        ),
        "provider",
        "there is no list of models",
        "check the URL",
        Health.WARN,
        is_offline=False,
    ),
    "a relay before itself": Fault(
        connect_relay_to_itself, "provider", "is this relay itself", "on another port"
    ),
    "an unknown model": Fault(
        set_variable(CODEX_RELAY_MODEL="model-onne"),
        "model",
        "does not list 'model-onne'",
        "did you mean model-one?",
        is_offline=False,
    ),
    "a model of Codex's that nobody has": Fault(
        write_config('model = "gpt-old"'),
        "model",
        "asks for 'gpt-old'",
        "set `model` in relay.toml",
        Health.WARN,
        is_offline=False,
    ),
    "no provider": Fault(
        set_variable(CODEX_RELAY_UPSTREAM=""),
        "provider",
        "the demonstration answers",
        "mitmcodex setup",
        Health.WARN,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_found_with_its_cure(name: str, setup: Setup) -> None:
    fault = FAULTS[name]
    fault.plant(setup)
    finding = look_at(fault.check, setup.context(fault.is_offline))
    assert finding.status is fault.status, finding
    assert fault.words in finding.text
    assert fault.cure in finding.next_step


def test_healthy_setup_fails_nowhere(setup: Setup) -> None:
    """In process, and with a real `mitmcodex doctor` of the same set-up in a pipe."""
    port = setup.show_relay()
    setup.set(HTTPS_PROXY=f"http://127.0.0.1:{port}", CODEX_CA_CERTIFICATE=str(setup.ca_file))
    setup.write_config(
        other_url("relay", f"http://127.0.0.1:{port}/v1") + '\nwire_api = "responses"'
    )
    names: list[str] = []
    findings = list(examine(setup.context(is_offline=False), names.append))
    faults = [each for each in findings if each.status is not Health.PASS]
    assert not [each for each in faults if each.name in CHECKS], faults
    assert not [each for each in faults if each.status is Health.FAIL], faults
    live = {each.name for each in findings} - CHECKS.keys()
    assert {"streaming", "tool call", "parallel calls", "reasoning", "image"} <= live
    assert {"relay", "interception", "key", "model"} <= {each.name for each in findings}
    assert names[: len(CHECKS)] == list(CHECKS)
    result = run_doctor(setup, "--json", "--port", str(port))
    assert result.returncode == 0, result.stdout + result.stderr
    document = json.loads(result.stdout)
    assert document["ok"] is True
    assert {"name", "status", "text", "next_step"} == set(document["findings"][0])


def test_failing_doctor_names_the_cures_and_exits_with_1(setup: Setup) -> None:
    name_dead_proxy(setup)
    setup.set(NO_COLOR="1")
    result = run_doctor(setup, "--offline")
    assert result.returncode == 1
    assert "\nfail  HTTPS_PROXY " in result.stdout and "→ unset HTTPS_PROXY" in result.stdout
    assert re.search(r"\n1 of \d\d checks fail\.\n$", result.stdout) and "\x1b" not in result.stdout
    assert KEY not in result.stdout + result.stderr


def run_doctor(setup: Setup, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "scripts.cli", "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=ROOT,
    )


@pytest.mark.parametrize(
    ("name", "rules", "character", "cure"),
    [
        ("streaming", {"refused": {"stream"}}, {}, "probe"),
        ("tool call", {}, {"calls_at_once": 0}, "choose a model that can call tools"),
        ("image", {}, {"sees": False}, "pictures"),
    ],
)
def test_live_request_shows_what_is_missing(
    name: str, rules: dict[str, Any], character: dict[str, Any], cure: str, setup: Setup
) -> None:
    provider = setup.provider
    provider.use_rules("generic", **rules)
    provider.character = replace(provider.character, **character)
    findings = {each.name: each for each in examine(setup.context(is_offline=False), print)}
    assert findings[name].status is (Health.WARN if name == "image" else Health.FAIL)
    assert cure in findings[name].next_step


def test_old_relay_is_found(setup: Setup) -> None:
    relay = find_running_relay(setup.start_server())
    finding = look_at("relay", replace(setup.context(), relay=relay))
    assert finding.status is Health.WARN and "version 0.1.0 runs" in finding.text
    assert "mitmcodex down" in finding.next_step


def test_changed_settings_are_found(setup: Setup) -> None:
    port = setup.show_relay()
    started = StartedRelay(setup.relay.pid, port, "mitmdump", "mark")
    relay = RunningRelay(port, read_health(port) or {}, started)
    finding = look_at("relay settings", replace(setup.context(), relay=relay))
    assert finding.status is Health.WARN and finding.text.endswith("api_key, upstream")


def test_check_that_breaks_does_not_hide_the_others(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CHECKS, "mitmproxy", lambda context: 1 // 0)  # type: ignore[return-value, arg-type]  # it breaks
    findings = {each.name: each for each in examine(setup.context(), lambda _: None)}
    assert findings["mitmproxy"].status is Health.WARN
    assert "ZeroDivisionError" in findings["mitmproxy"].text and "settings" in findings
