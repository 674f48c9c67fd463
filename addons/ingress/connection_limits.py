"""Bounds the connections of clients: how many there are, and how long they may be idle."""

import asyncio
import errno
import logging
import sys
import time
from typing import Any

from mitmproxy.connection import Client

from addons.config import current_settings
from addons.transport import close_client, count_clients, idle_clients, mark_progress

if sys.platform == "win32":
    resource: Any = None  # there, sockets are no files
else:
    import resource

MAX_FILES = 16_384  # that the process asks for: enough for MAX_CONNECTIONS
# Of the program itself (modules, databases, logs, listeners), and for connections that the event
# loop accepts in one go, 100 in asyncio, before the relay can refuse them.
RESERVED_FILES = 60 + 100
MAX_CONNECTIONS = 4096
ACCEPT_LOG_INTERVAL = 60.0  # s
NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
LONGEST_SWEEP = 15.0  # s between two searches for idle connections


def raise_file_limit() -> None:
    """Let the process open more files, as far as the system allows it."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            logging.debug(f"relay: the limit of open files stays at {soft}: {error}")


def connection_limit() -> int:
    """How many connections clients may have: the setting, or else half of the files that the
    process may open, as each connection may need another one to an upstream."""
    if (limit := current_settings().max_connections) is not None:
        return limit
    if resource is None:
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, (files - RESERVED_FILES) // 2))


class ConnectionLimits:
    """Closes connections that are too many, at once, and those that are idle for too long."""

    def __init__(self) -> None:
        self._sweeper: asyncio.Task[None] | None = None
        self._is_full = False  # whether the log has said that there are too many
        self._accept_errors = AcceptErrors()

    def begin_sweeps(self) -> None:
        raise_file_limit()
        self._accept_errors.watch_loop()
        self._sweeper = asyncio.create_task(self._close_idle_clients())

    def end_sweeps(self) -> None:
        self._accept_errors.leave_loop()
        if self._sweeper:
            self._sweeper.cancel()
        self._sweeper = None

    def admit(self, client: Client) -> None:
        """Close the new connection if there are too many."""
        count, limit = count_clients(), connection_limit()
        if count > limit:
            client.error = "mitmcodex has too many connections"
            if not self._is_full:
                message = f"relay: clients have {limit} connections open; further ones are closed"
                logging.warning(f"{message} (relay_max_connections)")
            self._is_full = True
            return
        if count <= limit * 3 // 4:
            self._is_full = False  # the next burst gets a line of its own
        if client.proxy_mode.type_name == "regular":  # other modes may not carry HTTP
            mark_progress(client)

    async def _close_idle_clients(self) -> None:
        while True:
            idle = current_settings().idle
            await asyncio.sleep(min(idle / 4, LONGEST_SWEEP))
            for client in idle_clients(idle):
                close_client(client)


class AcceptErrors:
    """Logs a line a minute while the process has no file left for a connection.

    asyncio reports this error a hundred times a second, and mitmproxy logs each with a traceback.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next_handler: Any = None
        self._silent_until = 0.0  # monotonic time

    def watch_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next_handler = self._loop.get_exception_handler()
        self._loop.set_exception_handler(self.handle_error)

    def leave_loop(self) -> None:
        if self._loop and self._loop.get_exception_handler() == self.handle_error:
            self._loop.set_exception_handler(self._next_handler)
        self._loop = None

    def handle_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in NO_FILES:
            if time.monotonic() >= self._silent_until:
                self._silent_until = time.monotonic() + ACCEPT_LOG_INTERVAL
                message = f"relay: connections of clients have to wait: {error.strerror}"
                logging.warning(f"{message} (relay_max_connections)")
        elif self._next_handler:
            self._next_handler(loop, context)
        else:
            loop.default_exception_handler(context)
