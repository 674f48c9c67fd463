"""A relay in a process of its own, as far as it renews tokens: `renewer.py ISSUER FILE [ACCOUNT]`.

Says that it is ready, waits for a line, asks 25 times at once, and prints the tokens it got."""

import asyncio
import json
import sys
from pathlib import Path

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from addons.accounts.codex_auth_file import CodexFile
from addons.accounts.token_refresh import Fresh
from addons.accounts.vault import Slot, Vault
from addons.config.addon import Config


async def run(issuer: str, file: str, name: str) -> None:
    addon = Config()
    with taddons.context(Proxyserver(), addon) as context:
        context.configure(addon, relay_chatgpt_issuer=issuer)
        home = Slot(Vault(Path(file)), name) if name else CodexFile(Path(file))
        fresh = Fresh(home)
        print("ready", flush=True)
        sys.stdin.readline()
        found = await asyncio.gather(*(fresh.tokens() for _ in range(25)))
        print(json.dumps([tokens.access for tokens in found]))


if __name__ == "__main__":
    issuer, file, name = [*sys.argv[1:], ""][:3]
    asyncio.run(asyncio.wait_for(run(issuer, file, name), 20))
