"""The real Codex and the real relay as processes, with folders of their own, a clean environment,
time limits, and no connection to any host but loopback."""

import base64
import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import codex_cli_bin

from addons.launch import start

ROOT = Path(__file__).parents[2]
CODEX = codex_cli_bin.bundled_codex_path()

# Invented. The fake provider refuses requests with either of them.
API_KEY = "sk-proj-invented-0001"
ACCOUNT = "00000000-0000-4000-8000-000000000001"


class Mode(StrEnum):
    """How Codex reaches the relay."""

    PROXY_KEY = "proxy-key"  # HTTPS_PROXY, logged in with an API key
    PROXY_CHATGPT = "proxy-chatgpt"  # HTTPS_PROXY, logged in with a ChatGPT account
    PROVIDER = "provider"  # a model provider of its own in config.toml
    BASE_URL = "base-url"  # openai_base_url in config.toml

    @property
    def by_proxy(self) -> bool:
        return self in (Mode.PROXY_KEY, Mode.PROXY_CHATGPT)


class Relay:
    """The relay as addons/launch.py starts it, on a free port. The constructor waits for it."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / "mitmproxy-ca-cert.pem"
        self._process = start(
            log=folder / "relay.log",
            arguments=["--set", f"confdir={folder}", *options],
            environment=base_environment(folder),
            **settings,
        )
        self.port = self._process.port
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._process.log.read_text()

    def stop(self) -> None:
        self._process.stop()


@dataclass(frozen=True)
class CodexRun:
    """The result of one `codex exec`."""

    exit_code: int
    events: list[dict[str, Any]]
    elapsed: float
    stderr: str
    work: Path = field(repr=False)

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The finished items of a kind: agent_message, command_execution, file_change …"""
        done = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return [item for item in done if item["type"] == kind]

    @property
    def text(self) -> str:
        """The last message of the agent."""
        messages = self.items("agent_message")
        return str(messages[-1]["text"]) if messages else ""

    @property
    def error_messages(self) -> list[str]:
        """The messages of all errors, fatal or not."""
        errors = [event for event in self.events if event["type"] == "error"]
        errors += [event["error"] for event in self.events if event["type"] == "turn.failed"]
        return [str(error["message"]) for error in errors + self.items("error")]

    @property
    def thread_id(self) -> str:
        return str(next(e["thread_id"] for e in self.events if e["type"] == "thread.started"))

    @property
    def usage(self) -> dict[str, int]:
        usage: dict[str, int] = next(
            event["usage"] for event in self.events if event["type"] == "turn.completed"
        )
        return usage

    @property
    def files(self) -> dict[str, str]:
        """Every file of the working folder, by its path in it."""
        paths = [path for path in self.work.rglob("*") if path.is_file()]
        return {path.relative_to(self.work).as_posix(): path.read_text() for path in paths}


class Codex:
    """One user's Codex, with its home, its working folder and its connection to the relay."""

    def __init__(
        self,
        folder: Path,
        mode: Mode,
        relay: Relay,
        config: str = "",  # tables for config.toml
        provider: str = "",  # more keys for the provider's table, in Mode.PROVIDER
        key: str = API_KEY,
    ) -> None:
        self.home, self.work = folder / "home", folder / "work"
        self.home.mkdir(parents=True)
        self.work.mkdir()
        self._environment = base_environment(folder) | {"CODEX_HOME": str(self.home)}
        text = "\n".join([relay_setting(relay, mode), QUIET_CONFIG, config])
        if mode is Mode.PROVIDER:
            text += PROVIDER_CONFIG.format(relay.url) + provider
        (self.home / "config.toml").write_text(text)
        if mode is Mode.PROVIDER:
            self._environment["RELAY_TEST_KEY"] = key
        else:
            (self.home / "auth.json").write_text(json.dumps(auth_file(mode, key)))
        if mode.by_proxy:
            proxy = {"HTTPS_PROXY": relay.url, "CODEX_CA_CERTIFICATE": str(relay.ca)}
        else:
            # Nothing answers on that port, so that no test reaches OpenAI.
            proxy = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
        self._environment |= proxy

    def exec(
        self, prompt: str, *options: str, model: str = "fake-model", timeout: float = 40
    ) -> CodexRun:
        """Run `codex exec`. Raises subprocess.TimeoutExpired after `timeout` s."""
        return self._run([*options, "-m", model, "--", prompt], timeout)

    def exec_default(self, prompt: str, timeout: float = 40) -> CodexRun:
        """The same with the model that Codex chooses itself."""
        return self._run(["--", prompt], timeout)

    def use_relay(self, relay: Relay) -> None:
        """Go on by proxy through another relay."""
        proxy = {"HTTPS_PROXY": relay.url, "CODEX_CA_CERTIFICATE": str(relay.ca)}
        self._environment |= proxy

    def resume(
        self,
        thread: str,
        prompt: str,
        *options: str,
        model: str = "fake-model",
        timeout: float = 40,
    ) -> CodexRun:
        return self._run(["resume", *options, "-m", model, thread, prompt], timeout)

    def login_status(self) -> str:
        """Which login Codex reports."""
        return self._run_program([str(CODEX), "login", "status"], 10).stderr

    def _run(self, arguments: list[str], timeout: float) -> CodexRun:
        command = [str(CODEX), "exec", "--json", "--skip-git-repo-check"]
        command += ["-s", "danger-full-access", *arguments]
        begin = time.monotonic()
        done = self._run_program(command, timeout)
        elapsed = time.monotonic() - begin
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return CodexRun(done.returncode, events, elapsed, done.stderr, self.work)

    def _run_program(self, command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.work,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )


QUIET_CONFIG = """
check_for_update_on_startup = false
web_search = "disabled"
[analytics]
enabled = false
[otel]
metrics_exporter = "none"
[features]
plugins = false
apps = false
"""
PROVIDER_CONFIG = """
[model_providers.relay]
name = "mitmcodex"
base_url = "{}/v1"
env_key = "RELAY_TEST_KEY"
wire_api = "responses"
"""


def relay_setting(relay: Relay, mode: Mode) -> str:
    """The line of config.toml that selects the relay."""
    match mode:
        case Mode.PROVIDER:
            return 'model_provider = "relay"'
        case Mode.BASE_URL:
            return f'openai_base_url = "{relay.url}/v1"'
        case _:
            return ""


def auth_file(mode: Mode, key: str) -> dict[str, Any]:
    """The contents of auth.json after a login, with unsigned tokens."""
    if mode is not Mode.PROXY_CHATGPT:
        return {"OPENAI_API_KEY": key}
    claims = {
        "email": "nobody@example.com",
        "exp": int(time.time()) + 86_400,
        "https://api.openai.com/auth": {
            "chatgpt_plan_type": "plus",
            "chatgpt_account_id": ACCOUNT,
            "chatgpt_user_id": "user-invented",
        },
    }
    tokens = {
        "id_token": unsigned_token(claims),
        "access_token": unsigned_token(claims),
        "account_id": ACCOUNT,
    }
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": tokens | {"refresh_token": "invented"},
        "last_refresh": now,
    }


def unsigned_token(claims: dict[str, Any]) -> str:
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([part.rstrip("=") for part in encoded] + ["invented"])


def base_environment(home: Path) -> dict[str, str]:
    """The variables that a program needs to start, without the machine's own settings."""
    inherited = {name: os.environ[name] for name in ("SYSTEMROOT", "TMPDIR") if name in os.environ}
    return inherited | {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
