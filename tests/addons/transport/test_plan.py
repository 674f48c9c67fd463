from mitmproxy.test import tflow

from addons.transport.plan import attach_plan, detach_plan, plan_of
from tests.addons.transport.relay_harness import RelayAddon


def test_attached_plan_is_found_until_it_is_detached() -> None:
    flow = tflow.tflow()
    plan = RelayAddon(port=9).plan_for(flow)
    assert plan_of(flow) is None
    attach_plan(flow, plan)
    assert plan_of(flow) is plan
    detach_plan(flow)
    assert plan_of(flow) is None
    detach_plan(flow)  # a second call is harmless


def test_later_plan_replaces_an_earlier_one() -> None:
    flow, addon = tflow.tflow(), RelayAddon(port=9)
    attach_plan(flow, addon.plan_for(flow))
    attach_plan(flow, second := addon.plan_for(flow))
    assert plan_of(flow) is second


def test_plan_is_not_in_a_saved_flow() -> None:
    flow = tflow.tflow()
    state = repr(flow.get_state())
    attach_plan(flow, RelayAddon(port=9).plan_for(flow))
    assert repr(flow.get_state()) == state
    assert plan_of(flow.copy()) is None
