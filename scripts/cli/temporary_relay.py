"""A relay for the time of one command, where none runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from .launcher.used_relay import relay_for_program
from .running_relay import RunningRelay, read_health


@contextmanager
def running_or_temporary_relay(port: int | None = None) -> Iterator[RunningRelay]:
    """The relay that runs, on this port if one is given; else one that ends with the `with`
    statement. Raises CommandFailed for a port without a relay, NotStarted."""
    with relay_for_program(port) as relay:
        yield RunningRelay(relay.port, read_health(relay.port) or {})
