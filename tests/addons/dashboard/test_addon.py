"""The dashboard over real sockets: who is let in, what is told, and what is bounded."""

import asyncio
import json
import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from addons.accounts.addon import Accounts
from addons.config.addon import Config
from addons.dashboard import event_hub as hub
from addons.dashboard.account_actions import Pooled
from addons.dashboard.addon import Dashboard
from addons.dashboard.client_snippets import PLACEHOLDER, snippets
from addons.dashboard.event_hub import SEATS, WAITING, Full, Hub
from addons.dashboard.handlers import STATIC
from addons.dashboard.recent import KEPT, Feed
from addons.demo_provider import Demo
from addons.endpoints.codex_calls import Codex
from addons.exchange.addon import Translator
from addons.ingress import session_cookie as door
from addons.ingress.access import Guard
from addons.ingress.redaction import Redact
from addons.ingress.routes import Routes
from addons.launch import bindable
from addons.observe import exchange_record as ledger
from addons.observe.exchange_record import LEFT
from addons.observe.prices import Cost
from addons.observe.usage_totals import Usage
from addons.transport.relay_stream import Transport
from tests import fake_auth
from tests.accounts_table import Table
from tests.addons.gateway import gateway
from tests.addons.proxy import Answer, Client, bounded, client_tls, proxy
from tests.replies import say

KEY = "a-client-key"
BEARER = {"authorization": f"Bearer {KEY}"}
HELLO = b'{"model": "demo", "input": "Hello.", "stream": true}'
HOST = "127.0.0.1:8080"  # as tests/addons/proxy.py says it
FORM = {"content_type": "application/x-www-form-urlencoded"}


@asynccontextmanager
async def relay(**options: str) -> AsyncIterator[tuple[Dashboard, int]]:
    pages = Dashboard(Table())
    before = [Config(), Transport(), Guard(), Routes(), Codex(), Translator()]
    chain = [*before, pages, Redact(), Usage(), Demo()]
    async with proxy(*chain, **{"relay_store": "off", **options}) as (_, port):
        while not pages.port:  # the proxy listens before all addons run
            await asyncio.sleep(0.001)
        yield pages, port


async def get(client: Client, target: str, **headers: str) -> Answer:
    client.answer.body = b""
    client.send(target, b"", method="GET", **headers)
    await client.head()
    await client.rest()
    return client.answer


async def token(client: Client, **headers: str) -> str:
    found: str = json.loads((await get(client, "/relay/token", **headers)).body)["token"]
    return found


async def data(client: Client, **headers: str) -> dict[str, Any]:
    answer = await get(client, "/relay/data", **headers)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


class Stream:
    """The events of /relay/events."""

    def __init__(self, client: Client) -> None:
        self.client, self.text = client, ""

    async def open(self, **headers: str) -> "Stream":
        self.client.send("/relay/events", b"", method="GET", **headers)
        head = await self.client.head()
        assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
        return self

    async def next(self, name: str) -> Any:
        """The next event of this name; others are passed over."""
        while True:
            found, value = await self.any()
            if found == name:
                return value

    async def any(self) -> tuple[str, Any]:
        """The next event's name and value."""
        while "\n\n" not in self.text:
            piece = await self.client.chunk()
            assert piece, "the stream has ended"
            self.text += piece.decode()
        event, self.text = self.text.split("\n\n", 1)
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        return fields["event"], json.loads(fields["data"])


@bounded
async def test_the_page_and_its_files_come_with_all_that_protects_them() -> None:
    async with relay() as (_, port), Client.connect(port) as client:
        assert (await get(client, "/relay")).headers["location"] == "/relay/"
        answer = await get(client, "/relay/")
        assert answer.status == 200 and b"<h1>codex-relay" in answer.body
        for file in sorted(STATIC.iterdir()):
            answer = await get(client, f"/relay/static/{file.name}")
            assert (answer.status, answer.body) == (200, file.read_bytes())
        for target in ("/relay/", "/relay/data", "/relay/static/app.js", "/relay/nothing"):
            headers = (await get(client, target)).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        assert (await get(client, "/relay/data")).headers["cache-control"] == "no-store"


@bounded
async def test_nothing_but_the_pages_is_there() -> None:
    async with relay() as (_, port), Client.connect(port) as client:
        for target in (
            *("/relay/nothing", "/relay/static/app.py", "/relay/static/..%2fapp.py"),
            *("/relay/static/../app.py", "/relay/static/none.js", "/relay/accounts/eat"),
        ):
            answer = await get(client, target)
            assert answer.status == 404, target
            assert json.loads(answer.body)["error"]
        assert (await get(client, "/relay/accounts/login")).status == 405


