"""Fixtures for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from addons.accounts import oauth
from addons.launch import available_port
from tests import fake_auth
from tests.deployments import Deployments
from tests.fake_provider import FakeProvider, running_provider
from tests.newest_codex import newest_codex_path

# Property tests draw the same examples on every machine, so that CI is no surprise.
settings.register_profile(
    "steady", derandomize=True, database=None, deadline=None, max_examples=100
)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def newest_codex() -> Path:
    """The program of the newest Codex, which is on npm only."""
    path = newest_codex_path()
    if path is None:
        pytest.skip("@openai/codex is not installed (./scripts/test does that with npm)")
    return path


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A strict Chat Completions provider; a request that it refuses fails the test."""
    with running_provider() as provider:
        yield provider


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_auth.FakeAuth]:
    """A strict auth server, which sends browsers back to a free port, where the relay expects them;
    a request that it refuses fails the test."""
    with fake_auth.running_auth(available_port(0)) as auth:
        monkeypatch.setattr(oauth, "CALLBACK_PORT", auth.port)
        yield auth


@pytest.fixture(autouse=True, scope="session")
def isolate_user_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests away from the user's own relay.toml, data and running relay."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield


@pytest.fixture(scope="session")
def session_deployments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployments]:
    """The relays of tests/deployments.py, shared by all tests of a worker."""
    deployments = Deployments(tmp_path_factory.mktemp("deployments"))
    yield deployments
    deployments.close()


@pytest.fixture
def deployments(session_deployments: Deployments) -> Iterator[Deployments]:
    """The same, with the fakes reset; a request that they refuse fails the test."""
    session_deployments.reset()
    yield session_deployments
    session_deployments.verify()
