"""The token refresh of a relay, in a process of its own: `renewer.py ISSUER FILE [ACCOUNT]`.

It prints "ready", waits for a line, requests tokens 25 times at once, and prints them."""

import asyncio
import json
import sys
from pathlib import Path

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from addons.accounts.codex_auth_file import CodexAuthFile
from addons.accounts.token_refresh import TokenRefresher
from addons.accounts.vault import Vault, VaultLogin
from addons.config.addon import Config


async def run(issuer: str, file: str, name: str) -> None:
    addon = Config()
    with taddons.context(Proxyserver(), addon) as context:
        context.configure(addon, relay_chatgpt_issuer=issuer)
        login = VaultLogin(Vault(Path(file)), name) if name else CodexAuthFile(Path(file))
        refresher = TokenRefresher(login)
        print("ready", flush=True)
        sys.stdin.readline()
        all_tokens = await asyncio.gather(*(refresher.valid_tokens() for _ in range(25)))
        print(json.dumps([tokens.access_token for tokens in all_tokens]))


if __name__ == "__main__":
    issuer, file, name = [*sys.argv[1:], ""][:3]
    asyncio.run(asyncio.wait_for(run(issuer, file, name), 20))
