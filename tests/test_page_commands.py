"""Every fenced command, program and configuration of the pages runs here as it stands there, in a
copy of the repository and in a home of its own; only ports, keys and providers' URLs are replaced.

`RUNNERS` says of each block how it runs; a block without a runner fails."""

import json
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from addons.config.config_file import builtin_providers_text
from addons.identity import VERSION
from addons.launch import available_port
from tests.codex.driver import QUIET_CONFIG
from tests.deployments import Deployments
from tests.fake_auth import FakeAuth
from tests.fake_provider import FakeProvider
from tests.node.conftest import Node, node
from tests.pages.checkout import Terminal, copy_repository, is_healthy, read_files
from tests.pages.markdown import Block, Page, all_blocks
from tests.replies import say
from tests.test_package import find_uv
from translate import load_providers

__all__ = ["node"]

README, ADDONS, TRANSLATE = "README.md", "addons/README.md", "translate/README.md"
CONTRIBUTING = ".github/CONTRIBUTING.md"
LANGUAGES_THAT_RUN = ("", "toml", "python", "js", "yaml")
DEEPSEEK, DEEPSEEK_KEY = "https://api.deepseek.com/v1", "sk-…"

type Json = dict[str, Any]


class Scene:
    """What a runner works with: the block, a terminal, and whichever fakes it asks for."""

    def __init__(self, block: Block, terminal: Terminal, request: pytest.FixtureRequest) -> None:
        self.block, self.terminal, self._request = block, terminal, request

    @property
    def text(self) -> str:
        return self.block.text

    @property
    def deployments(self) -> Deployments:
        deployments: Deployments = self._request.getfixturevalue("deployments")
        return deployments

    @property
    def provider(self) -> FakeProvider:
        provider: FakeProvider = self._request.getfixturevalue("provider")
        return provider

    @property
    def auth(self) -> FakeAuth:
        auth: FakeAuth = self._request.getfixturevalue("auth")
        return auth

    @property
    def node(self) -> Node:
        node: Node = self._request.getfixturevalue("node")
        return node

    def at_port(self, text: str, port: int | None = None) -> str:
        """The text with the port of the terminal's relay, or with this port."""
        return replace_each(text, {"127.0.0.1:8080": f"127.0.0.1:{port or self.terminal.port}"})

    def on_provider(self, text: str) -> str:
        """The text with the fake provider in DeepSeek's place."""
        return replace_each(
            text, {DEEPSEEK: self.provider.url, DEEPSEEK_KEY: str(self.provider.key)}
        )


type Runner = Callable[[Scene], None]


def replace_each(text: str, replacements: Mapping[str, str]) -> str:
    """The text with every one of these replaced; each must be in it."""
    for old, new in replacements.items():
        assert old in text, f"{old!r} is not in the block"
        text = text.replace(old, new)
    return text


def page_block(page: str, start: str) -> str:
    """The text of the block that begins so."""
    [block] = [block for block in Page(page).blocks if block.text.startswith(start)]
    return block.text


