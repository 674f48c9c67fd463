"""Commands on an exchange's rows: send it again, show what today's code would send, make it a case.

For the command bars of mitmweb and the console, which name a row by `@` and its id, by `@focus` (in
mitmweb not the row that is shown) or by a filter. mitmproxy's own replay of a row is declined: it
would skip the relay's half.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import mitmproxy.types
from mitmproxy import command, ctx, flow
from mitmproxy.exceptions import CommandError
from mitmproxy.http import HTTPFlow

from addons.exchange import resend as resent
from addons.ingress import routes
from addons.ingress.local_reply import refuse
from addons.observe.flow_pair import LEG, UPSTREAM, other, viewer
from addons.replay.case import files
from addons.replay.retranslate import Cannot, Pair, differences

WORDS = (
    "This is a row of the relay's, and mitmproxy's replay would send it past the relay. Revert it "
    "to have its reply back; this command sends its request again: relay.resend @{}"
)
SAME = "no difference"


class Replay:
    def request(self, flow: HTTPFlow) -> None:
        if flow.is_replay == "request" and flow.live and not resent.resent(flow) and ours(flow):
            flow.metadata[resent.DECLINED] = True
            refuse(flow, 409, WORDS.format(flow.id))

    def response(self, flow: HTTPFlow) -> None:
        resent.ended(flow)

    error = response

    @command.command("relay.resend")  # type: ignore[untyped-decorator]  # mitmproxy's
    def resend(self, flows: Sequence[flow.Flow]) -> None:
        """Send the client's request again, through today's relay, as an exchange of its own."""
        made = [resent.copy(asked(one)) for one in flows]
        if view := viewer():
            view.add(made)
        ctx.master.commands.call("replay.client", made)

    @command.command("relay.diff")  # type: ignore[untyped-decorator]  # mitmproxy's
    def diff(self, flows: Sequence[flow.Flow]) -> Sequence[str]:
        """Show what today's code would send, and tell the client, against what was."""
        pair = both(flows)
        # It only waits where pictures are scaled or a kept conversation is read.
        task = asyncio.Task(told(pair), loop=asyncio.get_running_loop(), eager_start=True)
        task.add_done_callback(lambda task: logging.info("\n".join(task.result())))
        return task.result() if task.done() else ["The difference will be in the event log."]

    @command.command("relay.export")  # type: ignore[untyped-decorator]  # mitmproxy's
    def export(self, flows: Sequence[flow.Flow], path: mitmproxy.types.Path) -> None:
        """Write the exchange as a case folder, without names and secrets, for tests/cases."""
        folder = Path(path).expanduser()
        written = files(both(flows))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in written.items():
                (folder / name).write_bytes(content)
        except OSError as error:
            raise CommandError(f"{folder}: {error.strerror}") from None
        logging.info(f"relay.export: {folder} has {', '.join(written)}; read them before use")


def ours(flow: HTTPFlow) -> bool:
    return LEG in flow.metadata or routes.route_of(flow) in routes.RELAYED


def asked(row: flow.Flow) -> HTTPFlow:
    """The client's row of an exchange. Raises CommandError."""
    if not isinstance(row, HTTPFlow) or not ours(row):
        raise CommandError("This flow is no exchange of the relay's.")
    found = other(row) if row.metadata.get(LEG) == UPSTREAM else row
    if found is None:
        raise CommandError("The client's row of this exchange is gone.")
    return found


def both(flows: Sequence[flow.Flow]) -> Pair:
    """The rows of the one exchange that is meant. Raises CommandError."""
    clients = {client.id: client for client in map(asked, flows)}
    if len(clients) != 1:
        raise CommandError(f"One exchange is needed, and here are {len(clients)}.")
    [client] = clients.values()
    if (upstream := other(client)) is None:
        raise CommandError("The upstream's row of this exchange is gone, or there was none.")
    return Pair(client, upstream)


async def told(pair: Pair) -> list[str]:
    try:
        return await differences(pair) or [SAME]
    except Cannot as why:
        return [f"cannot be re-checked: {why}"]
