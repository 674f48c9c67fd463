"""The breaker of a Redis that does not answer, on a clock of the test's own."""

import logging

import pytest
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from addons.storage.breaker import PAUSE, Breaker, breaker_for, is_connection_failure


def test_each_change_of_state_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    times = iter([0.0, 1.0, PAUSE, PAUSE, PAUSE + 1])
    breaker = Breaker(lambda: next(times))
    assert not breaker.refuses_work
    breaker.on_success()
    assert breaker.on_failure(TimeoutError("no answer"))  # at 0
    assert breaker.refuses_work  # at 1
    assert not breaker.refuses_work  # one piece of work tries again
    assert breaker.on_failure(ConnectionError("refused"))
    assert breaker.refuses_work
    breaker.on_success()
    breaker.on_success()
    assert not breaker.refuses_work
    lines = [record.message for record in caplog.records]
    assert len(lines) == 2
    assert "does not answer (no answer)" in lines[0] and "answers again" in lines[1]


def test_refused_command_breaks_nothing() -> None:
    breaker = Breaker()
    for error in (ResponseError("OOM command not allowed"), OSError("too large"), KeyError("x")):
        assert not is_connection_failure(error)
        assert not breaker.on_failure(error)
    assert not breaker.refuses_work


def test_what_is_stored_in_one_redis_shares_its_breaker() -> None:
    first, second = breaker_for("redis://a"), breaker_for("redis://a")
    assert first is not None and first is second
    assert breaker_for("redis://b") is not first
    assert breaker_for("/kept.db") is None and breaker_for("") is None
