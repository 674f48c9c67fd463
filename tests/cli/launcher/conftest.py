"""One relay and one provider for all tests of the launcher; a new user for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.launcher.user import User
from tests.codex.driver import CODEX, Relay
from tests.fake_provider import FakeProvider


@pytest.fixture(scope="session")
def upstream() -> Iterator[FakeProvider]:
    provider = FakeProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="session")
def relay(upstream: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    relay = Relay(
        tmp_path_factory.mktemp("relay"),
        upstream=upstream.url,
        api_key=upstream.key or "",
        model="fake-model",
        openai_chat="on",
    )
    yield relay
    relay.stop()


@pytest.fixture
def provider(upstream: FakeProvider, relay: Relay) -> Iterator[FakeProvider]:
    """The upstream of the relay, reset between tests."""
    upstream.reset()
    yield upstream
    upstream.verify()


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A user without Codex."""
    return User(tmp_path)


@pytest.fixture(params=["newest", "older"])
def codex_user(request: pytest.FixtureRequest, tmp_path: Path) -> User:
    """A user with the newest Codex, and one with that of the wheel."""
    program = request.getfixturevalue("newest_codex") if request.param == "newest" else CODEX
    return User(tmp_path, program)
