"""Commands on an exchange: send it again, compare it with today's translation, export it.

The command bars of mitmweb and the console run them. They name a flow by `@` and its id, by
`@focus` (in mitmweb that is not the flow on the screen) or by a filter. mitmproxy's own replay of
such flows is declined, as it would bypass the relay.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import mitmproxy.types
from mitmproxy import command, ctx
from mitmproxy.exceptions import CommandError
from mitmproxy.flow import Flow
from mitmproxy.http import HTTPFlow

from addons.exchange import copy_for_resend, forget_resent, is_resent
from addons.flow_data import REPLAY_DECLINED, is_own_port
from addons.ingress import RELAYED_ROUTES, Route, refuse_flow, route_of
from addons.observe import PAIR_SIDE, UPSTREAM_SIDE, partner_flow, view_addon
from addons.private_files import write_private_bytes
from addons.replay.export_case import case_files
from addons.replay.retranslate import (
    CannotRetranslate,
    RecordedExchange,
    find_differences,
    printable_lines,
)

DECLINED_MESSAGE = (
    "This flow is the relay's, and mitmproxy's replay would send it past the relay. Revert it to "
    "have its reply back; this command sends its request again: relay.resend @{}"
)
OWN_PORT_MESSAGE = (
    "This flow is for the relay itself, and mitmproxy's replay would pass by the relay's checks."
)
# Whoever wrote a capture may have marked any request as one for the relay itself.
OTHER_HOSTS_ROUTES = frozenset({Route.PASS, Route.ISOLATED})
NO_DIFFERENCE = "no difference"


class Replay:
    def request(self, flow: HTTPFlow) -> None:
        if flow.is_replay != "request" or not flow.live or is_resent(flow):
            return
        if is_exchange(flow):
            flow.metadata[REPLAY_DECLINED] = True
            refuse_flow(flow, 409, DECLINED_MESSAGE.format(flow.id))
        elif is_own_port(flow) or route_of(flow) not in OTHER_HOSTS_ROUTES:
            refuse_flow(flow, 409, OWN_PORT_MESSAGE)

    def response(self, flow: HTTPFlow) -> None:
        forget_resent(flow)

    error = response

    @command.command("relay.resend")  # type: ignore[untyped-decorator]  # mitmproxy's
    def resend_requests(self, flows: Sequence[Flow]) -> None:
        """Send the client's request again, through today's relay, as an exchange of its own."""
        copies = [copy_for_resend(find_client_flow(flow)) for flow in flows]
        if any(route_of(copy) not in RELAYED_ROUTES for copy in copies):
            # A capture may call anything an exchange: a logout, or a request to any host.
            raise CommandError("Only requests to models are sent again.")
        if (view := view_addon()) is not None:
            view.add(copies)
        ctx.master.commands.call("replay.client", copies)

    @command.command("relay.diff")  # type: ignore[untyped-decorator]  # mitmproxy's
    def show_differences(self, flows: Sequence[Flow]) -> Sequence[str]:
        """Compare the request and the reply with those that the relay would make today."""
        recorded = find_recorded_exchange(flows)
        # The task only waits if it scales pictures or reads a stored conversation.
        task = asyncio.Task(
            describe_differences(recorded), loop=asyncio.get_running_loop(), eager_start=True
        )
        task.add_done_callback(lambda task: logging.info("\n".join(task.result())))
        return task.result() if task.done() else ["The difference will be in the event log."]

    @command.command("relay.export")  # type: ignore[untyped-decorator]  # mitmproxy's
    def export_case(self, flows: Sequence[Flow], path: mitmproxy.types.Path) -> None:
        """Write the exchange as a case folder, without names and secrets, for tests/cases."""
        recorded = find_recorded_exchange(flows)
        try:
            files = case_files(recorded)
        except CommandError:
            raise
        except Exception as error:  # a capture may be anything
            raise CommandError(f"This exchange cannot be read: {error!r}") from None
        try:
            folder = Path(path).expanduser()
            for name, content in files.items():
                write_private_bytes(folder / name, content)
        except OSError as error:
            raise CommandError(f"{folder}: {error.strerror}") from None
        except RuntimeError:  # `~user`
            raise CommandError(f"{path}: there is no such user") from None
        logging.info(f"relay.export: {folder} has {', '.join(files)}; read them before use")


def is_exchange(flow: HTTPFlow) -> bool:
    """Whether the flow is one of the two of an exchange, or a request that the relay refused."""
    return PAIR_SIDE in flow.metadata or route_of(flow) in RELAYED_ROUTES


def find_client_flow(flow: Flow) -> HTTPFlow:
    """The client's flow of the exchange. Raises CommandError."""
    if not isinstance(flow, HTTPFlow) or not is_exchange(flow):
        raise CommandError("This flow is no exchange of the relay's.")
    is_upstream = flow.metadata.get(PAIR_SIDE) == UPSTREAM_SIDE
    client = partner_flow(flow) if is_upstream else flow
    if client is None:
        raise CommandError("The client's flow of this exchange is gone.")
    return client


def find_recorded_exchange(flows: Sequence[Flow]) -> RecordedExchange:
    """The one exchange that these flows belong to. Raises CommandError."""
    clients = {client.id: client for client in map(find_client_flow, flows)}
    if len(clients) != 1:
        raise CommandError(f"One exchange is needed, and here are {len(clients)}.")
    [client] = clients.values()
    if (upstream := partner_flow(client)) is None:
        raise CommandError("The upstream's flow of this exchange is gone, or there was none.")
    return RecordedExchange(client, upstream)


async def describe_differences(recorded: RecordedExchange) -> list[str]:
    """The differences, or a line that says why there are none."""
    try:
        return printable_lines(await find_differences(recorded)) or [NO_DIFFERENCE]
    except CannotRetranslate as reason:
        return printable_lines([f"cannot be re-checked: {reason}"])
    except Exception as error:  # a capture may be anything
        return printable_lines([f"cannot be re-checked: its data cannot be read: {error!r}"])
