"""Holds back the end of a reply until its response is stored: a client that has seen the end can
rely on it, even if the relay is killed the moment after.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from dataclasses import dataclass

from mitmproxy import hooks
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.http import SendHttp

from addons.transport.attempts import Steps
from addons.transport.plan import plan_of

# A reload of the script defines the class again; mitmproxy would warn of two classes.
hooks.all_hooks.pop("relay_write", None)


@dataclass
class RelayWriteHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """The stream waits until the handler of this event has ended; the event loop does not."""

    flow: HTTPFlow


async def finish_write(flow: HTTPFlow) -> None:
    """The handler of the event."""
    if plan := plan_of(flow):
        await plan.finish_write()


def hold_until_written(flow: HTTPFlow, steps: Steps, client: object) -> Steps:
    """The steps, with a wait before what the client gets while its response is being stored."""
    answer = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration:
            return
        if isinstance(step, SendHttp) and step.connection is client:
            plan = plan_of(flow)
            if plan and plan.is_writing():
                yield RelayWriteHook(flow)
        answer = yield step
