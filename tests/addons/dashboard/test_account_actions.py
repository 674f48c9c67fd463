"""Accounts on the dashboard: log in and out with a real login service."""

import json
from pathlib import Path

from addons.accounts.addon import Accounts
from addons.config.addon import Config
from addons.dashboard.account_actions import AccountActions
from addons.dashboard.addon import Dashboard
from addons.demo_provider import DemoProvider
from addons.ingress.addon import Ingress
from addons.launch import available_port
from addons.observe.usage_totals import UsageCounter
from addons.transport.addon import Transport
from tests import fake_auth
from tests.addons.dashboard.pages import (
    FORM,
    EventReader,
    post_token,
)
from tests.addons.proxy import Client, bounded, proxy


def test_login_and_logout_through_a_login_service(tmp_path: Path) -> None:
    with fake_auth.running_auth(available_port(0)) as auth:
        auth.user = fake_auth.make_user("ada", plan="pro")
        bounded(check_login_and_logout)(auth, tmp_path)


async def check_login_and_logout(auth: fake_auth.FakeAuth, folder: Path) -> None:
    chain = [Config(), Transport(), Ingress(), Accounts(), Dashboard(AccountActions())]
    options = {"relay_store": "off", "relay_vault": str(folder / "vault")}
    async with (
        proxy(*chain, UsageCounter(), DemoProvider(), relay_chatgpt_issuer=auth.url, **options) as (
            _,
            port,
        ),
        Client.connect(port) as client,
        Client.connect(port) as watcher,
    ):
        post_headers = {"x_relay_token": await post_token(client), **FORM}
        stream = await EventReader(watcher).open()
        assert (await stream.next_named("all"))["accounts"]["accounts"] == []
        answer = await client.ask("/relay/accounts/login", b"value=device", **post_headers)
        login = json.loads(answer.body)["login"]
        auth.approve_device(login["user_code"])
        while not (snapshot := await stream.next_named("accounts"))["accounts"]:
            pass
        [ada] = snapshot["accounts"]
        assert (ada["email"], ada["plan"], snapshot["login"]) == ("ada@example.com", "pro", None)
        answer = await client.ask("/relay/accounts/select", b"value=nobody", **post_headers)
        assert (answer.status, json.loads(answer.body)) == (400, {"error": "no account nobody"})
        body = f"value={ada['id']}".encode()
        answer = await client.ask("/relay/accounts/logout", body, **post_headers)
        assert json.loads(answer.body)["accounts"] == []
