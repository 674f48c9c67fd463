"""Stored responses and notes in Redis, where several relays share them.

codex-relay:response:<id>          hash: conversation, data
codex-relay:conversation:<id>      hash: the id of each response → the id before it, or ""
codex-relay:used, …:size           sorted set and hash: conversation → last use in Unix s, bytes
codex-relay:note:<key>             a note
codex-relay:notes, …:notes:size    sorted set and hash: key → last use in Unix s, bytes; and in the
                                   hash "" → bytes of all notes
"""

from collections.abc import Collection
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry

from addons.storage.backend import Notes, ResponseMissing, StorageLimits
from addons.storage.breaker import REDIS_SOCKET_TIMEOUT

RESPONSE, CONVERSATION = "codex-relay:response:", "codex-relay:conversation:"
USED, SIZE = "codex-relay:used", "codex-relay:size"
NOTE, NOTES, NOTES_SIZE = "codex-relay:note:", "codex-relay:notes", "codex-relay:notes:size"
# A script is atomic: several relays may change the sum of the sizes at the same time.
SAVE_NOTES = """
local used, sizes, prefix = KEYS[1], KEYS[2], KEYS[3]
local now, life, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local function drop(key)
    redis.call('DEL', prefix .. key)
    redis.call('ZREM', used, key)
    local size = redis.call('HGET', sizes, key)
    if size and size ~= '0' then redis.call('HINCRBY', sizes, '', '-' .. size) end
    redis.call('HDEL', sizes, key)
end
for i = 4, #ARGV, 2 do
    drop(ARGV[i])
    redis.call('SET', prefix .. ARGV[i], ARGV[i + 1], 'EX', math.floor(life) + 1)
    redis.call('ZADD', used, now, ARGV[i])
    redis.call('HSET', sizes, ARGV[i], #ARGV[i + 1])
    redis.call('HINCRBY', sizes, '', #ARGV[i + 1])
end
local over = '(' .. string.format('%.17g', tonumber(now) - life)
for _, key in ipairs(redis.call('ZRANGEBYSCORE', used, '-inf', over)) do drop(key) end
while tonumber(redis.call('HGET', sizes, '') or 0) > room do
    local oldest = redis.call('ZRANGE', used, 0, 0)[1]
    if not oldest then break end
    drop(oldest)
end
"""


def connect_redis(url: str) -> Any:
    """A client for this Redis, which connects when it is first used."""
    # One retry, for a connection that Redis has closed in the meantime.
    retry = Retry(NoBackoff(), 1, supported_errors=(ConnectionError,))
    return Redis.from_url(
        url,
        socket_connect_timeout=REDIS_SOCKET_TIMEOUT,
        socket_timeout=REDIS_SOCKET_TIMEOUT,
        retry=retry,
    )


