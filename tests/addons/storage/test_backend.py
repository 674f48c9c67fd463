"""Both places for kept responses: a real file, a real Redis; time is told."""

import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from addons.storage.backend import Limits, Missing, Notes, Place
from addons.storage.place_memory import Memory
from addons.storage.redis_backend import Redis
from addons.storage.sqlite_backend import RESPONSES, SQLite
from tests.redis import RedisServer, redis_server

DAY = 86_400.0
LIMITS = Limits(seconds=30 * DAY, bytes=1_000)
Open = Callable[[], Place]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def open_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same place, as often as it is called: relays that share it, or one anew."""
    opened: list[Place] = []
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("server")
        server.client.flushall()

    def make() -> Place:
        new = request.param == "sqlite"
        file = tmp_path / "folder" / "kept.db"
        place: Place = SQLite(file, LIMITS) if new else Redis(server.url, LIMITS)
        opened.append(place)
        return place

    yield make
    for place in opened:
        place.close()


@pytest.fixture
def place(open_place: Open) -> Place:
    return open_place()


def test_a_chain_is_what_went_before_in_order(place: Place) -> None:
    place.keep("a", None, b"1", 0)
    place.keep("b", "a", b"2", 0)
    place.keep("c", "b", b"3", 0)
    assert place.chain("c", 1) == [b"1", b"2", b"3"]
    assert place.chain("a", 1) == [b"1"]
    assert (place.find("b", 1), place.find("z", 1)) == (b"2", None)


def test_branches_do_not_see_each_other(place: Place) -> None:
    place.keep("a", None, b"1", 0)
    place.keep("b", "a", b"2", 0)
    place.keep("c", "a", b"3", 0)
    place.keep("d", "b", b"4", 0)
    assert place.chain("d", 1) == [b"1", b"2", b"4"]
    assert place.chain("c", 1) == [b"1", b"3"]


def test_it_is_there_after_a_restart_and_for_another_relay(open_place: Open) -> None:
    first, second = open_place(), open_place()
    first.keep("a", None, b"1", 0)
    second.keep("b", "a", b"2", 0)
    first.close()
    assert open_place().chain("b", 1) == [b"1", b"2"]


def test_what_is_missing_is_named(place: Place) -> None:
    place.keep("a", None, b"1", 0)
    place.keep("b", "a", b"2", 0)
    place.keep("c", "b", b"3", 0)
    with pytest.raises(Missing, match="^z$"):
        place.chain("z", 1)
    assert place.remove("b", 1)
    assert not place.remove("b", 1)
    assert place.find("b", 1) is None
    with pytest.raises(Missing, match="^b$"):
        place.chain("c", 1)
    assert place.chain("a", 1) == [b"1"]
    place.keep("d", "b", b"4", 1)  # was begun before b went
    with pytest.raises(Missing, match="^b$"):
        place.chain("d", 1)


def test_use_renews_and_disuse_ends(place: Place) -> None:
    place.keep("a", None, b"1", 0)
    place.keep("b", "a", b"2", 0)
    place.keep("x", None, b"3", 0)
    assert place.chain("b", 29 * DAY)
    for gone in ("x", "z"):
        assert place.find(gone, 31 * DAY) is None
        assert not place.remove(gone, 31 * DAY)
        with pytest.raises(Missing):
            place.chain(gone, 31 * DAY)
    assert place.chain("a", 31 * DAY) == [b"1"]
    assert place.chain("b", 58 * DAY) == [b"1", b"2"]


def test_the_longest_unused_conversations_make_room(place: Place) -> None:
    for number, id in enumerate("abc"):
        place.keep(id, None, b"x" * 300, number)
    place.keep("a2", "a", b"x" * 50, 5)  # a is in use again
    place.keep("d", None, b"x" * 300, 6)
    assert [id for id in ("a", "a2", "b", "c", "d") if place.find(id, 7)] == ["a", "a2", "c", "d"]
    place.keep("e", None, b"x" * 700, 8)
    assert [id for id in ("a", "a2", "c", "d", "e") if place.find(id, 9)] == ["d", "e"]


def test_room_is_given_back(place: Place) -> None:
    for number in range(20):
        place.keep(f"r{number}", None, b"x" * 400, number)
        assert place.remove(f"r{number}", number)
    place.keep("a", None, b"x" * 900, 30)
    place.keep("b", None, b"x" * 100, 31)
    assert place.find("a", 32) and place.find("b", 32)


def test_what_is_too_large_alone_is_refused_and_harms_nothing(place: Place) -> None:
    place.keep("a", None, b"x" * 600, 0)
    with pytest.raises(OSError, match="relay_store_megabytes"):
        place.keep("b", "a", b"x" * 600, 1)
    with pytest.raises(OSError, match="relay_store_megabytes"):
        place.keep("c", None, b"x" * 1_001, 1)
    assert place.chain("a", 2) == [b"x" * 600]


@pytest.fixture(params=["sqlite", "redis", "memory"])
def notes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Notes]:
    if request.param == "memory":
        yield Memory(LIMITS)
        return
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("server")
        server.client.flushall()
    new = request.param == "sqlite"
    place: Place = SQLite(tmp_path / "kept.db", LIMITS) if new else Redis(server.url, LIMITS)
    yield place
    place.close()


def test_notes_are_found_by_their_keys(notes: Notes) -> None:
    notes.note({"a": b"1", "b": b"\x00\xff", "c": b"3"}, 0)
    assert notes.noted(["a", "b", "z", "b"], 1) == {"a": b"1", "b": b"\x00\xff"}
    assert notes.noted([], 1) == notes.noted(["z"], 1) == {}
    notes.note({"a": b"4"}, 2)
    notes.note({}, 2)
    assert notes.noted(["a"], 3) == {"a": b"4"}
    many = [str(number) for number in range(3_000)]
    assert notes.noted([*many, "a"], 3) == {"a": b"4"}


def test_notes_are_renewed_by_use_and_end_without(notes: Notes) -> None:
    notes.note({"a": b"1", "b": b"2"}, 0)
    assert notes.noted(["a"], 29 * DAY)
    assert notes.noted(["a", "b"], 31 * DAY) == {"a": b"1"}
    notes.note({"c": b"3"}, 32 * DAY)
    assert notes.noted(["a", "b", "c"], 60 * DAY) == {"a": b"1", "c": b"3"}
    assert notes.noted(["a", "c"], 91 * DAY) == {}


def test_the_longest_unused_notes_make_room(notes: Notes) -> None:
    for number, key in enumerate("abc"):
        notes.note({key: b"x" * 300}, number * DAY)
    assert notes.noted(["a"], 3 * DAY)
    notes.note({"d": b"x" * 300}, 4 * DAY)
    assert notes.noted("abcd", 5 * DAY).keys() == {"a", "c", "d"}
    for _ in range(5):  # takes the room of one
        notes.note({"d": b"x" * 400}, 6 * DAY)
    assert notes.noted("acd", 7 * DAY).keys() == {"a", "c", "d"}
    notes.note({"e": b"x" * 1_000}, 8 * DAY)
    assert notes.noted("acde", 9 * DAY).keys() == {"e"}


def test_a_note_that_is_too_large_alone_harms_nothing(notes: Notes) -> None:
    notes.note({"a": b"1"}, 0)
    notes.note({"b": b"x" * 1_001, "c": b"2"}, 1)
    assert notes.noted("abc", 2) == {"a": b"1", "c": b"2"}


def test_notes_do_not_take_the_room_of_responses(place: Place) -> None:
    place.keep("a", None, b"x" * 900, 0)
    place.note({"a": b"x" * 900}, 1)
    place.note({"b": b"x" * 900}, 2)
    assert place.chain("a", 3) == [b"x" * 900]
    assert place.noted("ab", 3).keys() == {"b"}
    assert place.find("b", 3) is None


def test_notes_are_there_after_a_restart_and_for_another_relay(open_place: Open) -> None:
    first, second = open_place(), open_place()
    first.note({"a": b"1"}, 0)
    second.note({"b": b"2"}, 0)
    assert first.noted("ab", 1) == {"a": b"1", "b": b"2"}
    first.close()
    assert open_place().noted("ab", 1) == {"a": b"1", "b": b"2"}


def test_a_file_of_the_first_version_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    with sqlite3.connect(file) as first:
        for statement in (*RESPONSES, "PRAGMA user_version = 1"):
            first.execute(statement)
        first.execute("INSERT INTO conversation VALUES ('a', 0, 1)")
        first.execute("INSERT INTO response VALUES ('a', NULL, x'31', 'a')")
    first.close()
    for _ in range(2):
        place = SQLite(file, LIMITS)
        assert place.chain("a", 1) == [b"1"]
        place.note({"a": b"2"}, 1)
        assert place.noted("a", 1) == {"a": b"2"}
        place.close()
    assert [one.name for one in tmp_path.iterdir()] == ["kept.db"]


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    SQLite(file, LIMITS).close()
    with sqlite3.connect(file) as later:
        later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(OSError, match="another program or version"):
        SQLite(file, LIMITS)


def test_notes_in_redis_end_by_themselves_and_their_sum_is_right(server: RedisServer) -> None:
    server.client.flushall()
    place = Redis(server.url, Limits(seconds=100, bytes=1_000))
    place.note({"a": b"x" * 100, "b": b"x"}, 0)
    assert all(0 < server.client.ttl(f"codex-relay:note:{key}") <= 101 for key in "ab")
    place.note({"a": b"x" * 10}, 1)
    assert server.client.hgetall("codex-relay:notes:size") == {b"": b"11", b"a": b"10", b"b": b"1"}
    server.client.delete("codex-relay:note:b")
    assert place.noted("ab", 2) == {"a": b"x" * 10}
    place.note({"c": b"x" * 5}, 1_000)
    assert server.client.hgetall("codex-relay:notes:size") == {b"": b"5", b"c": b"5"}
    assert len(server.client.keys("*")) == 3
    place.close()


def test_redis_holds_nothing_that_does_not_end_by_itself(server: RedisServer) -> None:
    server.client.flushall()
    place = Redis(server.url, Limits(seconds=100, bytes=1_000))
    place.keep("a", None, b"1", 0)
    place.keep("b", "a", b"2", 0)
    own = [key for key in server.client.keys("*") if b":response:" in key or b":conv" in key]
    assert len(own) == 3
    assert all(0 < server.client.ttl(key) <= 101 for key in own)
    place.keep("c", None, b"3", 1_000)
    assert len(server.client.keys("*")) == 4  # of c, and the two that tell of all
    place.close()


def test_a_damaged_file_is_kept_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "kept.db"
    file.write_bytes(b"these are no pages of a database " * 1_000)
    place = SQLite(file, LIMITS)
    place.keep("a", None, b"1", 0)
    assert place.find("a", 1) == b"1"
    place.close()
    [aside] = tmp_path.glob("kept.db.damaged-*")
    assert aside.read_bytes().startswith(b"these are")
    assert "is damaged" in caplog.text and aside.name in caplog.text and str(file) in caplog.text


def test_a_file_that_is_damaged_within_is_kept_aside(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    place = SQLite(file, Limits(1, 10_000_000))
    for number in range(200):
        place.keep(f"r{number}", f"r{number - 1}", b"x" * 1_000, 0)
    place.close()
    data = bytearray(file.read_bytes())
    data[8_192:40_960] = b"\xff" * (40_960 - 8_192)
    file.write_bytes(data)
    SQLite(file, LIMITS).close()
    [aside] = tmp_path.glob("kept.db.damaged-*")
    assert aside.read_bytes()[100:] == data[100:]  # behind the head, which counts openings


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "theirs.db"
    with sqlite3.connect(file) as theirs:
        theirs.execute("CREATE TABLE t (x)")
    theirs.close()
    before = file.read_bytes()
    with pytest.raises(OSError, match="another program"):
        SQLite(file, LIMITS)
    with sqlite3.connect(file) as theirs:
        assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    theirs.close()
    assert len(file.read_bytes()) == len(before)


def test_the_file_is_its_owners_alone_and_shrinks(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "kept.db"
    place = SQLite(file, Limits(DAY, 2_000_000))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    for number in range(10):
        place.keep(f"r{number}", None, b"x" * 1_000_000, number)
    place.keep("last", None, b"x", 3 * DAY)
    place.close()
    assert file.stat().st_size < 1_000_000
