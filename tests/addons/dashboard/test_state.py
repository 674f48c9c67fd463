"""The content of the page, as it opens and as it changes."""

import asyncio
import json
from pathlib import Path
from typing import Any

from addons.dashboard.account_actions import AccountActions
from addons.dashboard.addon import Dashboard
from addons.observe.usage_totals import UsageCounter
from tests import fake_auth
from tests.addons.dashboard.pages import (
    FORM,
    EventReader,
    dashboard_relay,
    post_token,
    snapshot_of,
)
from tests.addons.gateway import gateway
from tests.addons.proxy import Client, bounded
from tests.replies import say

HELLO = b'{"model": "demo", "input": "Hello.", "stream": true}'


@bounded
async def test_exchange_is_published_as_it_begins_and_as_it_ends() -> None:
    async with (
        dashboard_relay() as (_, port),
        Client.connect(port) as watcher,
        Client.connect(port) as caller,
    ):
        stream = await EventReader(watcher).open()
        snapshot = await stream.next_named("all")
        assert snapshot["exchanges"] == [] and snapshot["totals"]["rows"] == []
        assert (await caller.ask("/v1/responses", HELLO)).status == 200
        begun, ended = await stream.next_named("exchange"), await stream.next_named("exchange")
        assert begun["id"] == ended["id"]
        assert (begun["outcome"], begun["input"]) == ("in_progress", None)
        assert (ended["outcome"], ended["model"]) == ("completed", "demo")
        assert ended["input"] > 0 and ended["ttft"] is not None and ended["cost"] is None
        latest: dict[str, Any] = {"providers": [{"exchanges": 0}]}
        while "totals" not in latest or not latest["providers"][0]["exchanges"]:  # in any order
            name, value = await stream.next_event()
            latest[name] = value
        row = dict(zip(snapshot["totals"]["columns"], latest["totals"], strict=True))
        assert (row["model"], row["exchanges"], row["failed"], row["unpriced"]) == ("demo", 1, 0, 1)
        [provider] = latest["providers"]
        assert (provider["exchanges"], provider["last"]) == (1, "ok")
        again = await snapshot_of(caller)
        assert again["exchanges"] == [ended]
        assert (
            dict(zip(snapshot["totals"]["columns"], again["totals"]["rows"][0], strict=True)) == row
        )


@bounded
async def test_accounts_are_published_as_they_change() -> None:
    async with dashboard_relay() as (dashboard, port), Client.connect(port) as client:
        async with Client.connect(port) as watcher:
            stream = await EventReader(watcher).open()
            snapshot = (await stream.next_named("all"))["accounts"]
            assert [entry["selected"] for entry in snapshot["accounts"]] == [True, False, False]
            post_headers = {"x_relay_token": await post_token(client), **FORM}
            answer = await client.ask("/relay/accounts/select", b"value=acct_2", **post_headers)
            assert answer.status == 200
            while not (snapshot := await stream.next_named("accounts"))["accounts"][1]["selected"]:
                pass
            answer = await client.ask("/relay/accounts/logout", b"value=acct_2", **post_headers)
            while len((snapshot := await stream.next_named("accounts"))["accounts"]) > 2:
                pass
        answer = await client.ask("/relay/accounts/select", b"value=acct_2", **post_headers)
        assert answer.status == 400 and "acct_2" in json.loads(answer.body)["error"]
        answer = await client.ask("/relay/accounts/login", b"value=carrier+pigeon", **post_headers)
        assert answer.status == 400
        answer = await client.ask("/relay/accounts/select", b"x" * 200_000, **post_headers)
        assert answer.status in (400, 413, 502)


@bounded
async def test_exchange_of_an_account_has_the_price_of_the_api(tmp_path: Path) -> None:
    addons = Dashboard(AccountActions()), UsageCounter()
    async with gateway(tmp_path, fake_auth.make_user("ada"), extra_addons=addons) as relay:
        relay.backend.reply(say("Hello"))
        assert (await relay.chat(stream=True)).status == 200
        async with Client.connect(relay.port) as client:
            while not (snapshot := await snapshot_of(client))["exchanges"][0]["cost"]:
                await asyncio.sleep(0.01)
    [turn], [account] = snapshot["exchanges"], snapshot["accounts"]["accounts"]
    assert (turn["account"], turn["provider"]) == (account["id"], "chatgpt")
    assert turn["notional"] and account["email"] == "ada@example.com"
    [values] = snapshot["totals"]["rows"]
    row = dict(zip(snapshot["totals"]["columns"], values, strict=True))
    assert (row["cost"], row["unpriced"], row["notional"]) == (0, 0, turn["cost"])
    [provider] = snapshot["providers"]
    assert (provider["name"], provider["key"], provider["last"]) == ("chatgpt", "login", "ok")
