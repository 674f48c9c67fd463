"""Programs through a relay that runs, and through one of their own."""

import json
import os
import signal
import sys

import psutil
import pytest

from addons.port_holder import bind_fault
from scripts.cli.errors import CommandFailed
from scripts.cli.launcher.any_program import run_any_program
from tests.cli.launcher.user import User
from tests.codex.driver import Relay
from tests.fake_provider import FakeProvider
from tests.replies import say

SDK_PROGRAM = """
from openai import OpenAI
reply = OpenAI().chat.completions.create(
    model="fake-model", messages=[{"role": "user", "content": "hello"}]
)
print(reply.choices[0].message.content)
"""
OWN_KEY = "sk-proj-invented-0002"


def test_a_program_of_openais_sdk(user: User, relay: Relay, provider: FakeProvider) -> None:
    user.environment["OPENAI_API_KEY"] = OWN_KEY
    provider.reply(say("Hello from the provider."))
    port = str(relay.port)
    done = user.run("run", "--port", port, "--", sys.executable, "-c", SDK_PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Hello from the provider.\n"
    assert OWN_KEY not in json.dumps(provider.posted_requests[0].headers)
    assert len(done.stderr.splitlines()) == 1


def test_curl_by_proxy(user: User, relay: Relay, provider: FakeProvider) -> None:
    script = (
        "curl --silent --show-error https://api.openai.com/v1/models; cat $SSL_CERT_FILE; exit 7"
    )
    done = user.run("run", "--proxy", "--port", str(relay.port), "--", "sh", "-c", script)
    assert done.returncode == 7, done.stderr
    listed, _, certificates = done.stdout.partition("-----BEGIN CERTIFICATE-----\n")
    assert "fake-model" in listed
    authority = relay.ca.read_text().partition("-----BEGIN CERTIFICATE-----\n")[2]
    assert certificates.startswith(authority.strip())
    assert certificates.count("BEGIN CERTIFICATE") > 50  # the public authorities as well


def test_the_program_has_the_terminal(user: User, relay: Relay) -> None:
    script = "stty size; read line; stty size; echo got $line"
    terminal = user.open_terminal("run", "--port", str(relay.port), "--", "sh", "-c", script)
    try:
        terminal.wait_for("40 110")
        terminal.resize(30, 100)
        terminal.type("a line\r")
        assert terminal.wait_for_end() == 0
        assert "30 100\ngot a line" in terminal.text
    finally:
        terminal.close()


def test_a_relay_of_its_own_ends_with_the_program(user: User) -> None:
    user.environment |= {"CODEX_RELAY_PORTS": "deepseek"}  # which opens no port here
    with user.begin("run", "--", "sh", "-c", "echo $OPENAI_BASE_URL; exec sleep 30") as process:
        assert process.stdout
        port = port_in(process.stdout.readline())
        assert bind_fault("127.0.0.1", port)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        assert process.wait(20) == 128 + signal.SIGINT
    assert not bind_fault("127.0.0.1", port)


def test_a_relay_of_its_own_ends_when_the_command_is_killed(user: User) -> None:
    with user.begin("run", "--", "sh", "-c", "echo $OPENAI_BASE_URL; exec sleep 30") as process:
        assert process.stdout
        port = port_in(process.stdout.readline())
        children = psutil.Process(process.pid).children()
        [relay] = [child for child in children if "--listen-port" in child.cmdline()]
        [program] = [child for child in children if child != relay]
        process.kill()
        process.wait(20)
        program.kill()
        relay.wait(20)
    assert not bind_fault("127.0.0.1", port)


def port_in(base_url: str) -> int:
    return int(base_url.partition("//127.0.0.1:")[2].partition("/")[0])


def test_program_that_is_missing() -> None:
    with pytest.raises(CommandFailed, match="there is no program 'no-such-program'") as failure:
        run_any_program(["no-such-program"], None, by_proxy=False)
    assert failure.value.status == 127
