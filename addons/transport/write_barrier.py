"""Holds back the end of a reply until its response is stored: a client that has seen the end can
rely on it, even if the relay is killed the moment after.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers.http import SendHttp

from addons.transport.attempts import Steps
from addons.transport.plan import plan_of
from addons.transport.stream_hooks import RelayWriteHook


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
