"""What mitmproxy loads: `mitmdump -s addons/relay.py`. Touched, it reads all of our code anew."""

import sys
from pathlib import Path

if (root := str(Path(__file__).resolve().parents[1])) not in sys.path:
    sys.path.insert(0, root)
kept = getattr(sys.modules.get("addons.config"), "_secrets", {})  # which no option shows any more
for name in [name for name in sys.modules if name.partition(".")[0] in ("addons", "translate")]:
    del sys.modules[name]

# ruff: noqa: E402 - the lines above come first
from addons import config
from addons.accounts.addon import Accounts
from addons.accounts.web import Web
from addons.check import Check
from addons.client_version import ClientVersion
from addons.codex import Codex
from addons.config import Config
from addons.cors import Cors
from addons.dashboard.accounts import Pooled
from addons.dashboard.serve import Dashboard
from addons.demo import Demo
from addons.guard import Guard
from addons.ledger import Ledger
from addons.listeners import Listeners
from addons.listing import Listing
from addons.metrics import Metrics
from addons.record import Record
from addons.redact import Redact
from addons.replay import Replay
from addons.routes import Routes
from addons.rows import Remember
from addons.store import Store
from addons.stored import Stored
from addons.translator import Translator
from addons.transport import Transport
from addons.usage import Usage
from addons.views import Views

config._secrets.update(kept)
addons = [
    *(Config(), Listeners(), Transport(), Replay(), Guard(), Routes(), Cors(), Remember()),
    *(Store(), Stored(), Accounts(), Web(), ClientVersion(), Codex(), Listing(), Metrics()),
    *(Translator(), Ledger(), Dashboard(Pooled()), Redact(), Record(), Demo(), Usage()),
    *(Check(), Views()),
]
