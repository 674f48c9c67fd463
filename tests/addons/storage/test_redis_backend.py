"""What only Redis has: its keys, which expire."""

from addons.storage.backend import StorageLimits
from addons.storage.redis_backend import RedisBackend
from tests.redis import RedisServer


def test_notes_expire_by_themselves_and_their_sum_is_right(redis: RedisServer) -> None:
    backend = RedisBackend(redis.url, StorageLimits(max_age=100, max_bytes=1_000))
    backend.save_notes({"a": b"x" * 100, "b": b"x"}, 0)
    assert all(0 < redis.client.ttl(f"codex-relay:note:{key}") <= 101 for key in "ab")
    backend.save_notes({"a": b"x" * 10}, 1)
    assert redis.client.hgetall("codex-relay:notes:size") == {b"": b"11", b"a": b"10", b"b": b"1"}
    redis.client.delete("codex-relay:note:b")
    assert backend.load_notes("ab", 2) == {"a": b"x" * 10}
    backend.save_notes({"c": b"x" * 5}, 1_000)
    assert redis.client.hgetall("codex-relay:notes:size") == {b"": b"5", b"c": b"5"}
    assert len(redis.client.keys("*")) == 3
    backend.close()


def test_responses_expire_by_themselves(redis: RedisServer) -> None:
    backend = RedisBackend(redis.url, StorageLimits(max_age=100, max_bytes=1_000))
    backend.save_response("a", None, b"1", 0)
    backend.save_response("b", "a", b"2", 0)
    keys = [key for key in redis.client.keys("*") if b":response:" in key or b":conv" in key]
    assert len(keys) == 3
    assert all(0 < redis.client.ttl(key) <= 101 for key in keys)
    backend.save_response("c", None, b"3", 1_000)
    assert (
        len(redis.client.keys("*")) == 4
    )  # of c: a response and its conversation; and the two indexes
    backend.close()
