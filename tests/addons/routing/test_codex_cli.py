"""The version and the output of the user's Codex."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy.test import tflow, tutils

from addons.routing import codex_cli
from addons.routing.codex_cli import (
    NEWEST_CODEX_VERSION,
    codex_output,
    codex_version,
    learn_codex_version,
    query_installed_version,
)
from tests.addons.gateway import gateway
from tests.addons.proxy import bounded
from tests.fake_auth import make_user
from tests.replies import say


@pytest.fixture(autouse=True)
def no_version() -> Iterator[None]:
    versions = dict(codex_cli._versions)
    codex_cli._versions.update(client="", installed="")
    yield
    codex_cli._versions.update(versions)


def install_codex(folder: Path, script: str, patch: pytest.MonkeyPatch) -> None:
    program = folder / "codex"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    patch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("agent", "path", "version"),
    [
        ("codex_cli_rs/0.171.2 (Debian 12; x86_64)", "/", "0.171.2"),
        ("Codex Desktop/0.172.0", "/", "0.172.0"),
        ("codex_exec", "/models?client_version=0.170.0", "0.170.0"),
        ("codex_exec", "/models?client_version=evil", NEWEST_CODEX_VERSION),
        ("Mozilla/5.0 codex_exec/0.1.0", "/", NEWEST_CODEX_VERSION),
        ("curl/8", "/models?client_version=0.170.0", NEWEST_CODEX_VERSION),
    ],
)
def test_version_is_learned_from_codexs_requests(agent: str, path: str, version: str) -> None:
    request = tutils.treq(path=path.encode(), headers=((b"user-agent", agent.encode()),))
    learn_codex_version(tflow.tflow(req=request))
    assert codex_version() == version


@pytest.mark.parametrize(
    ("script", "version"),
    [("echo codex-cli 0.163.0", "0.163.0"), ("exit 1", NEWEST_CODEX_VERSION)],
)
@bounded
async def test_codex_on_path_tells_its_version(
    tmp_path_factory: pytest.TempPathFactory, script: str, version: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        install_codex(tmp_path_factory.mktemp("bin"), script, patch)
        await query_installed_version()
    assert codex_version() == version


@bounded
async def test_codex_that_does_not_end_is_killed(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        install_codex(tmp_path, "exec sleep 60", patch)
        patch.setattr(codex_cli, "CODEX_TIMEOUT", 0.1)
        assert await codex_output("--version") == b""


@bounded
async def test_missing_codex_has_no_output(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert await codex_output("--version") == b""


@bounded
async def test_service_gets_the_version_in_the_query_for_models(tmp_path: Path) -> None:
    codex_cli._versions["client"] = "0.170.0"
    async with gateway(tmp_path, make_user("ada")) as relay:
        relay.backend.reply(say("Hello"))
        await relay.chat()
        paths = [request.path for request in relay.backend.requests]
    assert "/backend-api/codex/models?client_version=0.170.0" in paths
