"""Kept responses in Redis, where several relays share them.

codex-relay:response:<id>          hash: conversation, data
codex-relay:conversation:<id>      hash: each of its responses → the one before, or ""
codex-relay:used, …:size           sorted set and hash: conversation → Unix seconds, bytes
codex-relay:note:<key>             a note
codex-relay:notes, …:notes:size    sorted set and hash: key → Unix seconds, bytes; "" → of all
"""

from collections.abc import Collection
from typing import Any

from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry

from addons.storage.backend import Data, Limits, Missing

RESPONSE, CONVERSATION = "codex-relay:response:", "codex-relay:conversation:"
USED, SIZE = "codex-relay:used", "codex-relay:size"
NOTE, NOTES, NOTES_SIZE = "codex-relay:note:", "codex-relay:notes", "codex-relay:notes:size"
# In one step, as relays that share the sum of the sizes would spoil it for each other.
NOTING = """
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


class Redis:
    cure = "start that Redis, or name another one, a file, or off"

    def __init__(self, url: str, limits: Limits) -> None:
        self._limits = limits
        # A connection that Redis closed meanwhile is made anew, once.
        again = Retry(NoBackoff(), 1, supported_errors=(ConnectionError,))
        self._client: Any = Client.from_url(
            url, socket_connect_timeout=2, socket_timeout=2, retry=again
        )
        self._noting = self._client.register_script(NOTING)

    def keep(self, id: str, previous: str | None, data: bytes, now: float) -> None:
        conversation = (self._conversation(previous, now) if previous else None) or id
        self._limits.check(len(data) + int(self._client.hget(SIZE, conversation) or 0))
        with self._client.pipeline() as all_or_nothing:
            fields = {"conversation": conversation, "data": data}
            all_or_nothing.hset(RESPONSE + id, mapping=fields)
            all_or_nothing.hset(CONVERSATION + conversation, id, previous or "")
            all_or_nothing.hincrby(SIZE, conversation, len(data))
            all_or_nothing.execute()
        self._use(conversation, now)
        self._tidy(now)

    def chain(self, id: str, now: float) -> list[bytes]:
        conversation = self._conversation(id, now)
        if conversation is None:
            raise Missing(id)
        before = self._client.hgetall(CONVERSATION + conversation)
        ids, at = [], id.encode()
        while at:
            if at not in before:
                raise Missing(at.decode())
            ids.append(at.decode())
            at = before[at]
        with self._client.pipeline() as several:
            for one in ids:
                several.hget(RESPONSE + one, "data")
            found = several.execute()
        for one, data in zip(ids, found, strict=True):
            if data is None:
                raise Missing(one)
        self._use(conversation, now)
        return found[::-1]  # type: ignore[no-any-return]  # the client is untyped

    def find(self, id: str, now: float) -> bytes | None:
        if self._conversation(id, now) is None:
            return None
        data: bytes | None = self._client.hget(RESPONSE + id, "data")
        return data

    def remove(self, id: str, now: float) -> bool:
        conversation, data = self._conversation(id, now), self.find(id, now)
        if conversation is None or data is None:
            return False
        with self._client.pipeline() as all_or_nothing:
            all_or_nothing.delete(RESPONSE + id)
            all_or_nothing.hdel(CONVERSATION + conversation, id)
            all_or_nothing.hincrby(SIZE, conversation, -len(data))
            all_or_nothing.hlen(CONVERSATION + conversation)
            left = all_or_nothing.execute()[-1]
        if not left:
            self._drop(conversation)
        return True

    def note(self, notes: Data, now: float) -> None:
        pairs = [one for pair in self._limits.fitting(notes).items() for one in pair]
        limits = repr(now), repr(self._limits.seconds), self._limits.bytes
        self._noting(keys=[NOTES, NOTES_SIZE, NOTE], args=[*limits, *pairs])

    def noted(self, keys: Collection[str], now: float) -> Data:
        with self._client.pipeline(transaction=False) as several:
            for key in keys:
                several.zscore(NOTES, key)
                several.get(NOTE + key)
            answers = iter(several.execute())
        kept = zip(keys, zip(answers, answers, strict=True), strict=True)
        oldest = now - self._limits.seconds
        found = {k: v for k, (used, v) in kept if used is not None and used >= oldest and v}
        with self._client.pipeline(transaction=False) as several:
            for key in found:
                several.zadd(NOTES, {key: now}, xx=True)
                several.expire(NOTE + key, int(self._limits.seconds) + 1)
            several.execute()
        return found

    def close(self) -> None:
        self._client.close()

    def _conversation(self, id: str, now: float) -> str | None:
        """Where a response belongs, unless that is over."""
        found = self._client.hget(RESPONSE + id, "conversation")
        used = self._client.zscore(USED, found) if found else None
        return found.decode() if used is not None and used >= now - self._limits.seconds else None

    def _use(self, conversation: str, now: float) -> None:
        """Renew it; Redis lets it go by itself as well, should no relay run any more."""
        until = int(self._limits.seconds) + 1
        ids = self._client.hkeys(CONVERSATION + conversation)
        with self._client.pipeline(transaction=False) as several:
            several.zadd(USED, {conversation: now})
            several.expire(CONVERSATION + conversation, until)
            for id in ids:
                several.expire(RESPONSE + id.decode(), until)
            several.execute()

    def _tidy(self, now: float) -> None:
        for old in self._client.zrangebyscore(USED, "-inf", f"({now - self._limits.seconds}"):
            self._drop(old.decode())
        sizes = {name: int(size) for name, size in self._client.hgetall(SIZE).items()}
        over = sum(sizes.values()) - self._limits.bytes
        for old in self._client.zrange(USED, 0, -1) if over > 0 else ():
            self._drop(old.decode())
            over -= sizes.get(old, 0)
            if over <= 0:
                break

    def _drop(self, conversation: str) -> None:
        ids = self._client.hkeys(CONVERSATION + conversation)
        with self._client.pipeline() as all_or_nothing:
            for id in ids:
                all_or_nothing.delete(RESPONSE + id.decode())
            all_or_nothing.delete(CONVERSATION + conversation)
            all_or_nothing.hdel(SIZE, conversation)
            all_or_nothing.zrem(USED, conversation)
            all_or_nothing.execute()
