"""Fixtures that every folder of tests may use."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from addons.accounts import oauth
from addons.launch import bindable
from tests import fake_auth
from tests.fake_provider import FakeProvider, running
from tests.house import Houses

# Property tests draw the same examples on every machine, so that CI never surprises.
settings.register_profile(
    "steady", derandomize=True, database=None, deadline=None, max_examples=100
)
settings.load_profile("steady")


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A strict Chat Completions provider; what it refused fails the test."""
    with running() as provider:
        yield provider


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_auth.FakeAuth]:
    """A strict auth server, which sends browsers back to a free port, where we expect them; what it
    refused fails the test."""
    with fake_auth.running(bindable(0)) as auth:
        monkeypatch.setattr(oauth, "PORT", auth.port)
        yield auth


@pytest.fixture(autouse=True, scope="session")
def no_files_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No relay.toml and no data of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    """The relays of tests/house.py, for all that want one."""
    houses = Houses(tmp_path_factory.mktemp("houses"))
    yield houses
    houses.close()


@pytest.fixture
def houses(town: Houses) -> Iterator[Houses]:
    """The same, its fakes forgetful between tests; what they refused fails the test."""
    town.reset()
    yield town
    town.verify()
