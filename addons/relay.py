"""The script that mitmproxy loads: `mitmdump -s addons/relay.py`. When this file changes, mitmproxy
loads it again, and it loads all modules of the relay again."""

import gc
import sys
from pathlib import Path

if (root := str(Path(__file__).resolve().parents[1])) not in sys.path:
    sys.path.insert(0, root)
# Without this, a reload would lose the values of options that mitmproxy's pages do not show.
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
from addons.parent_watch import ParentWatch
from addons.replay import Check, Replay
from addons.routing import CodexVersion
from addons.startup import Startup
from addons.storage import ResponseStore
from addons.transport import Transport
from addons.views import Views

concealed_values.update(values_before_reload)
addons = [
    Transport(),  # first: where mitmproxy does not fit, it keeps the others from being loaded
    *(Config(), Replay(), Ingress(), FlowPairIndex()),
    *(ResponseStore(), Accounts(), Endpoints(), CodexVersion()),
    *(Translator(), RecordLog(), Dashboard(AccountActions()), Corpus()),
    *(DemoProvider(), UsageCounter(), Check(), Views(), ParentWatch()),
    Startup(),  # last: it reports what the others have opened
]

# What is loaded by now stays. Left out of the garbage collection, it does not stop all streams for
# 20 to 100 ms each time.
gc.unfreeze()
gc.collect()
gc.freeze()
