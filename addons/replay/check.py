"""`relay_check`: translates every exchange of a capture again, and tells what has changed.

`mitmdump -s addons/relay.py -nr capture.mitm --set relay_check=true` ends with 1 where anything
has, where the file is not whole, or where there was nothing to look at.
"""

import asyncio
import logging
import sys
from typing import Any

from mitmproxy import ctx
from mitmproxy.addons.errorcheck import ErrorCheckHandler
from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.observe.exchange_record import FACTS
from addons.observe.flow_pair import CLIENT, LEG, OTHER
from addons.replay.retranslate import Cannot, Pair, differences

PACE = 0.05  # s between two looks whether the file has been read


class Check:
    def __init__(self) -> None:
        self._waiting: dict[str, HTTPFlow] = {}  # for their second row
        self._seen: set[str] = set()  # clients' rows that had theirs
        self._same = self._changed = self._left = 0
        self._task: asyncio.Task[None] | None = None

    def configure(self, updated: set[str]) -> None:
        ends = "keepserving" in ctx.options and not ctx.options.keepserving
        if config.settings().check and ends:
            config.change(keepserving=True)  # the end is ours to say, with its exit code

    def running(self) -> None:
        if not config.settings().check:
            return
        if not ctx.options.rfile:
            logging.error("relay_check is set, and no capture is read: -nr FILE says which")
            return
        self._task = asyncio.create_task(self.finish())

    async def response(self, flow: HTTPFlow) -> None:
        if not flow.error:  # else `error` comes, too
            await self.error(flow)

    async def error(self, flow: HTTPFlow) -> None:
        if not config.settings().check or flow.live or LEG not in flow.metadata:
            return
        other = self._waiting.pop(str(flow.metadata[OTHER]), None)
        if other is None:
            self._waiting[flow.id] = flow
            return
        pair = Pair(flow, other) if flow.metadata[LEG] == CLIENT else Pair(other, flow)
        self._seen.add(pair.client.id)
        await self.look(pair)

    async def look(self, pair: Pair) -> None:
        try:
            found = await differences(pair)
        except Cannot as why:
            self.leave(pair.client, str(why))
            return
        if found:
            self._changed += 1
            # No error: at the start mitmproxy would end over it, and the file is read from then on.
            logging.warning("\n".join([f"{named(pair.client)}: changed", *found]))
        else:
            self._same += 1
            logging.info(f"{named(pair.client)}: no difference")

    def leave(self, flow: HTTPFlow, why: str) -> None:
        self._left += 1
        logging.warning(f"{named(flow)}: cannot be re-checked: {why}")

    async def finish(self) -> None:
        """Wait for the end of the file; then tell, and end, where mitmproxy itself would."""
        errors = ErrorCheckHandler()  # such as a file that breaks off
        errors.install()
        await asyncio.sleep(PACE)  # it begins after us
        while ctx.master.commands.call("readfile.reading"):
            await asyncio.sleep(PACE)
        errors.uninstall()
        for flow in self._waiting.values():
            if flow.metadata[OTHER] not in self._seen:  # else it is the leg of an earlier attempt
                self.leave(flow, "its other row is not in the file")
        self._waiting.clear()
        bad = self._changed or errors.has_errored or not (self._same or self._left)
        logging.log(logging.ERROR if bad else logging.INFO, self.summary())
        addons: Any = ctx.master.addons  # untyped in mitmproxy
        if addons.get("keepserving") is None:
            return  # mitmweb and the console stay
        if bad:  # mitmproxy's own shutdown knows no exit code; this, too, calls `done`
            asyncio.get_running_loop().call_soon(sys.exit, 1)
        else:
            ctx.master.shutdown()  # type: ignore[no-untyped-call]  # mitmproxy's

    def summary(self) -> str:
        total = self._same + self._changed + self._left
        if not total:
            return "no exchange of the relay's is in this file"
        parts = [f"{total} exchange{'s' * (total > 1)}", f"{self._same} without a difference"]
        parts += [f"{self._changed} changed", f"{self._left} that cannot be re-checked"]
        return ", ".join(parts)


def named(flow: HTTPFlow) -> str:
    facts = flow.metadata.get(FACTS) or {}
    return f"{flow.id} ({facts.get('asked')} → {facts.get('provider')} {facts.get('model')})"
