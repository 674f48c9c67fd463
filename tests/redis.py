"""A redis-server for tests, on a free port of loopback, which writes nothing to disk."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Refused

from addons.launch import available_port

REDIS_SERVER = shutil.which("redis-server")


class RedisServer:
    """Ready when the constructor returns; `stop` and `start` keep the port but no data."""

    def __init__(self, folder: Path) -> None:
        if REDIS_SERVER is None:
            pytest.skip("no redis-server is installed (Debian: apt-get install redis-server)")
        self._folder, self.port = folder, available_port(0)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis(port=self.port)
        self.start()

    def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self._folder}
        command = [str(REDIS_SERVER), *(str(x) for k, v in options.items() for x in (f"--{k}", v))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 10
        while True:
            with contextlib.suppress(Refused):
                self.client.ping()
                return
            assert time.monotonic() < end and self._process.poll() is None, "no Redis"
            time.sleep(0.02)

    def stop(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(10)


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    try:
        yield server
    finally:
        server.stop()
