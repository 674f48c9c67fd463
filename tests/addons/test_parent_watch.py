import asyncio
import subprocess
import sys

import pytest
from mitmproxy.test import taddons

from addons import parent_watch
from addons.identity import PARENT_VARIABLE
from addons.parent_watch import ParentWatch


def test_the_relay_ends_after_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent_watch, "CHECK_INTERVAL", 0.01)

    async def watch() -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            monkeypatch.setenv(PARENT_VARIABLE, str(process.pid))
            with taddons.context(addon := ParentWatch()) as context:
                addon.running()
                await asyncio.sleep(0.1)
                assert not context.master.should_exit.is_set()
                process.kill()  # and it stays as a zombie until the end of the block
                await asyncio.wait_for(context.master.should_exit.wait(), 10)
                addon.done()

    asyncio.run(watch())


@pytest.mark.parametrize("value", ["", "x", "-1"])
def test_without_a_process_to_watch(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PARENT_VARIABLE, value)

    async def begin() -> int:
        before = len(asyncio.all_tasks())
        ParentWatch().running()
        return len(asyncio.all_tasks()) - before

    assert asyncio.run(begin()) == 0


def test_process_that_has_ended_before() -> None:
    async def watch() -> None:
        with taddons.context() as context:
            process = subprocess.Popen([sys.executable, "-c", ""])
            process.wait()
            await parent_watch.end_with(process.pid)
            await asyncio.wait_for(context.master.should_exit.wait(), 10)

    asyncio.run(watch())
