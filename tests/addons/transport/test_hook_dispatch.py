import logging
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from mitmproxy import hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.exceptions import AddonHalt
from mitmproxy.http import HTTPFlow
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.test import tflow

from addons.transport.hook_dispatch import HookDispatcher, has_handler
from tests.addons.proxy import bounded, proxy


@dataclass
class Recorder:
    """Records its calls in a list, which several recorders may share. Those with the same name are
    equal."""

    name: str
    calls: list[str] = field(default_factory=list, compare=False)
    addons: list[Any] = field(default_factory=list, compare=False)

    def update(self, flows: list[HTTPFlow]) -> None:
        self.calls.append(self.name)


class AsyncRecorder(Recorder):
    async def update(self, flows: list[HTTPFlow]) -> None:  # type: ignore[override]
        self.calls.append(self.name)


class Failing(Recorder):
    error: BaseException = ValueError("failed")

    def update(self, flows: list[HTTPFlow]) -> None:
        super().update(flows)
        raise self.error


class Halting(Failing):
    error = AddonHalt()  # type: ignore[no-untyped-call]  # mitmproxy's


class Silent:
    name = "silent"


def dispatching_manager(*addons: Any) -> Any:
    manager: Any = Master(Options()).addons
    manager.add(*addons)
    HookDispatcher(manager).install()
    assert "trigger_event" in vars(manager)
    return manager


def event() -> hooks.Hook:
    return hooks.UpdateHook([tflow.tflow()])


@bounded
async def test_handlers_are_called_in_the_order_of_the_addons() -> None:
    calls: list[str] = []
    nested = [Silent(), AsyncRecorder("second", calls)]
    first = Recorder("first", calls, nested)
    manager = dispatching_manager(first, Recorder("third", calls))
    await manager.trigger_event(event())
    await manager.trigger_event(event())
    assert calls == ["first", "second", "third"] * 2


@bounded
async def test_each_addon_is_called_after_another_has_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    failing = Failing("failing", calls, [Recorder("nested in it", calls)])
    manager = dispatching_manager(failing, Recorder("next", calls))
    with caplog.at_level(logging.ERROR):
        await manager.trigger_event(event())
        manager.trigger(event())
    assert calls == ["failing", "next"] * 2
    assert caplog.text.count("Addon error: failed") == 2


@bounded
async def test_halt_ends_the_event() -> None:
    calls: list[str] = []
    manager = dispatching_manager(Halting("halting", calls), Recorder("next", calls))
    await manager.trigger_event(event())
    manager.trigger(event())
    assert calls == ["halting"] * 2


@bounded
async def test_addons_come_and_go() -> None:
    calls: list[str] = []
    first, second = Recorder("first", calls), Recorder("second", calls)
    manager = dispatching_manager(first)
    await manager.trigger_event(event())
    manager.add(second)
    await manager.trigger_event(event())
    manager.remove(first)
    await manager.trigger_event(event())
    assert calls == ["first", "first", "second", "second"]


@bounded
async def test_addon_that_equals_a_removed_one_is_called() -> None:
    old, new = Recorder("same"), Recorder("same")
    manager = dispatching_manager(old)
    await manager.trigger_event(event())
    manager.remove(old)
    manager.add(new)
    await manager.trigger_event(event())
    assert (old.calls, new.calls) == (["same"], ["same"])


@bounded
async def test_addon_that_an_addon_registers_is_called() -> None:
    """mitmproxy registers an addon so when a script is loaded again."""
    calls: list[str] = []
    parent = Recorder("parent", calls)
    manager = dispatching_manager(parent)
    await manager.trigger_event(event())
    parent.addons.append(manager.register(Recorder("child", calls)))
    await manager.trigger_event(event())
    assert calls == ["parent", "parent", "child"]


@bounded
async def test_chain_in_another_order_is_followed() -> None:
    calls: list[str] = []
    manager = dispatching_manager(Recorder("a", calls), Recorder("b", calls))
    await manager.trigger_event(event())
    manager.chain.reverse()
    await manager.trigger_event(event())
    assert calls == ["a", "b", "b", "a"]


@bounded
async def test_async_handler_of_a_synchronous_event_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    manager = dispatching_manager(AsyncRecorder("async", calls))
    with caplog.at_level(logging.ERROR):
        manager.trigger(event())
    assert calls == [] and "cannot be called from sync context" in caplog.text


@bounded
async def test_attribute_that_cannot_be_called_is_reported_at_each_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken: Any = Silent()
    broken.update = "no handler"
    manager = dispatching_manager(broken)
    with caplog.at_level(logging.ERROR):
        await manager.trigger_event(event())
        await manager.trigger_event(event())
    assert caplog.text.count("ERROR") == 2


def test_handler_may_be_nested_or_unreadable() -> None:
    class Unreadable:
        @property
        def update(self) -> None:
            raise RuntimeError

    script = ModuleType("script")
    assert not has_handler(script, "update") and not has_handler(Silent(), "update")
    script.addons = [Silent(), Recorder("nested")]  # type: ignore[attr-defined]
    assert has_handler(script, "update") and has_handler(Unreadable(), "update")


@bounded
async def test_dispatcher_leaves_methods_that_it_did_not_set() -> None:
    async with proxy() as (master, _):
        first, second = HookDispatcher(master.addons), HookDispatcher(master.addons)
        first.install()
        second.install()
        first.remove()
        assert vars(master.addons)["trigger"] == second.trigger
        second.remove()


@bounded
async def test_manager_of_another_class_is_left_alone() -> None:
    class OwnManager(AddonManager):
        pass

    async with proxy() as (master, _):
        manager = OwnManager(master)  # type: ignore[no-untyped-call]  # mitmproxy's
        HookDispatcher(manager).install()
        assert "trigger" not in vars(manager)
