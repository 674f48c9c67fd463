from collections.abc import Iterator

import pytest

from tests.redis import RedisServer, redis_server


@pytest.fixture(scope="session")
def started_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(started_redis: RedisServer) -> RedisServer:
    """A real Redis without any key."""
    started_redis.client.flushall()
    return started_redis
