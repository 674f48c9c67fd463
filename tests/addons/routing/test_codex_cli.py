"""Which Codex the user has."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy.test import tflow, tutils

from addons.routing import codex_cli as client_version
from tests.addons.gateway import gateway
from tests.addons.proxy import bounded
from tests.fake_auth import person
from tests.replies import say


@pytest.fixture(autouse=True)
def nobody_seen() -> Iterator[None]:
    kept = dict(client_version._seen)
    client_version._seen.update(passing="", installed="")
    yield
    client_version._seen.update(kept)


@pytest.mark.parametrize(
    ("agent", "path", "version"),
    [
        ("codex_cli_rs/0.171.2 (Debian 12; x86_64)", "/", "0.171.2"),
        ("Codex Desktop/0.172.0", "/", "0.172.0"),
        ("codex_exec", "/models?client_version=0.170.0", "0.170.0"),
        ("codex_exec", "/models?client_version=evil", client_version.DEFAULT),
        ("Mozilla/5.0 codex_exec/0.1.0", "/", client_version.DEFAULT),
        ("curl/8", "/models?client_version=0.170.0", client_version.DEFAULT),
    ],
)
def test_of_the_codex_that_passes_by(agent: str, path: str, version: str) -> None:
    request = tutils.treq(path=path.encode(), headers=((b"user-agent", agent.encode()),))
    client_version.learn(tflow.tflow(req=request))
    assert client_version.current() == version


@pytest.mark.parametrize(
    ("script", "version"),
    [("echo codex-cli 0.163.0", "0.163.0"), ("exit 1", client_version.DEFAULT)],
)
@bounded
async def test_of_the_codex_on_path(
    tmp_path_factory: pytest.TempPathFactory, script: str, version: str
) -> None:
    folder = tmp_path_factory.mktemp("bin")
    (folder / "codex").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "codex").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        await client_version.ask()
    assert client_version.current() == version


@bounded
async def test_the_service_hears_it_with_the_list_of_models(tmp_path: Path) -> None:
    client_version._seen["passing"] = "0.170.0"
    async with gateway(tmp_path, person("ada")) as relay:
        relay.backend.reply(say("Hello"))
        await relay.chat()
        paths = [request.path for request in relay.backend.requests]
    assert "/backend-api/codex/models?client_version=0.170.0" in paths
