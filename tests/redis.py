"""A redis-server of the test's own, on a free port of loopback, with nothing written to disk."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Refused

from addons.launch import bindable

PROGRAM = shutil.which("redis-server")


class RedisServer:
    """Up when the constructor returns; `stop` and `start` keep the port, and lose the data."""

    def __init__(self, folder: Path) -> None:
        if PROGRAM is None:
            pytest.skip("no redis-server is installed (Debian: apt-get install redis-server)")
        self._folder, self.port = folder, bindable(0)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis(port=self.port)
        self.start()

    def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self._folder}
        command = [str(PROGRAM), *(str(x) for k, v in options.items() for x in (f"--{k}", v))]
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
