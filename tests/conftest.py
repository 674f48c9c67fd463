"""Fixtures that every folder of tests may use."""

from collections.abc import Iterator

import pytest

from tests.fake_provider import FakeProvider, running


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A strict Chat Completions provider; what it refused fails the test."""
    with running() as provider:
        yield provider
