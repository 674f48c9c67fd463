"""Ends the relay when the process that has started it is gone, also if that one was killed."""

import asyncio
import logging
import os

import psutil
from mitmproxy import ctx

from addons.identity import PARENT_VARIABLE

CHECK_INTERVAL = 1.0  # s


class ParentWatch:
    """The addon. It does something where the environment names a process to live as long as."""

    _task: asyncio.Task[None] | None = None

    def running(self) -> None:
        if (process_id := os.environ.get(PARENT_VARIABLE, "")).isdecimal() and not self._task:
            self._task = asyncio.get_running_loop().create_task(end_with(int(process_id)))

    def done(self) -> None:
        if self._task:
            self._task.cancel()
            self._task = None


async def end_with(process_id: int) -> None:
    """Shut mitmproxy down as soon as the process has ended."""
    try:
        parent = psutil.Process(process_id)  # remembers when it began, as the id may be used again
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(CHECK_INTERVAL)
    except psutil.NoSuchProcess:
        pass
    logging.info("mitmcodex: the program that started this relay has ended, so the relay ends")
    ctx.master.shutdown()  # type: ignore[no-untyped-call]
