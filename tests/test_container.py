"""The container of scripts/deploy/Dockerfile. Where a container engine runs, it is built and
started with the commands of addons/README.md."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.config import SETTING_NAMES
from addons.launch import available_port
from tests.pages.checkout import is_healthy
from tests.pages.markdown import ROOT, Page

DOCKERFILE = ROOT / "scripts" / "deploy" / "Dockerfile"
BUILD_TIMEOUT = 600.0  # s


def page_commands() -> tuple[list[str], list[str]]:
    """The command that builds the image, and the one that runs it."""
    [block] = [
        block for block in Page("addons/README.md").blocks if block.text.startswith("docker build")
    ]
    build, run = block.text.replace("\\\n", "").splitlines()
    return shlex.split(build), shlex.split(run)


def instructions(name: str) -> list[str]:
    """What follows this instruction, wherever the Dockerfile has it."""
    return re.findall(rf"^{name} (.+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)


def test_linter_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "")


def test_build_gets_the_files_that_it_copies() -> None:
    """The ignore file admits what the build copies, and nothing else."""
    sources = [line.split()[:-1] for line in instructions("COPY") if not line.startswith("--from")]
    files = [name for names in sources for name in names]
    assert all((ROOT / name).exists() for name in files)
    ignore = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text("utf-8").splitlines()
    admitted = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert {Path(name).parts[0] for name in files} == admitted and "*" in ignore


def test_page_runs_what_the_image_offers() -> None:
    build, run = page_commands()
    assert (ROOT / build[build.index("--file") + 1]) == DOCKERFILE
    assert build[build.index("--tag") + 1] == run[-1]
    options = dict(zip(run, run[1:], strict=False))
    [port], [volume] = instructions("EXPOSE"), instructions("VOLUME")
    assert options["--publish"].endswith(f":{port}")
    assert options["--volume"].partition(":")[2] == json.loads(volume)[0]
    variables = re.findall(r"CODEX_RELAY_(\w+)=", " ".join(run))
    assert {name.lower() for name in variables} < set(SETTING_NAMES) and "CLIENT_KEY" in variables


def run_engine(command: list[str], timeout: float = 30.0) -> str:
    """What the engine prints. Fails the test unless it ends with 0."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def container() -> Iterator[tuple[str, int]]:
    """The name and the port of a container."""
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "info"], capture_output=True, timeout=20).returncode:
        pytest.skip("no container engine runs (Debian: apt-get install docker.io)")
    build, run = page_commands()
    port = available_port(0)
    name = f"mitmcodex-test-{port}"
    replacements = {"8080:8080": f"{port}:8080", "--name mitmcodex ": f"--name {name} --detach ",
                    "mitmcodex:/home": f"{name}:/home"}  # fmt: skip
    text = shlex.join(run)
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    run_engine(build, BUILD_TIMEOUT)
    run_engine(shlex.split(text))
    try:
        yield name, port
    finally:
        run_engine([docker, "stop", name])
        run_engine([docker, "volume", "rm", name])


@pytest.mark.timeout(BUILD_TIMEOUT + 60)
def test_container_serves_as_an_ordinary_user(container: tuple[str, int]) -> None:
    name, port = container
    deadline = time.monotonic() + 30
    while not is_healthy(port):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert run_engine(["docker", "exec", name, "id", "-u"]) == "10001"
    status = run_engine(["docker", "exec", name, "mitmcodex", "status", "--json"])
    assert json.loads(status)["running"] is True