def ask_chat(url: str, model: str) -> str:
    """The answer that a Chat client gets from this relay."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
    with httpx2.Client(trust_env=False, timeout=20) as client:
        reply = client.post(f"{url}/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    answer: str = reply.json()["choices"][0]["message"]["content"]
    return answer


def get_text(url: str) -> str:
    with httpx2.Client(trust_env=False, timeout=20) as client:
        return client.get(url).raise_for_status().text


# README.md


def flat_settings(table: Json, prefix: str = "") -> Json:
    """`{"a": {"b": 1}}` → `{"a.b": 1}`."""
    flat: Json = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def run_codex(scene: Scene, command: str, prompt: str, *options: str) -> str:
    """What Codex prints when it runs one turn instead of its terminal interface."""
    arguments = ["exec", "--skip-git-repo-check", "-s", "danger-full-access", *options]
    for name, value in flat_settings(tomllib.loads(QUIET_CONFIG)).items():
        arguments += ["-c", f"{name}={json.dumps(value)}"]
    assert command.endswith("codex")
    work = scene.terminal.home / "work"
    work.mkdir()
    exec_command = shlex.join([*arguments, "-C", str(work), prompt])
    return scene.terminal.run(f"{command} {exec_command} </dev/null")


def run_codex_by_proxy(scene: Scene, prompt: str) -> str:
    """One turn of Codex as set-up 1 starts it, with the invented key that the page offers."""
    login = "echo sk-none | codex login --with-api-key"
    assert login in Page(README).code
    scene.terminal.run(login)
    command = scene.at_port(page_block(README, "HTTPS_PROXY="))
    return run_codex(scene, command, prompt, "-m", "gpt-5.5")


def start_with_demo(scene: Scene) -> None:
    """Also what the page says of the demonstration: Codex asks it to call a tool."""
    [prompt] = [code for code in Page(README).code if code.startswith("call exec_command")]
    with scene.terminal.relay(scene.text) as url:
        assert "mitmcodex" in get_text(f"{url}/")
        run_codex_by_proxy(scene, prompt)
    assert (scene.terminal.home / "work" / "hello.txt").read_text() == "hello\n"


def start_on_provider(scene: Scene) -> None:
    scene.provider.reply(say("Hello."))
    with scene.terminal.relay(scene.on_provider(scene.text)) as url:
        assert ask_chat(url, "gpt-5.5") == "Hello."


def start_codex_by_proxy(scene: Scene) -> None:
    scene.provider.reply(say("Hello, proxy."))
    command = scene.on_provider(page_block(README, "CODEX_RELAY_UPSTREAM=https"))
    with scene.terminal.relay(command):
        assert "Hello, proxy." in run_codex_by_proxy(scene, "Say hello.")


def install_command(scene: Scene) -> None:
    """With the real uv and what it has in its cache, as the tests fetch nothing."""
    bin_folder = scene.terminal.home / "installed"
    cache = subprocess.run([find_uv(), "cache", "dir"], capture_output=True, text=True, check=True)
    scene.terminal.environment |= {
        "UV_CACHE_DIR": cache.stdout.strip(),
        "UV_CONSTRAINT": "scripts/requirements.lock",
        "UV_OFFLINE": "1",
        "UV_PYTHON": sys.executable,
        "UV_TOOL_BIN_DIR": str(bin_folder),
    }
    scene.terminal.run(replace_each(scene.text, {"uv ": f"{shlex.quote(find_uv())} "}))
    program = shlex.quote(str(bin_folder / "mitmcodex"))
    assert scene.terminal.run(f"cd / && {program} --version") == f"mitmcodex {VERSION}\n"


def set_up_provider(scene: Scene) -> None:
    """The flags answer what the interview asks."""
    answers = f"--upstream {scene.provider.url} --model fake-model --key-stdin --yes"
    scene.terminal.run(f"{scene.text} {answers}", text=str(scene.provider.key))
    assert "no relay runs" in scene.terminal.run("mitmcodex status --port 1 || [ $? = 3 ]")
    written = scene.terminal.home / ".config" / "mitmcodex" / "relay.toml"
    assert scene.provider.url in written.read_text()


def start_codex_by_command(scene: Scene) -> None:
    printed = run_codex(scene, scene.text, "Hello?")
    assert "demonstration provider" in printed


def start_codex_by_base_url(scene: Scene) -> None:
    scene.terminal.write(".codex/config.toml", scene.at_port(scene.text))
    scene.provider.reply(say("Hello, base URL."))
    command = scene.on_provider(page_block(README, "CODEX_RELAY_UPSTREAM=https"))
    with scene.terminal.relay(command):
        dead_proxy = "HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1"  # no other host is reached
        assert "Hello, base URL." in run_codex(scene, f"{dead_proxy} codex", "Say hello.")
    assert scene.provider.posted_requests[0].body["model"] == "deepseek-chat"


def start_on_local_model(scene: Scene) -> None:
    scene.provider.key = None
    scene.provider.reply(say("Hello."))
    command = replace_each(scene.text, {"http://localhost:11434/v1": scene.provider.url})
    with scene.terminal.relay(command) as url:
        assert ask_chat(url, "any-other-model") == "Hello."
    assert scene.provider.posted_requests[0].body["model"] == "qwen3"


def log_in_with_code(scene: Scene) -> None:
    settings = {
        "chatgpt_issuer": scene.auth.url,
        "chatgpt_base": f"{scene.auth.url}/none",
        "vault": str(scene.terminal.home / "logins"),
    }
    with (
        scene.terminal.relay(page_block(README, "./scripts/run"), **settings) as url,
        scene.terminal.process(f"{scene.text} --port {scene.terminal.port}") as login,
    ):
        assert login.stdout
        [code] = re.findall(r"enter the code (\S+)", login.stdout.readline())
        scene.auth.approve_device(code)
        assert login.wait(20) == 0
        assert json.loads(get_text(f"{url}/auth/accounts"))["accounts"]


def answer_client(scene: Scene, answer: str, run: Callable[[str], str]) -> str:
    """What a client of the block prints, before a relay with an account."""
    deployment = scene.deployments.deployment("file")
    deployment.upstream.reply(say(answer))
    printed = run(scene.at_port(scene.text, deployment.relay.port))
    assert deployment.upstream_requests[0].prompt == "Hello!"
    return printed


def run_python_client(scene: Scene) -> None:
    printed = answer_client(
        scene, "Hello, Python.", lambda text: scene.terminal.run(".venv/bin/python -", text)
    )
    assert printed.strip() == "Hello, Python."


def run_node_client(scene: Scene) -> None:
    node = scene.node
    printed = answer_client(
        scene, "Hello, Node.", lambda text: node.run(["--input-type=module", "-"], text)
    )
    assert printed.strip() == "Hello, Node."


def run_curl_client(scene: Scene) -> None:
    reply = json.loads(answer_client(scene, "Hello, curl.", scene.terminal.run))
    assert reply["choices"][0]["message"]["content"] == "Hello, curl."


def start_mitmweb(scene: Scene) -> None:
    config = scene.terminal.home / ".mitmproxy" / "config.yaml"
    web = f"web_port: {scene.terminal.web_port}\nweb_open_browser: false\nweb_password: invented\n"
    config.write_text(config.read_text() + web)
    with scene.terminal.relay(scene.text) as url:
        assert "<html" in get_text(f"{url}/relay/")
        page = get_text(f"http://127.0.0.1:{scene.terminal.web_port}/?token=invented")
    assert "mitmproxy" in page


# addons/README.md


def start_on_port(scene: Scene) -> None:
    port = available_port(0)
    with scene.terminal.relay(replace_each(scene.text, {"9090": str(port)}), port) as url:
        assert "mitmcodex" in get_text(f"{url}/")


def start_mitmdump(scene: Scene) -> None:
    with scene.terminal.relay(scene.text) as url:
        assert "mitmcodex" in get_text(f"{url}/")


def start_from_python(scene: Scene) -> None:
    scene.provider.reply(say("Hello, start."))
    port = {"4446": str(available_port(0))}
    program = scene.on_provider(replace_each(scene.text, port)) + (
        '\n    messages = [{"role": "user", "content": "Hello!"}]'
        '\n    reply = client.chat.completions.create(model="gpt-5.5", messages=messages)'
        "\n    print(reply.choices[0].message.content)\n"
    )
    # As if the package were installed.
    python = "PYTHONPATH=scripts/package .venv/bin/python -"
    assert scene.terminal.run(python, program).strip() == "Hello, start."


def read_container_commands(scene: Scene) -> None:
    """tests/test_container.py runs them where a container engine runs."""
    scene.terminal.write("commands.sh", scene.text)
    scene.terminal.run('bash -n "$HOME/commands.sh"')


def start_with_config_file(scene: Scene) -> None:
    ports = {"kimi": available_port(0), "groq": available_port(0)}
    with_ports = json.dumps([f"{name}:{port}" for name, port in ports.items()])
    text = replace_each(scene.text, {'["kimi", "groq"]': with_ports})
    file = ".config/mitmcodex/relay.toml"
    scene.terminal.write(file, text)
    with scene.terminal.relay("./scripts/run"):
        assert all(map(is_healthy, ports.values()))
    scene.terminal.write(file, text.replace("omits", "omit"))
    place_of_typo = pytest.raises(
        AssertionError, match=r"relay.toml:\d+: providers.deepseek.omit: .* did you mean omits"
    )
    with place_of_typo, scene.terminal.relay("./scripts/run"):
        pass


def record_capture(scene: Scene) -> None:
    command = page_block(ADDONS, ".venv/bin/mitmdump -s addons/relay.py -w")
    provider = scene.provider
    provider.reply(say("Hello."))
    settings = {"upstream": provider.url, "api_key": str(provider.key)}
    with scene.terminal.relay(command, **settings) as url:
        assert ask_chat(url, "gpt-5.5") == "Hello."
    assert b"Hello!" in (scene.terminal.checkout / "capture.mitm").read_bytes()


def check_capture(scene: Scene) -> None:
    record_capture(scene)
    scene.terminal.run(scene.text)


# translate/README.md, .github/CONTRIBUTING.md


def read_provider_table(scene: Scene) -> None:
    example = load_providers(f"{builtin_providers_text()}\n{scene.text}")["example"]
    assert example.title == "Example AI"
    [fields] = tomllib.loads(scene.text).values()
    assert fields.keys() - {"models"} <= example.model_dump().keys()


def run_without_changes(scene: Scene) -> None:
    """The script writes files, which are what it writes already."""
    files = read_files(scene.terminal.checkout)
    scene.terminal.run(scene.text)
    assert read_files(scene.terminal.checkout) == files


def check_script(scene: Scene) -> None:
    """This script runs these tests, so that it is only read here, not run."""
    script, *arguments = shlex.split(scene.text)
    file = scene.terminal.checkout / script
    assert file.stat().st_mode & stat.S_IXUSR
    scene.terminal.run(f"bash -n {script}")
    assert all((scene.terminal.checkout / path).exists() for path in arguments if path[0] != "-")


RUNNERS: dict[tuple[str, str], Runner] = {
    (README, "./scripts/run"): start_with_demo,
    (README, "./scripts/test"): check_script,
    (
        README,
        f"CODEX_RELAY_UPSTREAM={DEEPSEEK} CODEX_RELAY_API_KEY={DEEPSEEK_KEY} ./scripts/run",
    ): start_on_provider,
    (
        README,
        "HTTPS_PROXY=http://127.0.0.1:8080 "
        "CODEX_CA_CERTIFICATE=~/.mitmproxy/mitmproxy-ca-cert.pem codex",
    ): start_codex_by_proxy,
    (README, "uv tool install ."): install_command,
    (README, "mitmcodex setup"): set_up_provider,
    (README, "mitmcodex codex"): start_codex_by_command,
    (README, 'model = "deepseek-chat"'): start_codex_by_base_url,
    (
        README,
        "CODEX_RELAY_UPSTREAM=http://localhost:11434/v1 CODEX_RELAY_MODEL=qwen3 ./scripts/run",
    ): start_on_local_model,
    (README, "mitmcodex login --device"): log_in_with_code,
    (README, "from openai import OpenAI"): run_python_client,
    (ADDONS, 'import OpenAI from "openai";'): run_node_client,
    (
        ADDONS,
        "curl http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\",
    ): run_curl_client,
    (README, ".venv/bin/mitmweb -s addons/relay.py"): start_mitmweb,
    (ADDONS, "./scripts/run -p 9090"): start_on_port,
    (ADDONS, ".venv/bin/mitmdump -s addons/relay.py --set relay_heartbeat=10"): start_mitmdump,
    (ADDONS, "from openai import OpenAI"): start_from_python,
    (
        ADDONS,
        "docker build --file scripts/deploy/Dockerfile --tag mitmcodex .",
    ): read_container_commands,
    (ADDONS, 'provider = "deepseek"'): start_with_config_file,
    (ADDONS, ".venv/bin/mitmdump -s addons/relay.py -w capture.mitm"): record_capture,
    (
        ADDONS,
        ".venv/bin/mitmdump -s addons/relay.py -nr capture.mitm --set relay_check=true",
    ): check_capture,
    (TRANSLATE, "[example]"): read_provider_table,
    (TRANSLATE, "./scripts/cases"): run_without_changes,
    (TRANSLATE, "./scripts/readme"): run_without_changes,
    (CONTRIBUTING, "./scripts/check"): check_script,
    (CONTRIBUTING, "./scripts/test tests/translate -x"): check_script,
}
BLOCKS = [block for block in all_blocks() if block.language in LANGUAGES_THAT_RUN]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory.mktemp("pages") / "mitmcodex")


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_runs(
    block: Block, checkout: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert block.key in RUNNERS, f"no runner for this block of {block.page}:\n{block.text}"
    RUNNERS[block.key](Scene(block, Terminal(checkout, tmp_path), request))


def test_every_runner_has_one_block() -> None:
    assert sorted(RUNNERS) == sorted(block.key for block in BLOCKS)