def test_the_page_asks_nobody_else_and_has_no_code_in_it() -> None:
    for file in STATIC.iterdir():
        text = file.read_text()
        urls = set(re.findall(r"https?://[^\s\"'`$]*", text))
        assert urls <= {"http://www.w3.org/2000/svg"} | {"http://"}, file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)


@bounded
async def test_with_a_client_key_the_page_is_open_and_empty_and_the_rest_is_not() -> None:
    async with (
        relay(relay_client_key=f"another-key,{KEY}") as (_, port),
        Client.connect(port) as client,
    ):
        assert (await get(client, "/relay/")).status == 200
        assert (await get(client, "/relay/static/app.js")).status == 200
        for target in ("/relay/data", "/relay/events", "/relay/static/../data", "/relay/x"):
            assert (await get(client, target)).status == 401, target
        wanted = {"x_relay_token": await token(client), **FORM}
        for target in ("/relay/session", "/relay/accounts/login", "/relay/"):
            answer = await client.ask(target, b"value=browser", **wanted)
            assert answer.status == 401, target
        assert await data(client, **BEARER)
        told = await data(client, authorization="Bearer another-key")
        assert told["keyed"] and KEY not in json.dumps(told)


@bounded
async def test_a_session_begins_with_a_client_key_and_ends() -> None:
    async with (
        relay(relay_client_key=f"{KEY},other-key") as (pages, port),
        Client.connect(port) as client,
    ):
        sent = {"x_relay_token": await token(client), **BEARER}
        answer = await client.ask("/relay/session", b"", **sent)
        assert answer.status == 204
        cookie, *attributes = answer.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "SameSite=Strict", "Path=/relay"} <= set(attributes)
        assert KEY not in cookie and "(hidden)" not in cookie
        told = await data(client, cookie=f"other=1; {cookie}")
        assert told["accounts"]["accounts"]
        assert (await get(client, "/v1/models", cookie=cookie)).status == 401  # not for that
        stale = {"cookie": cookie, "x_relay_token": sent["x_relay_token"]}
        assert (await client.ask("/relay/session/end", b"", **stale)).status == 403
        fresh = {"cookie": cookie, "x_relay_token": await token(client, cookie=cookie)}
        assert (await client.ask("/relay/session", b"", **fresh)).status == 401  # no key
        answer = await client.ask("/relay/session/end", b"", **fresh)
        assert answer.headers["set-cookie"].startswith(f'{door.COOKIE}=""; ')


@bounded
async def test_a_session_ends_with_its_key_its_time_and_its_process() -> None:
    async with relay(relay_client_key=KEY) as (_, port), Client.connect(port) as client:
        made = door.issue(KEY, 1000)
        until, _, signature = made.partition(".")
        assert door.valid(made, 1000 + door.LIFE) and not door.valid(made, 1001 + door.LIFE)
        later = f"{int(until) + 10**9}"
        for wrong in (
            *("", ".", until, f"{until}.", f"{later}.{signature}", f"٣{until}.{signature}"),
            *(f"{until}.{signature}x", f"-1.{signature}", f"{until}.\udcff", "9" * 400 + ".x"),
            door.issue("another-key", 1000),
        ):
            assert not door.valid(wrong, 1000), wrong
            quoted = wrong.encode("utf-8", "replace").decode("latin-1")
            answer = await get(client, "/relay/data", cookie=f"{door.COOKIE}={quoted}")
            assert answer.status == 401
        patch = pytest.MonkeyPatch()
        patch.setattr(door, "_secret", b"of another process")
        assert not door.valid(made, 1000)
        patch.undo()


@bounded
async def test_other_sites_cannot_ask_or_post() -> None:
    async with relay() as (pages, port), Client.connect(port) as client:
        good = {"x_relay_token": await token(client), **FORM}
        same = {"origin": f"http://{HOST}", "sec_fetch_site": "same-origin"}
        refused: list[dict[str, str]] = [
            FORM,
            {**good, "x_relay_token": "0" * 64},
            {**good, "x_relay_token": "\xff"},
            {**good, "sec_fetch_site": "cross-site"},
            {**good, "sec_fetch_site": "same-site"},
            {**good, "origin": "http://evil.example"},
            {**good, "origin": "null"},
            {**good, "origin": "http://localhost:3000"},  # another page of this machine
            {**good, "origin": "http://127.0.0.1:8081"},
        ]
        for headers in refused:
            answer = await client.ask("/relay/accounts/login", b"value=device", **headers)
            assert answer.status == 403, headers
        assert (await get(client, "/relay/data", sec_fetch_site="cross-site")).status == 403
        assert (await get(client, "/relay/events", sec_fetch_site="same-site")).status == 403
        assert (await get(client, "/relay/", sec_fetch_site="cross-site")).status == 200
        assert (await get(client, "/relay/", host="evil.example")).status == 421
        assert (await get(client, "/relay/data", host="evil.example:8080")).status == 421
        assert pages.desk.accounts and pages.desk.accounts.snapshot()["login"] is None
        answer = await client.ask("/relay/accounts/login", b"value=device", **good, **same)
        assert json.loads(answer.body)["login"]["user_code"] == "ABCD-12345"


