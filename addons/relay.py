"""What mitmproxy loads: `mitmdump -s addons/relay.py`. It loads this file anew when it changes, and
all modules of the relay with it."""

import sys
from pathlib import Path

if (root := str(Path(__file__).resolve().parents[1])) not in sys.path:
    sys.path.insert(0, root)
# Options whose values mitmproxy's pages do not show would lose them in a reload.
values_before_reload = getattr(sys.modules.get("addons.config.addon"), "concealed_values", {})
for name in list(sys.modules):
    if name.partition(".")[0] in ("addons", "translate"):
        del sys.modules[name]

# ruff: noqa: E402 - the lines above come first
from addons.accounts import Accounts
from addons.config import Config, concealed_values
from addons.dashboard import AccountActions, Dashboard
from addons.demo_provider import DemoProvider
from addons.endpoints import Endpoints
from addons.exchange import Translator
from addons.ingress import Ingress
from addons.observe import Corpus, FlowPairIndex, RecordLog, UsageCounter
from addons.replay import Check, Replay
from addons.routing import CodexVersion
from addons.storage import ResponseStore
from addons.transport import Transport
from addons.views import Views

concealed_values.update(values_before_reload)
addons = [
    Transport(),  # first: it keeps all others out where mitmproxy does not fit
    *(Config(), Replay(), Ingress(), FlowPairIndex()),
    *(ResponseStore(), Accounts(), Endpoints(), CodexVersion()),
    *(
        Translator(),
        RecordLog(),
        Dashboard(AccountActions()),
        Corpus(),
        DemoProvider(),
        UsageCounter(),
    ),
    *(Check(), Views()),
]
