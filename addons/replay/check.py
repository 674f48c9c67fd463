"""`relay_check`: translates every exchange of a capture again, and logs what has changed.

`mitmdump -s addons/relay.py -nr capture.mitm --set relay_check=true` exits with 1 if a translation
has changed, if the file is incomplete, or if it holds no exchange.
"""

import asyncio
import logging
import sys
from typing import Any

from mitmproxy import ctx
from mitmproxy.addons.errorcheck import ErrorCheckHandler
from mitmproxy.http import HTTPFlow

from addons.config import current_settings, update_options
from addons.observe import CLIENT_SIDE, PAIR_SIDE, PARTNER_ID, saved_record
from addons.replay.retranslate import (
    CannotRetranslate,
    RecordedExchange,
    find_differences,
    printable_lines,
)
from translate import printable

POLL_INTERVAL = 0.05  # s between two checks whether mitmproxy has read the file


class Check:
    def __init__(self) -> None:
        self._waiting_flows: dict[str, HTTPFlow] = {}  # by id, until their partner is read
        self._client_ids: set[str] = set()  # of the complete pairs
        self._same_count = self._changed_count = self._unchecked_count = 0
        self._report_task: asyncio.Task[None] | None = None

    def configure(self, updated: set[str]) -> None:
        ends_after_file = "keepserving" in ctx.options and not ctx.options.keepserving
        if current_settings().check and ends_after_file:
            # Only this addon knows the exit code, so mitmproxy must not end first.
            update_options(keepserving=True)

    def running(self) -> None:
        if not current_settings().check:
            return
        if not ctx.options.rfile:
            logging.error("relay_check is set, and no capture is read: -nr FILE says which")
            return
        self._report_task = asyncio.create_task(self.report_when_read())

    async def response(self, flow: HTTPFlow) -> None:
        if not flow.error:  # with an error, mitmproxy calls the hook `error` too
            await self.error(flow)

    async def error(self, flow: HTTPFlow) -> None:
        if not current_settings().check or flow.live or PAIR_SIDE not in flow.metadata:
            return
        partner = self._waiting_flows.get(partner_id(flow))
        # Of several attempts, the client's flow is paired with the last one's upstream flow.
        if partner is None or partner_id(partner) != flow.id:
            self._waiting_flows[flow.id] = flow
            return
        del self._waiting_flows[partner.id]
        is_client = flow.metadata[PAIR_SIDE] == CLIENT_SIDE
        client, upstream = (flow, partner) if is_client else (partner, flow)
        self._client_ids.add(client.id)
        await self.check_exchange(RecordedExchange(client, upstream))

    async def check_exchange(self, recorded: RecordedExchange) -> None:
        """Translate the exchange again; count and log the result."""
        name = describe_exchange(recorded.client_flow)
        try:
            differences = await find_differences(recorded)
        except CannotRetranslate as reason:
            self.count_unchecked(recorded.client_flow, str(reason))
            return
        except Exception as error:  # a capture may be anything
            self.count_unchecked(recorded.client_flow, f"its data cannot be read: {error!r}")
            return
        if differences:
            self._changed_count += 1
            # A warning: an error while mitmproxy starts, and reads the file, would end it.
            logging.warning("\n".join([f"{name}: changed", *printable_lines(differences)]))
        else:
            self._same_count += 1
            logging.info(f"{name}: no difference")

    def count_unchecked(self, flow: HTTPFlow, reason: str) -> None:
        self._unchecked_count += 1
        line = f"{describe_exchange(flow)}: cannot be re-checked: {reason}"
        logging.warning(printable(line, current_settings().max_log_line))

    async def report_when_read(self) -> None:
        """Log the summary at the end of the file; end mitmdump with the exit code."""
        has_read_errors = await has_errors_while_reading()
        for flow in self._waiting_flows.values():
            # An earlier attempt's upstream flow has a client flow that was in a pair.
            if partner_id(flow) not in self._client_ids:
                self.count_unchecked(flow, "its other flow is not in the file")
        self._waiting_flows.clear()
        is_empty = not (self._same_count or self._changed_count or self._unchecked_count)
        has_failed = bool(self._changed_count or has_read_errors or is_empty)
        logging.log(logging.ERROR if has_failed else logging.INFO, self.summary_line())
        end_mitmdump(has_failed)

    def summary_line(self) -> str:
        total = self._same_count + self._changed_count + self._unchecked_count
        if not total:
            return "no exchange of the relay's is in this file"
        parts = [
            f"{total} exchange{'s' * (total > 1)}",
            f"{self._same_count} without a difference",
            f"{self._changed_count} changed",
            f"{self._unchecked_count} that cannot be re-checked",
        ]
        return ", ".join(parts)


async def has_errors_while_reading() -> bool:
    """Wait until the file is read. Returns whether mitmproxy logged an error, as for a cut file."""
    errors = ErrorCheckHandler()
    errors.install()
    await asyncio.sleep(POLL_INTERVAL)  # mitmproxy begins to read after the hook `running`
    while ctx.master.commands.call("readfile.reading"):
        await asyncio.sleep(POLL_INTERVAL)
    errors.uninstall()
    return bool(errors.has_errored)


def end_mitmdump(has_failed: bool) -> None:
    """End mitmdump with the exit code 0 or 1; mitmweb and the console go on."""
    addons: Any = ctx.master.addons  # untyped in mitmproxy
    if addons.get("keepserving") is None:
        return
    if has_failed:  # mitmproxy's own shutdown has no exit code; this calls `done`, too
        asyncio.get_running_loop().call_soon(sys.exit, 1)
    else:
        ctx.master.shutdown()  # type: ignore[no-untyped-call]  # mitmproxy's


def partner_id(flow: HTTPFlow) -> str:
    """The id of the other flow of the pair, "" without one."""
    return str(flow.metadata.get(PARTNER_ID, ""))


def describe_exchange(flow: HTTPFlow) -> str:
    record = saved_record(flow)
    names = f"{record['asked']} → {record['provider']} {record['model']}" if record else "no record"
    return printable(f"{flow.id} ({names})", 500)