@bounded
async def test_the_inner_port_serves_nobody_but_the_proxy() -> None:
    async with relay() as (pages, port):
        async with Client.connect(pages.port) as client:
            for headers in ({}, {"x_relay_inner": "(hidden)"}, {"x_relay_inner": "\xff"}):
                for target in ("/relay/", "/relay/data", "/relay/static/app.js", "/other"):
                    assert (await get(client, target, **headers)).status == 403
            assert (await get(client, "/relay/data", x_relay_inner=pages.secret)).status == 200
        async with Client.connect(port) as client:  # through us it is no way either
            target = f"http://127.0.0.1:{pages.port}/relay/data"
            assert (await get(client, target, host=f"127.0.0.1:{pages.port}")).status == 403
            forged = {"x_relay_inner": "mine", "x_relay_scheme": "https"}
            told = await data(client, **forged)
            assert told["setup"][0]["text"].count(f'"http://{HOST}/v1"') == 1


@bounded
async def test_no_secret_is_on_the_flow() -> None:
    class Watch:
        seen: list[Any] = []

        def response(self, flow: Any) -> None:
            self.seen.append(flow)

    watch = Watch()
    pages = Dashboard(Table())
    chain = [Config(), Transport(), Guard(), Routes(), pages, Redact(), Usage(), Demo(), watch]
    options = {"relay_store": "off", "relay_client_key": KEY}
    async with proxy(*chain, **options) as (_, port), Client.connect(port) as client:
        sent = {"x_relay_token": await token(client), **BEARER}
        answer = await client.ask("/relay/session", b"", **sent)
        cookie = answer.headers["set-cookie"].split(";")[0]
        assert "ada@example.com" in json.dumps(await data(client, cookie=cookie))
    for flow in watch.seen:
        text = str(flow.get_state())
        assert KEY not in text and pages.secret not in text and "example.com" not in text
        assert cookie.partition("=")[2] not in text
    assert len(watch.seen) == 3


@bounded
async def test_over_tls_the_cookie_and_the_snippets_know_it() -> None:
    async with (
        relay(relay_client_key=KEY) as (_, port),
        Client.connect(port, tls=client_tls()) as client,
    ):
        sent = {"x_relay_token": await token(client), **BEARER}
        answer = await client.ask("/relay/session", b"", **sent)
        assert "Secure" in answer.headers["set-cookie"]
        told = await data(client, **BEARER)
        assert f'base_url = "https://{HOST}/v1"' in told["setup"][0]["text"]


@bounded
async def test_an_exchange_appears_as_it_begins_and_as_it_ends() -> None:
    async with (
        relay() as (_, port),
        Client.connect(port) as looking,
        Client.connect(port) as asking,
    ):
        stream = await Stream(looking).open()
        told = await stream.next("all")
        assert told["exchanges"] == [] and told["totals"]["rows"] == []
        assert (await asking.ask("/v1/responses", HELLO)).status == 200
        begun, ended = await stream.next("exchange"), await stream.next("exchange")
        assert begun["id"] == ended["id"]
        assert (begun["outcome"], begun["input"]) == ("in_progress", None)
        assert (ended["outcome"], ended["model"]) == ("completed", "demo")
        assert ended["input"] > 0 and ended["ttft"] is not None and ended["cost"] is None
        heard: dict[str, Any] = {"providers": [{"exchanges": 0}]}
        while "totals" not in heard or not heard["providers"][0]["exchanges"]:  # in any order
            name, value = await stream.any()
            heard[name] = value
        row = dict(zip(told["totals"]["columns"], heard["totals"], strict=True))
        assert (row["model"], row["exchanges"], row["failed"], row["unpriced"]) == ("demo", 1, 0, 1)
        [provider] = heard["providers"]
        assert (provider["exchanges"], provider["last"]) == (1, "ok")
        again = await data(asking)
        assert again["exchanges"] == [ended]
        assert dict(zip(told["totals"]["columns"], again["totals"]["rows"][0], strict=True)) == row