class RedisBackend:
    def __init__(self, url: str, limits: StorageLimits) -> None:
        self._limits = limits
        self._redis = connect_redis(url)
        self._save_notes = self._redis.register_script(SAVE_NOTES)

    def save_response(self, id: str, previous: str | None, data: bytes, now: float) -> None:
        conversation = (self._conversation_of(previous, now) if previous else None) or id
        size = int(self._redis.hget(SIZE, conversation) or 0)
        self._limits.check_conversation_size(len(data) + size)
        with self._redis.pipeline() as transaction:
            fields = {"conversation": conversation, "data": data}
            transaction.hset(RESPONSE + id, mapping=fields)
            transaction.hset(CONVERSATION + conversation, id, previous or "")
            transaction.hincrby(SIZE, conversation, len(data))
            transaction.execute()
        self._renew(conversation, now)
        self._remove_excess(now)

    def load_chain(self, id: str, now: float) -> list[bytes]:
        conversation = self._conversation_of(id, now)
        if conversation is None:
            raise ResponseMissing(id)
        previous_ids = self._redis.hgetall(CONVERSATION + conversation)
        ids, next_id = [], id.encode()
        while next_id:
            if next_id not in previous_ids:
                raise ResponseMissing(next_id.decode())
            ids.append(next_id.decode())
            next_id = previous_ids[next_id]
        with self._redis.pipeline() as transaction:
            for response_id in ids:
                transaction.hget(RESPONSE + response_id, "data")
            responses: list[bytes | None] = transaction.execute()
        for response_id, data in zip(ids, responses, strict=True):
            if data is None:
                raise ResponseMissing(response_id)
        self._renew(conversation, now)
        return [data for data in responses[::-1] if data is not None]

    def find_response(self, id: str, now: float) -> bytes | None:
        if self._conversation_of(id, now) is None:
            return None
        data: bytes | None = self._redis.hget(RESPONSE + id, "data")
        return data

    def remove_response(self, id: str, now: float) -> bool:
        conversation, data = self._conversation_of(id, now), self.find_response(id, now)
        if conversation is None or data is None:
            return False
        with self._redis.pipeline() as transaction:
            transaction.delete(RESPONSE + id)
            transaction.hdel(CONVERSATION + conversation, id)
            transaction.hincrby(SIZE, conversation, -len(data))
            transaction.hlen(CONVERSATION + conversation)
            remaining = transaction.execute()[-1]
        if not remaining:
            self._remove_conversation(conversation)
        return True

    def save_notes(self, notes: Notes, now: float) -> None:
        pairs = [text for pair in self._limits.notes_that_fit(notes).items() for text in pair]
        limits = repr(now), repr(self._limits.max_age), self._limits.max_bytes
        self._save_notes(keys=[NOTES, NOTES_SIZE, NOTE], args=[*limits, *pairs])

    def load_notes(self, keys: Collection[str], now: float) -> Notes:
        with self._redis.pipeline(transaction=False) as batch:
            for key in keys:
                batch.zscore(NOTES, key)
                batch.get(NOTE + key)
            answers = iter(batch.execute())
        entries = zip(keys, zip(answers, answers, strict=True), strict=True)
        oldest = now - self._limits.max_age
        loaded = {
            key: data
            for key, (used_at, data) in entries
            if used_at is not None and used_at >= oldest and data
        }
        with self._redis.pipeline(transaction=False) as batch:
            for key in loaded:
                batch.zadd(NOTES, {key: now}, xx=True)
                batch.expire(NOTE + key, int(self._limits.max_age) + 1)
            batch.execute()
        return loaded

    def close(self) -> None:
        self._redis.close()

    def _conversation_of(self, id: str, now: float) -> str | None:
        """The conversation of a response; None if there is none, or it has expired."""
        conversation = self._redis.hget(RESPONSE + id, "conversation")
        used_at = self._redis.zscore(USED, conversation) if conversation else None
        is_recent = used_at is not None and used_at >= now - self._limits.max_age
        return conversation.decode() if is_recent else None

    def _renew(self, conversation: str, now: float) -> None:
        """Set the time of the last use. Keys also expire, in case no relay runs to remove them."""
        seconds = int(self._limits.max_age) + 1
        ids = self._redis.hkeys(CONVERSATION + conversation)
        with self._redis.pipeline(transaction=False) as batch:
            batch.zadd(USED, {conversation: now})
            batch.expire(CONVERSATION + conversation, seconds)
            for id in ids:
                batch.expire(RESPONSE + id.decode(), seconds)
            batch.execute()

    def _remove_excess(self, now: float) -> None:
        for old in self._redis.zrangebyscore(USED, "-inf", f"({now - self._limits.max_age}"):
            self._remove_conversation(old.decode())
        sizes = {name: int(size) for name, size in self._redis.hgetall(SIZE).items()}
        excess = sum(sizes.values()) - self._limits.max_bytes
        for old in self._redis.zrange(USED, 0, -1) if excess > 0 else ():
            self._remove_conversation(old.decode())
            excess -= sizes.get(old, 0)
            if excess <= 0:
                break

    def _remove_conversation(self, conversation: str) -> None:
        ids = self._redis.hkeys(CONVERSATION + conversation)
        with self._redis.pipeline() as transaction:
            for id in ids:
                transaction.delete(RESPONSE + id.decode())
            transaction.delete(CONVERSATION + conversation)
            transaction.hdel(SIZE, conversation)
            transaction.zrem(USED, conversation)
            transaction.execute()
