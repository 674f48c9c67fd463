"""The breaker of a Redis that does not answer: for a while all work fails at once, and then one
piece of work tries again. All that is stored in one Redis shares its breaker."""

import logging
import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from addons.config import REDIS_SCHEMES

PAUSE = 5.0  # s until the next trial
# s that one command waits for Redis, and that a request waits for all of its commands.
REDIS_SOCKET_TIMEOUT, REDIS_ANSWER_TIMEOUT = 0.5, 1.0


class Breaker:
    """Its methods may be called in any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._broken_until: float | None = None  # by the clock; None while Redis answers

    @property
    def refuses_work(self) -> bool:
        return self._broken_until is not None and self._clock() < self._broken_until

    def on_failure(self, error: Exception) -> bool:
        """Call it after each failure of work that was not refused.

        Returns whether Redis did not answer; the log then says so once."""
        if not is_connection_failure(error):
            return False
        if self._broken_until is None:
            logging.warning(
                f"relay: the Redis of relay_store does not answer ({error}): nothing is stored or"
                f" found there meanwhile; the relay tries again every {PAUSE:g} s"
            )
        self._broken_until = self._clock() + PAUSE
        return True

    def on_success(self) -> None:
        """Call it after each success."""
        if self._broken_until is not None:
            self._broken_until = None
            logging.warning("relay: the Redis of relay_store answers again")


def is_connection_failure(error: Exception) -> bool:
    """Whether Redis cannot be reached or does not answer, unlike a Redis that refuses a command."""
    # Imported here, as most relays do not use Redis.
    from redis.exceptions import ConnectionError, TimeoutError

    return isinstance(error, ConnectionError | TimeoutError)


_breakers: WeakValueDictionary[str, Breaker] = WeakValueDictionary()


def breaker_for(location: str) -> Breaker | None:
    """The breaker of the storage at this location, the setting `store`; None for files."""
    if not location.startswith(REDIS_SCHEMES):
        return None
    breaker = _breakers.get(location)
    if breaker is None:
        breaker = _breakers[location] = Breaker()
    return breaker