@bounded
async def test_accounts_are_told_as_they_change() -> None:
    async with relay() as (pages, port), Client.connect(port) as client:
        async with Client.connect(port) as looking:
            stream = await Stream(looking).open()
            told = (await stream.next("all"))["accounts"]
            assert [one["selected"] for one in told["accounts"]] == [True, False, False]
            sent = {"x_relay_token": await token(client), **FORM}
            answer = await client.ask("/relay/accounts/select", b"value=acct_2", **sent)
            assert answer.status == 200
            while not (told := await stream.next("accounts"))["accounts"][1]["selected"]:
                pass
            answer = await client.ask("/relay/accounts/logout", b"value=acct_2", **sent)
            while len((told := await stream.next("accounts"))["accounts"]) > 2:
                pass
        answer = await client.ask("/relay/accounts/select", b"value=acct_2", **sent)
        assert answer.status == 400 and "acct_2" in json.loads(answer.body)["error"]
        answer = await client.ask("/relay/accounts/login", b"value=carrier+pigeon", **sent)
        assert answer.status == 400
        answer = await client.ask("/relay/accounts/select", b"x" * 200_000, **sent)
        assert answer.status in (400, 413, 502)


def test_somebody_logs_in_and_out_for_real(tmp_path: Path) -> None:
    with fake_auth.running(bindable(0)) as auth:
        auth.user = fake_auth.person("ada", plan="pro")
        bounded(logged_in)(auth, tmp_path)


async def logged_in(auth: fake_auth.FakeAuth, folder: Path) -> None:
    chain = [Config(), Transport(), Guard(), Routes(), Accounts(), Dashboard(Pooled())]
    options = {"relay_store": "off", "relay_vault": str(folder / "vault")}
    async with (
        proxy(*chain, Usage(), Demo(), relay_chatgpt_issuer=auth.url, **options) as (_, port),
        Client.connect(port) as client,
        Client.connect(port) as looking,
    ):
        sent = {"x_relay_token": await token(client), **FORM}
        stream = await Stream(looking).open()
        assert (await stream.next("all"))["accounts"]["accounts"] == []
        answer = await client.ask("/relay/accounts/login", b"value=device", **sent)
        login = json.loads(answer.body)["login"]
        auth.approve(login["user_code"])
        while not (told := await stream.next("accounts"))["accounts"]:
            pass
        [ada] = told["accounts"]
        assert (ada["email"], ada["plan"], told["login"]) == ("ada@example.com", "pro", None)
        answer = await client.ask("/relay/accounts/select", b"value=nobody", **sent)
        assert (answer.status, json.loads(answer.body)) == (400, {"error": "no account nobody"})
        body = f"value={ada['id']}".encode()
        answer = await client.ask("/relay/accounts/logout", body, **sent)
        assert json.loads(answer.body)["accounts"] == []


@bounded
async def test_a_turn_of_an_account_is_told_with_the_apis_price(tmp_path: Path) -> None:
    more = Dashboard(Pooled()), Usage()
    async with gateway(tmp_path, fake_auth.person("ada"), more=more) as relay:
        relay.backend.reply(say("Hello"))
        assert (await relay.chat(stream=True)).status == 200
        async with Client.connect(relay.port) as client:
            while not (told := await data(client))["exchanges"][0]["cost"]:
                await asyncio.sleep(0.01)
    [turn], [account] = told["exchanges"], told["accounts"]["accounts"]
    assert (turn["account"], turn["provider"]) == (account["id"], "chatgpt")
    assert turn["notional"] and account["email"] == "ada@example.com"
    [values] = told["totals"]["rows"]
    row = dict(zip(told["totals"]["columns"], values, strict=True))
    assert (row["cost"], row["unpriced"], row["notional"]) == (0, 0, turn["cost"])
    [provider] = told["providers"]
    assert (provider["name"], provider["key"], provider["last"]) == ("chatgpt", "login", "ok")


@bounded
async def test_a_page_that_left_is_forgotten_and_so_are_all_at_the_end() -> None:
    async with relay() as (pages, port):
        async with Client.connect(port) as looking:
            await (await Stream(looking).open()).next("all")
            assert len(pages.desk.hub) == 1
        for _ in range(200):
            if not len(pages.desk.hub):
                break
            await asyncio.sleep(0.01)
        assert len(pages.desk.hub) == 0
        async with Client.connect(port) as looking:
            stream = await Stream(looking).open()
            await stream.next("all")
            pages.desk.hub.close()
            with pytest.raises(AssertionError, match="has ended"):
                await stream.next("never")
    assert pages.desk.heard not in ledger.watchers


