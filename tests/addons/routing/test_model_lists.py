"""The caches of model lists and of Codex's catalog."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from addons.config.addon import Config
from addons.routing import model_lists
from addons.routing.model_lists import (
    cached_check,
    catalog_template,
    forget_model_lists,
)
from tests.addons.proxy import Call, Upstream, bounded, proxy, upstream

LIST = b'{"data": [{"id": "a"}]}'


@pytest.fixture(autouse=True)
def empty_caches() -> Iterator[None]:
    model_lists._checks.clear()
    model_lists._bundled.clear()
    yield
    model_lists._checks.clear()
    model_lists._bundled.clear()


@asynccontextmanager
async def list_server(body: bytes = LIST, status: int = 200) -> AsyncIterator[tuple[Upstream, str]]:
    """A server of model lists, and its base URL."""

    def reply(call: Call) -> None:
        call.reply(status, body)

    async with upstream(reply) as server, proxy(Config()):
        yield server, f"http://127.0.0.1:{server.port}/v1"


@bounded
async def test_list_is_fetched_once_for_each_key() -> None:
    async with list_server() as (server, url):
        for key in ("one", "two", "one"):
            models = (await cached_check(url, {"authorization": f"Bearer {key}"})).models
            assert models and [model.id for model in models] == ["a"]
    keys = [call.headers["authorization"] for call in server.seen]
    assert keys == ["Bearer one", "Bearer two"]


@bounded
async def test_query_goes_with_the_request() -> None:
    async with list_server() as (server, url):
        await cached_check(url, {}, {"client_version": "0.1.0"})
    assert server.seen[0].request_line == "GET /v1/models?client_version=0.1.0 HTTP/1.1"


@pytest.mark.parametrize(("body", "status"), [(LIST, 404), (b"<html>", 200), (b"{}", 200)])
def test_upstream_without_a_list_is_not_asked_again(body: bytes, status: int) -> None:
    async def run() -> None:
        async with list_server(body, status) as (server, url):
            checks = [await cached_check(url, {}) for _ in range(2)]
            assert [check.models for check in checks] == [None, None]
        assert len(server.seen) == 1

    bounded(run)()


@bounded
async def test_expired_and_forgotten_lists_are_fetched_again() -> None:
    async with list_server(status=404) as (server, url):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model_lists, "FAILURE_TTL", -1.0)
            await cached_check(url, {})
        await cached_check(url, {})
        assert len(server.seen) == 2
        forget_model_lists()
        await cached_check(url, {})
    assert len(server.seen) == 3


@bounded
async def test_oldest_list_is_dropped_when_there_are_too_many() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_lists, "MAX_LISTS", 2)
        async with list_server() as (server, url):
            for key in ("one", "two", "one", "three", "one", "two"):
                await cached_check(url, {"x-key": key})
    assert [call.headers["x-key"] for call in server.seen] == ["one", "two", "three", "two"]


@bounded
async def test_catalog_without_codex_has_our_instructions(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        template = await catalog_template()
    assert template["base_instructions"].startswith("You are")
