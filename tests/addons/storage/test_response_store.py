"""Stored responses of several owners; tests/addons/endpoints reaches them through the relay."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from addons.config.addon import Config
from addons.config.config_file import read_settings
from addons.config.settings import Settings
from addons.storage import response_store
from addons.storage.backend import Backend, ResponseMissing
from addons.storage.redis_backend import RedisBackend
from addons.storage.response_store import (
    OwnedResponses,
    ResponseStore,
    ResponseWriter,
    load_history,
    open_backend,
    resolve_references,
    response_file,
    response_saver,
    response_writer,
)
from addons.storage.sqlite_backend import SqliteBackend
from addons.storage.worker import StorageUnavailable
from tests.addons.proxy import bounded
from tests.redis import RedisServer
from translate import BadRequest, StoredResponse


def stored_response(number: int, previous: int | None = None) -> StoredResponse:
    previous_id = None if previous is None else response_id(previous)
    item = {"type": "message", "role": "user", "content": str(number)}
    fields: dict[str, Any] = {"output": [], "previous_response_id": previous_id}
    return StoredResponse([item], {"id": response_id(number), **fields})


def response_id(number: int) -> str:
    return f"resp_{number:032x}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"relay_store": str(tmp_path / "kept.db")}, {})


@pytest.fixture
def writer(settings: Settings) -> Iterator[ResponseWriter]:
    writer = ResponseWriter(settings)
    yield writer
    writer.close()


@bounded
async def test_response_is_found_right_after_it_is_saved(writer: ResponseWriter) -> None:
    writer.save_response(stored_response(1))
    writer.save_response(stored_response(2, previous=1))
    chain = await writer.load_chain(response_id(2))
    assert [stored.id for stored in chain] == [response_id(1), response_id(2)]
    assert await writer.remove_response(response_id(1), "")
    assert await writer.find_response(response_id(1), "") is None
    with pytest.raises(ResponseMissing, match=response_id(1)):
        await writer.load_chain(response_id(2))


@bounded
async def test_owners_do_not_find_each_others_responses(writer: ResponseWriter) -> None:
    writer.save_response(stored_response(1), "ada")
    writer.save_response(stored_response(2, previous=1), "ada")
    assert len(await writer.load_chain(response_id(2), "ada")) == 2
    for owner in ("", "bob", "ad"):
        assert await writer.find_response(response_id(1), owner) is None
        assert not await writer.remove_response(response_id(1), owner)
        with pytest.raises(ResponseMissing):
            await writer.load_chain("resp_of_ada", owner)
    assert await writer.find_response(response_id(1), "ada")


def test_id_cannot_name_another_owner(settings: Settings) -> None:
    backend = open_backend(settings)
    fields: dict[str, Any] = {"output": [], "previous_response_id": None}
    OwnedResponses(backend, "ada").save_response(StoredResponse([], {"id": "r1", **fields}), 0)
    everyone = OwnedResponses(backend, "")
    assert everyone.find_response("ada/r1", 1) is None
    assert not everyone.remove_response("ada/r1", 1)
    assert OwnedResponses(backend, "ada").find_response("r1", 1)
    with pytest.raises(ResponseMissing, match="^ada/r1$"):
        everyone.load_chain("ada/r1", 1)
    with pytest.raises(ResponseMissing, match="^r2$"):  # without the owner's name
        OwnedResponses(backend, "ada").load_chain("r2", 1)
    backend.close()


ITEM = {"type": "message", "role": "assistant", "id": "msg_1", "content": []}
REFERENCE = {"type": "item_reference", "id": "msg_1"}


@pytest.fixture(params=["sqlite", "redis"])
def item_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    file = str(tmp_path / "kept.db")
    store = file if request.param == "sqlite" else request.getfixturevalue("redis").url
    return read_settings({"relay_store": store}, {})


@bounded
async def test_items_are_found_by_their_ids_until_their_response_is_removed(
    item_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ResponseWriter(item_settings)
    monkeypatch.setattr(response_store, "_writer", writer)
    fields: dict[str, Any] = {"previous_response_id": None, "output": [ITEM]}
    writer.save_response(StoredResponse([], {"id": response_id(1), **fields}), "ada")
    body = {"input": [{"role": "user", "content": "A"}, REFERENCE, {"id": "msg_1"}]}
    resolved = await resolve_references(body, "ada")
    assert resolved == {"input": [{"role": "user", "content": "A"}, ITEM]}
    plain = {"input": "Hello."}
    assert await resolve_references(plain, "ada") is plain
    with pytest.raises(
        BadRequest, match=r"^input\[1\]: Item with id 'msg_1' not found\.$"
    ) as error:
        await resolve_references(body, "bob")
    assert (error.value.param, error.value.code) == ("input[1]", "item_not_found")
    assert await writer.remove_response(response_id(1), "ada")
    with pytest.raises(BadRequest, match="msg_1"):
        await resolve_references(body, "ada")
    writer.close()


@bounded
async def test_without_storage_a_reference_names_the_cure() -> None:
    with pytest.raises(BadRequest, match=r"'msg_1' not found\. relay_store is off: .*store: false"):
        await resolve_references({"input": [REFERENCE]}, "")


@bounded
async def test_response_of_another_relay_is_waited_for(settings: Settings) -> None:
    """The client of the other relay may know a response a moment before it is written."""
    here, there = ResponseWriter(settings), ResponseWriter(settings)
    loading = asyncio.create_task(there.load_chain(response_id(1)))
    await asyncio.sleep(0.15)  # `there` has looked and found nothing
    assert not loading.done()
    here.save_response(stored_response(1))
    assert [stored.id for stored in await loading] == [response_id(1)]
    with pytest.raises(ResponseMissing):  # at once: this id does not have the relay's form
        await there.load_chain("resp_of_nobody")
    here.close()
    there.close()


@bounded
async def test_backlog_is_bounded(
    writer: ResponseWriter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_store, "MAX_BACKLOG", 2)
    released, failures = threading.Event(), list[str]()

    def wait(backend: Backend) -> None:
        released.wait(5)

    for _ in range(3):
        writer.write(wait, failures.append)
    assert failures == ["2 others wait to be written"]
    writer.save_response(stored_response(1))
    assert f"{response_id(1)} is not stored: 2 others wait" in caplog.text
    released.set()
    assert await writer.find_response("x", "") is None
    writer.save_response(stored_response(2))
    assert await writer.find_response(response_id(2), "")


@bounded
async def test_closing_is_bounded_too(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_store, "ANSWER_TIMEOUT", 0.05)
    writer, released = ResponseWriter(settings), threading.Event()

    def wait(backend: Backend) -> None:
        released.wait(5)

    writer.write(wait, lambda why: None)
    writer.save_response(stored_response(1))
    writer.close()
    released.set()
    assert "2 responses were not stored: no answer in time" in caplog.text
    writer.save_response(stored_response(2))
    assert "relay_store has changed meanwhile" in caplog.text


def test_location_decides_the_backend(
    tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert response_file(read_settings({}, {})) == tmp_path / "mitmcodex" / "responses.db"
    for location, backend_type in ((redis.url, RedisBackend), ("", SqliteBackend)):
        backend = open_backend(read_settings({"relay_store": location}, {}))
        assert type(backend) is backend_type
        backend.close()


@bounded
async def test_addon_opens_and_closes_the_writer_as_the_settings_change(tmp_path: Path) -> None:
    config, addon = Config(), ResponseStore()
    with taddons.context(Proxyserver(), config, addon) as context:
        context.configure(config, relay_store=str(tmp_path / "a.db"))
        first = response_writer()
        assert first and response_saver("")
        context.configure(config, relay_heartbeat="1")
        assert response_writer() is first
        context.configure(config, relay_store_limit="1d")
        assert response_writer() not in (first, None)
        context.configure(config, relay_store="off")
        assert response_writer() is response_saver("") is None
        assert await load_history("resp_1", "") is None
        context.configure(config, relay_store=str(tmp_path / "b.db"))
        saver = response_saver("ada")
        assert saver
        saver(stored_response(1))
        history = await load_history(response_id(1), "ada")
        assert history and history[0]["content"] == "1"
        for no_id in (None, "", 7):
            assert await load_history(no_id, "ada") is None
        with pytest.raises(BadRequest, match="resp_of_nobody"):
            await load_history("resp_of_nobody", "ada")
        addon.done()
    assert response_writer() is None
    assert {path.name for path in tmp_path.glob("*.db")} == {"a.db", "b.db"}


@bounded
async def test_unusable_location_is_logged_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    config, addon = Config(), ResponseStore()
    with taddons.context(Proxyserver(), config, addon) as context:
        context.configure(config, relay_store=str(tmp_path / "file" / "kept.db"))
        writer = response_writer()
        assert writer
        with pytest.raises(StorageUnavailable):
            await writer.find_response("x", "")
        addon.done()
    [record] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "Stored responses cannot be used" in record.message