@bounded
async def test_a_page_that_does_not_read_is_left_behind() -> None:
    async with relay() as (pages, port), Client.connect(port) as looking:
        await (await Stream(looking).open()).next("all")
        large = "x" * 100_000
        for _ in range(WAITING * 4):
            pages.desk.hub.publish("news", large)
            await asyncio.sleep(0)
            if not len(pages.desk.hub):
                break
        assert len(pages.desk.hub) == 0


@bounded
async def test_pages_are_bounded_in_number() -> None:
    crowded = Hub()
    seats = [crowded.subscribe() for _ in range(SEATS)]
    with pytest.raises(Full):
        crowded.subscribe()
    seats[0].leave()
    crowded.subscribe().leave()
    assert [text async for text in seats[0].events()] == []


@bounded
async def test_a_quiet_page_gets_a_sign_of_life() -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(hub, "QUIET", 0.01)
    seat = Hub().subscribe()
    assert await anext(seat.events()) == hub.ALIVE
    patch.undo()


def facts(**more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        **{"at": 1.0, "asked": "m", "model": "m", "provider": "p", "client": None},
        **{"account": None, "status": "completed", "error": None, "reason": None},
        **{"dropped": [], "notes": [], "input_tokens": 1, "cached_tokens": 0, "calls": 0},
        **{"output_tokens": 1, "reasoning_tokens": 0, "estimated": False, "first_token": 0.5},
        **{"seconds": 1.0, "tokens_per_second": None},
    }
    return {**known, **more}


def test_the_feed_is_bounded_in_every_way() -> None:
    feed = Feed()
    for i in range(KEPT + 50):
        long = ["d" * 1000] * 1000
        feed.put(f"flow-{i}", facts(at=float(i), provider=f"p{i}", dropped=long, error="e" * 9999),
                 False)  # fmt: skip
    rows = feed.rows()
    assert [row["id"] for row in rows[:2]] == [f"flow-{KEPT + 49}", f"flow-{KEPT + 48}"]
    assert len(rows) == KEPT
    assert max(len(json.dumps(row)) for row in rows) < 20_000
    assert feed.price("flow-0", Cost(1.0, False)) is None
    priced = feed.price(f"flow-{KEPT}", Cost(1.0, True))
    assert priced and (priced["cost"], priced["notional"]) == (1.0, True)


def test_health_counts_what_the_provider_did_and_not_what_clients_did() -> None:
    feed = Feed()
    assert feed.health("p") == {"exchanges": 0, "failed": 0, "last": None, "ttft": None}
    feed.put("1", facts(status="in_progress"), False)
    feed.put("1", facts(status=LEFT, error="status 503", first_token=None), False)
    assert feed.rows()[0]["outcome"] == "in_progress"  # elsewhere
    assert feed.health("p")["last"] == "status 503"
    feed.put("1", facts(provider="q"), False)
    feed.put("2", facts(first_token=0.1), False)
    feed.put("3", facts(status="failed"), True)
    assert feed.rows()[0]["outcome"] in ("completed", "cancelled")
    assert feed.health("p") == {"exchanges": 2, "failed": 1, "last": "ok", "ttft": 0.1}
    assert feed.health("q")["failed"] == 0


@pytest.mark.parametrize("keyed", [False, True])
def test_set_up_is_what_the_clients_can_read(keyed: bool) -> None:
    made = {one["name"]: one["text"] for one in snippets("http://h:1", "a/b-1", "/ca.pem", keyed)}
    key = PLACEHOLDER if keyed else "none"
    codex = tomllib.loads(made["Codex"])
    table = codex["model_providers"][codex["model_provider"]]
    assert (codex["model"], table["base_url"]) == ("a/b-1", "http://h:1/v1")
    assert ("env_key" in table) == keyed
    [model] = YAML(typ="safe").load(made["Continue"])["models"]
    assert (model["apiBase"], model["apiKey"], model["model"]) == ("http://h:1/v1", key, "a/b-1")
    compile(made["Python"], "snippet", "exec")
    assert json.loads(made["curl"].split("-d '")[1].rstrip("'\n"))["model"] == "a/b-1"
    for name in ("Cursor", "aider", "Python", "Node", "curl"):
        assert key in made[name] and "http://h:1/v1" in made[name], name
    by_proxy = made["Codex, by proxy"]
    assert "HTTPS_PROXY=http://h:1\n" in by_proxy and ("codex login" in by_proxy) == keyed


def test_a_name_from_outside_does_not_break_out_of_its_quotes() -> None:
    for one in snippets("http://h", 'x"; rm -rf "$HOME', "/ca.pem", False):
        assert "rm -rf" not in one["text"]
