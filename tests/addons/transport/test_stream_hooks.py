"""The relay's own events: defined again at a reload, and handled by `Transport`."""

import asyncio
import runpy
from types import SimpleNamespace

import pytest
from mitmproxy import hooks
from mitmproxy.proxy import commands
from mitmproxy.test import tflow

from addons.transport import stream_hooks
from addons.transport.addon import Transport
from addons.transport.plan import attach_plan
from addons.transport.stream_hooks import RelayFallbackHook, RelayWriteHook


def test_classes_may_be_defined_again() -> None:
    names = runpy.run_path(str(stream_hooks.__file__))  # a warning would be an error
    for name in ("RelayWriteHook", "RelayFallbackHook"):
        assert hooks.all_hooks[names[name].name] is names[name]


class CalledPlan(SimpleNamespace):
    """As much of a RelayPlan as the handlers call."""

    async def finish_write(self) -> None:
        self.call = "write"

    async def try_fallback(self) -> None:
        self.call = "fallback"


@pytest.mark.parametrize(
    ("hook", "call"), [(RelayWriteHook, "write"), (RelayFallbackHook, "fallback")]
)
def test_transport_handles_the_events(hook: type[commands.StartHook], call: str) -> None:
    flow, plan = tflow.tflow(), CalledPlan()
    handler = getattr(Transport(), hook.name)
    asyncio.run(handler(flow))  # a flow without a plan
    attach_plan(flow, plan)  # type: ignore[arg-type]  # it has no exchange
    asyncio.run(handler(*hook(flow).args()))  # type: ignore[call-arg]  # a dataclass
    assert plan.call == call
