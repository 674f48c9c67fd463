"""What mitmproxy loads: `mitmdump -s addons/relay.py`. Touched, it reads all of our code anew."""

import sys
from pathlib import Path

if (root := str(Path(__file__).resolve().parents[1])) not in sys.path:
    sys.path.insert(0, root)
kept = getattr(
    sys.modules.get("addons.config.addon"), "_secrets", {}
)  # which no option shows any more
for name in [name for name in sys.modules if name.partition(".")[0] in ("addons", "translate")]:
    del sys.modules[name]

# ruff: noqa: E402 - the lines above come first
from addons.accounts.addon import Accounts
from addons.config import addon as config
from addons.config.addon import Config
from addons.dashboard.account_actions import Pooled
from addons.dashboard.addon import Dashboard
from addons.demo_provider import Demo
from addons.endpoints.auth import Web
from addons.endpoints.codex_calls import Codex
from addons.endpoints.models import Listing
from addons.endpoints.stored_responses import Stored
from addons.exchange.addon import Translator
from addons.ingress.access import Guard
from addons.ingress.cors import Cors
from addons.ingress.listeners import Listeners
from addons.ingress.redaction import Redact
from addons.ingress.routes import Routes
from addons.observe.corpus import Record
from addons.observe.exchange_record import Ledger
from addons.observe.flow_pair import Remember
from addons.observe.metrics import Metrics
from addons.observe.usage_totals import Usage
from addons.replay.check import Check
from addons.replay.commands import Replay
from addons.routing.codex_cli import ClientVersion
from addons.storage.response_store import Store
from addons.transport.relay_stream import Transport
from addons.views import Views

config._secrets.update(kept)
addons = [
    *(Config(), Listeners(), Transport(), Replay(), Guard(), Routes(), Cors(), Remember()),
    *(Store(), Stored(), Accounts(), Web(), ClientVersion(), Codex(), Listing(), Metrics()),
    *(Translator(), Ledger(), Dashboard(Pooled()), Redact(), Record(), Demo(), Usage()),
    *(Check(), Views()),
]
