"""Runs the work on a large request in a thread, so that the streams of others go on meanwhile.

A thread gives way to the event loop between two instructions of Python, but not during a call of C:
translate handles large JSON in steps for that. A pool of processes would have to pass the exchange
back, which takes as long as the work.
"""

import asyncio
import ctypes
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from addons.config import current_settings
from translate import LARGE_JSON

# One more than needed: a request of 64 MB does not make all others of more than LARGE_JSON wait.
_threads = ThreadPoolExecutor(2, "relay-large-request")
# Bytes of the requests whose work waits or runs; of work that is small, LARGE_JSON count.
QUEUE_BYTES = 512 << 20
BUSY = "The relay has too many large requests to translate. Try again in a moment."
# s for which a thread may keep the event loop waiting; Python's own are 5 ms. An event of a stream
# takes some three of these turns.
SWITCH_INTERVAL = 0.0005

# A collection of the oldest objects stops all threads, and a large request has a million of them.
# The first two numbers are Python's own; such collections are a hundred times rarer than usual.
LARGE_WORK_GC = (*gc.get_threshold()[:2], 1_000)

# s after the last large request until its memory is given back: a session sends the next one soon.
RETURN_DELAY = 5.0

_return_timer: asyncio.TimerHandle | None = None
_lock = threading.Lock()
_running_count = 0
_queued_bytes = 0
_usual_interval = 0.0
_usual_gc = gc.get_threshold()


class LargeWorkUnavailable(Exception):
    """The work is not done: too much waits for the threads, or it takes longer than
    `relay_timeout`."""


async def run_sized[T](size: int, work: Callable[[], T]) -> T:
    """The result of the work on JSON of this many bytes: in a thread if it is large.

    Raises what the work raises, and LargeWorkUnavailable.
    """
    if size <= LARGE_JSON:
        return work()
    return_memory_later()
    return await run_in_thread(size, work)


async def run_in_thread[T](size: int, work: Callable[[], T]) -> T:
    """The result of the work on this many bytes, in a thread. Raises what the work raises, and
    LargeWorkUnavailable."""
    limit = current_settings().timeout
    future = submit_work(size, work)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), limit)
    except TimeoutError:
        message = f"The relay could not translate this request in {limit:g} s (relay_timeout)."
        raise LargeWorkUnavailable(message) from None


def submit_work[T](size: int, work: Callable[[], T]) -> "Future[T]":
    """Queue the work for the threads. Raises LargeWorkUnavailable if the queue is full."""
    global _queued_bytes
    size = max(size, LARGE_JSON)
    with _lock:
        if _queued_bytes and _queued_bytes + size > QUEUE_BYTES:
            raise LargeWorkUnavailable(BUSY)
        _queued_bytes += size
    future = _threads.submit(run_in_turns, work)
    future.add_done_callback(lambda _: leave_queue(size))
    return future


def leave_queue(size: int) -> None:
    global _queued_bytes
    with _lock:
        _queued_bytes -= size


def run_in_turns[T](work: Callable[[], T]) -> T:
    """Do the work in this thread, which gives way to the event loop more often than usual."""
    with short_turns():
        return work()


@contextmanager
def short_turns() -> Iterator[None]:
    global _running_count, _usual_interval, _usual_gc
    with _lock:
        if not _running_count:
            _usual_interval = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_INTERVAL)
            _usual_gc = gc.get_threshold()
            gc.set_threshold(*LARGE_WORK_GC)
        _running_count += 1
    try:
        yield
    finally:
        with _lock:
            _running_count -= 1
            if not _running_count:
                sys.setswitchinterval(_usual_interval)
                gc.set_threshold(*_usual_gc)


def return_memory_later() -> None:
    """Give the memory of large requests back to the system when none has come for RETURN_DELAY."""
    global _return_timer
    if _return_timer:
        _return_timer.cancel()
    loop = asyncio.get_running_loop()
    _return_timer = loop.call_later(
        RETURN_DELAY, loop.run_in_executor, _threads, return_unused_memory
    )


def return_unused_memory() -> None:
    """Free what only the garbage collection can free, and what the allocator keeps for later."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:  # glibc has it, musl has not
        trim(0)
