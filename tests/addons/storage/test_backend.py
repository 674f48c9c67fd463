"""The contract of the backends, with a real file, a real Redis, and the memory of this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from addons.config.config_file import read_settings
from addons.storage.backend import (
    Backend,
    MemoryNotes,
    NoteBackend,
    ResponseMissing,
    StorageLimits,
    storage_limits,
)
from addons.storage.redis_backend import RedisBackend
from addons.storage.sqlite_backend import SqliteBackend
from tests.redis import RedisServer

DAY = 86_400.0
LIMITS = StorageLimits(max_age=30 * DAY, max_bytes=1_000)
OpenBackend = Callable[[], Backend]


@pytest.fixture(params=["sqlite", "redis"])
def open_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenBackend]:
    """Each call opens the same storage again, as another relay or a restarted one would."""
    backends: list[Backend] = []
    redis: RedisServer | None = None
    if request.param == "redis":
        redis = request.getfixturevalue("redis")

    def open_another() -> Backend:
        file = tmp_path / "folder" / "kept.db"
        backend = RedisBackend(redis.url, LIMITS) if redis else SqliteBackend(file, LIMITS)
        backends.append(backend)
        return backend

    yield open_another
    for backend in backends:
        backend.close()


@pytest.fixture
def backend(open_backend: OpenBackend) -> Backend:
    return open_backend()


@pytest.fixture(params=["sqlite", "redis", "memory"])
def notes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NoteBackend]:
    if request.param == "memory":
        yield MemoryNotes(LIMITS)
        return
    backend: Backend
    if request.param == "redis":
        backend = RedisBackend(request.getfixturevalue("redis").url, LIMITS)
    else:
        backend = SqliteBackend(tmp_path / "kept.db", LIMITS)
    yield backend
    backend.close()


def test_limits_come_from_the_settings() -> None:
    settings = read_settings({"relay_store_limit": "0.5d,1.5MB"}, {})
    assert storage_limits(settings) == StorageLimits(43_200.0, 1_500_000)


# Responses


def test_chain_has_earlier_responses_in_order(backend: Backend) -> None:
    backend.save_response("a", None, b"1", 0)
    backend.save_response("b", "a", b"2", 0)
    backend.save_response("c", "b", b"3", 0)
    assert backend.load_chain("c", 1) == [b"1", b"2", b"3"]
    assert backend.load_chain("a", 1) == [b"1"]
    assert (backend.find_response("b", 1), backend.find_response("z", 1)) == (b"2", None)


def test_branches_do_not_see_each_other(backend: Backend) -> None:
    backend.save_response("a", None, b"1", 0)
    backend.save_response("b", "a", b"2", 0)
    backend.save_response("c", "a", b"3", 0)
    backend.save_response("d", "b", b"4", 0)
    assert backend.load_chain("d", 1) == [b"1", b"2", b"4"]
    assert backend.load_chain("c", 1) == [b"1", b"3"]


def test_responses_survive_a_restart_and_are_shared(open_backend: OpenBackend) -> None:
    first, second = open_backend(), open_backend()
    first.save_response("a", None, b"1", 0)
    second.save_response("b", "a", b"2", 0)
    first.close()
    assert open_backend().load_chain("b", 1) == [b"1", b"2"]


def test_missing_response_is_named(backend: Backend) -> None:
    backend.save_response("a", None, b"1", 0)
    backend.save_response("b", "a", b"2", 0)
    backend.save_response("c", "b", b"3", 0)
    with pytest.raises(ResponseMissing, match="^z$"):
        backend.load_chain("z", 1)
    assert backend.remove_response("b", 1)
    assert not backend.remove_response("b", 1)
    assert backend.find_response("b", 1) is None
    with pytest.raises(ResponseMissing, match="^b$"):
        backend.load_chain("c", 1)
    assert backend.load_chain("a", 1) == [b"1"]
    backend.save_response("d", "b", b"4", 1)  # as if its request came before b was removed
    with pytest.raises(ResponseMissing, match="^b$"):
        backend.load_chain("d", 1)


def test_use_renews_a_conversation_and_disuse_ends_it(backend: Backend) -> None:
    backend.save_response("a", None, b"1", 0)
    backend.save_response("b", "a", b"2", 0)
    backend.save_response("x", None, b"3", 0)
    assert backend.load_chain("b", 29 * DAY)
    for missing in ("x", "z"):
        assert backend.find_response(missing, 31 * DAY) is None
        assert not backend.remove_response(missing, 31 * DAY)
        with pytest.raises(ResponseMissing):
            backend.load_chain(missing, 31 * DAY)
    assert backend.load_chain("a", 31 * DAY) == [b"1"]
    assert backend.load_chain("b", 58 * DAY) == [b"1", b"2"]


def test_longest_unused_conversations_are_removed_first(backend: Backend) -> None:
    for number, id in enumerate("abc"):
        backend.save_response(id, None, b"x" * 300, number)
    backend.save_response("a2", "a", b"x" * 50, 5)  # the conversation of a is in use again
    backend.save_response("d", None, b"x" * 300, 6)
    assert [id for id in ("a", "a2", "b", "c", "d") if backend.find_response(id, 7)] == [
        "a",
        "a2",
        "c",
        "d",
    ]
    backend.save_response("e", None, b"x" * 700, 8)
    assert [id for id in ("a", "a2", "c", "d", "e") if backend.find_response(id, 9)] == ["d", "e"]


def test_removed_responses_free_their_space(backend: Backend) -> None:
    for number in range(20):
        backend.save_response(f"r{number}", None, b"x" * 400, number)
        assert backend.remove_response(f"r{number}", number)
    backend.save_response("a", None, b"x" * 900, 30)
    backend.save_response("b", None, b"x" * 100, 31)
    assert backend.find_response("a", 32) and backend.find_response("b", 32)


def test_conversation_beyond_the_limit_is_refused_and_removes_nothing(backend: Backend) -> None:
    backend.save_response("a", None, b"x" * 600, 0)
    with pytest.raises(OSError, match="relay_store_limit"):
        backend.save_response("b", "a", b"x" * 600, 1)
    with pytest.raises(OSError, match="relay_store_limit"):
        backend.save_response("c", None, b"x" * 1_001, 1)
    assert backend.load_chain("a", 2) == [b"x" * 600]


# Notes


def test_notes_are_loaded_by_their_keys(notes: NoteBackend) -> None:
    notes.save_notes({"a": b"1", "b": b"\x00\xff", "c": b"3"}, 0)
    assert notes.load_notes(["a", "b", "z", "b"], 1) == {"a": b"1", "b": b"\x00\xff"}
    assert notes.load_notes([], 1) == notes.load_notes(["z"], 1) == {}
    notes.save_notes({"a": b"4"}, 2)
    notes.save_notes({}, 2)
    assert notes.load_notes(["a"], 3) == {"a": b"4"}
    many = [str(number) for number in range(3_000)]
    assert notes.load_notes([*many, "a"], 3) == {"a": b"4"}


def test_use_renews_a_note_and_disuse_ends_it(notes: NoteBackend) -> None:
    notes.save_notes({"a": b"1", "b": b"2"}, 0)
    assert notes.load_notes(["a"], 29 * DAY)
    assert notes.load_notes(["a", "b"], 31 * DAY) == {"a": b"1"}
    notes.save_notes({"c": b"3"}, 32 * DAY)
    assert notes.load_notes(["a", "b", "c"], 60 * DAY) == {"a": b"1", "c": b"3"}
    assert notes.load_notes(["a", "c"], 91 * DAY) == {}


def test_longest_unused_notes_are_removed_first(notes: NoteBackend) -> None:
    for number, key in enumerate("abc"):
        notes.save_notes({key: b"x" * 300}, number * DAY)
    assert notes.load_notes(["a"], 3 * DAY)
    notes.save_notes({"d": b"x" * 300}, 4 * DAY)
    assert notes.load_notes("abcd", 5 * DAY).keys() == {"a", "c", "d"}
    for _ in range(5):  # a note that is saved again takes its space once
        notes.save_notes({"d": b"x" * 400}, 6 * DAY)
    assert notes.load_notes("acd", 7 * DAY).keys() == {"a", "c", "d"}
    notes.save_notes({"e": b"x" * 1_000}, 8 * DAY)
    assert notes.load_notes("acde", 9 * DAY).keys() == {"e"}


def test_note_beyond_the_limit_is_left_out_and_removes_nothing(notes: NoteBackend) -> None:
    notes.save_notes({"a": b"1"}, 0)
    notes.save_notes({"b": b"x" * 1_001, "c": b"2"}, 1)
    assert notes.load_notes("abc", 2) == {"a": b"1", "c": b"2"}


def test_notes_do_not_displace_responses(backend: Backend) -> None:
    backend.save_response("a", None, b"x" * 900, 0)
    backend.save_notes({"a": b"x" * 900}, 1)
    backend.save_notes({"b": b"x" * 900}, 2)
    assert backend.load_chain("a", 3) == [b"x" * 900]
    assert backend.load_notes("ab", 3).keys() == {"b"}
    assert backend.find_response("b", 3) is None


def test_notes_survive_a_restart_and_are_shared(open_backend: OpenBackend) -> None:
    first, second = open_backend(), open_backend()
    first.save_notes({"a": b"1"}, 0)
    second.save_notes({"b": b"2"}, 0)
    assert first.load_notes("ab", 1) == {"a": b"1", "b": b"2"}
    first.close()
    assert open_backend().load_notes("ab", 1) == {"a": b"1", "b": b"2"}
