"""Events of the relay's own. A stream waits until the handler of such an event has ended, which
`Transport` has; the event loop does not wait.

Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from dataclasses import dataclass

from mitmproxy import hooks
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands

# A reload of the script defines the classes again; mitmproxy would warn of two classes.
for _name in ("relay_write", "relay_fallback"):
    hooks.all_hooks.pop(_name, None)


@dataclass
class RelayWriteHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """The response of a reply is being stored."""

    flow: HTTPFlow


@dataclass
class RelayFallbackHook(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy's
    """An attempt has failed, and the request is prepared for the next candidate."""

    flow: HTTPFlow
