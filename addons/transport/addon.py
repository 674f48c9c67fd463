"""The addon that makes mitmproxy use the relay's classes in place of its own.

The classes are in `relay_stream`; `contract` lists the names of mitmproxy's that they need.
"""

from collections.abc import Awaitable
from typing import Any

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader
from mitmproxy.connection import Client
from mitmproxy.exceptions import AddonManagerError
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons.transport.client_handlers import connection_handlers
from addons.transport.connection_cleanup import close_leftover
from addons.transport.contract import OPTIONAL_API, TESTED_VERSIONS, first_difference
from addons.transport.plan import plan_of
from addons.transport.read_gate import install_gate


class Transport:
    """Puts the relay's classes where mitmproxy looks up its own, and puts those back at the end.

    It is the first addon of the relay: its error in `load` keeps the others from being loaded, and
    ends mitmproxy if that is still starting.
    """

    def __init__(self) -> None:
        # The namespace of mitmproxy's module that has our classes; empty until `load`.
        self.layer_namespace: dict[str, Any] = {}
        self.originals: dict[str, Any] = {}
        self.dispatcher: Any = None

    def load(self, loader: Loader) -> None:
        if difference := first_difference():
            unfit: Any = AddonManagerError  # untyped in mitmproxy
            raise unfit(
                f"mitmcodex cannot run on {difference}. It is tested with mitmproxy"
                f" {' and '.join(TESTED_VERSIONS)}: install mitmproxy=={TESTED_VERSIONS[-1]}."
            )
        # Not at the top: the import fails if mitmproxy lacks a name of the contract.
        from addons.transport.relay_stream import ORIGINALS, REPLACEMENTS, layer_namespace

        self.layer_namespace, self.originals = layer_namespace, ORIGINALS
        self.layer_namespace.update(REPLACEMENTS)
        if first_difference(OPTIONAL_API) is None:  # without it, a turn only takes more CPU time
            from addons.transport.hook_dispatch import HookDispatcher

            self.dispatcher = HookDispatcher(loader.master.addons)
            self.dispatcher.install()

    async def relay_write(self, flow: HTTPFlow) -> None:
        """An event of the relay's own, as the next one; `stream_hooks` has both."""
        if plan := plan_of(flow):
            await plan.finish_write()

    async def relay_fallback(self, flow: HTTPFlow) -> None:
        if plan := plan_of(flow):
            await plan.try_fallback()

    def client_connected(self, client: Client) -> None:
        install_gate(connection_handlers(), client)

    async def server_disconnected(self, data: ServerConnectionHookData) -> None:
        await close_leftover(connection_handlers(), data.client, data.server)

    async def client_disconnected(self, client: Client) -> None:
        await close_leftover(connection_handlers(), client, client)

    def done(self) -> Awaitable[None] | None:
        """Returns the work that mitmproxy awaits when it exits; None at a reload of the script,
        which leaves the streams alone."""
        self.layer_namespace.update(self.originals)
        if self.dispatcher:
            self.dispatcher.remove()
        if not self.layer_namespace or not ctx.master.should_exit.is_set():
            return None
        from addons.transport.shutdown import end_open_streams

        return end_open_streams(connection_handlers())
