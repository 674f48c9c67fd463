"""`mitmcodex down`"""

from addons.port_holder import port_holder

from ..console import print_line
from ..errors import CommandFailed
from ..relay_process.start import start_lock
from ..relay_process.stop import end_started_relay
from ..running_relay import (
    NOT_RUNNING,
    RunningRelay,
    find_running_relay,
    forget_started_relay,
    read_started_relay,
)


def end_relay() -> None:
    """End the relay that `mitmcodex up` has started.

    Streams that are open end with an error that their clients understand.
    """
    with start_lock():
        if started := read_started_relay():
            print_line(end_started_relay(started))
        elif relay := find_running_relay():
            raise CommandFailed(
                f"the relay at {relay.origin} was not started by `mitmcodex up`", stop_hint(relay)
            )
        else:
            print_line(f"{NOT_RUNNING}: there is nothing to end")
        forget_started_relay()


def stop_hint(relay: RunningRelay) -> str:
    holder = port_holder(relay.port)
    where = f", {holder}" if holder else ""
    return f"end it where it was started, with Ctrl-C in its terminal{where}"
