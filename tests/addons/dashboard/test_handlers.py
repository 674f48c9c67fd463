"""The pages: which requests they serve, and with which content and headers."""

import asyncio
import json
import re

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from addons.dashboard.event_hub import MAX_WAITING_EVENTS
from addons.dashboard.handlers import STATIC_FOLDER, SessionStartHandler, static_files
from addons.dashboard.state import DashboardState
from addons.ingress.session_cookie import COOKIE_NAME
from addons.observe.exchange_record import record_listeners
from tests.addons.dashboard.pages import (
    BEARER,
    FORM,
    HOST,
    KEY,
    EventReader,
    dashboard_relay,
    get_page,
    post_token,
    snapshot_of,
)
from tests.addons.proxy import Client, bounded, client_tls


@bounded
async def test_page_and_files_come_with_protective_headers() -> None:
    async with dashboard_relay() as (_, port), Client.connect(port) as client:
        assert (await get_page(client, "/relay")).headers["location"] == "/relay/"
        answer = await get_page(client, "/relay/")
        assert answer.status == 200 and b"<h1>mitmcodex" in answer.body
        for file in sorted(STATIC_FOLDER.iterdir()):
            answer = await get_page(client, f"/relay/static/{file.name}")
            assert (answer.status, answer.body) == (200, file.read_bytes())
        for target in ("/relay/", "/relay/data", "/relay/static/app.js", "/relay/nothing"):
            headers = (await get_page(client, target)).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        assert (await get_page(client, "/relay/data")).headers["cache-control"] == "no-store"


@bounded
async def test_other_paths_are_not_found() -> None:
    async with dashboard_relay() as (_, port), Client.connect(port) as client:
        for target in (
            *("/relay/nothing", "/relay/static/app.py", "/relay/static/..%2fapp.py"),
            *("/relay/static/../app.py", "/relay/static/none.js", "/relay/accounts/eat"),
        ):
            answer = await get_page(client, target)
            assert answer.status == 404, target
            assert json.loads(answer.body)["error"]
        assert (await get_page(client, "/relay/accounts/login")).status == 405


def test_page_loads_nothing_from_elsewhere_and_has_no_inline_code() -> None:
    for file in STATIC_FOLDER.iterdir():
        text = file.read_text()
        urls = set(re.findall(r"https?://[^\s\"'`$]*", text))
        assert urls <= {"http://www.w3.org/2000/svg"} | {"http://"}, file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    page = (STATIC_FOLDER / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)


@bounded
async def test_client_key_guards_everything_but_the_empty_page() -> None:
    async with (
        dashboard_relay(relay_client_key=f"another-key,{KEY}") as (_, port),
        Client.connect(port) as client,
    ):
        assert (await get_page(client, "/relay/")).status == 200
        assert (await get_page(client, "/relay/static/app.js")).status == 200
        for target in ("/relay/data", "/relay/events", "/relay/static/../data", "/relay/x"):
            assert (await get_page(client, target)).status == 401, target
        headers = {"x_relay_token": await post_token(client), **FORM}
        for target in ("/relay/session", "/relay/accounts/login", "/relay/"):
            answer = await client.ask(target, b"value=browser", **headers)
            assert answer.status == 401, target
        assert await snapshot_of(client, **BEARER)
        snapshot = await snapshot_of(client, authorization="Bearer another-key")
        assert snapshot["keyed"] and KEY not in json.dumps(snapshot)


@bounded
async def test_session_starts_with_a_client_key_and_ends_at_logout() -> None:
    async with (
        dashboard_relay(relay_client_key=f"{KEY},other:other-key") as (dashboard, port),
        Client.connect(port) as client,
    ):
        post_headers = {"x_relay_token": await post_token(client), **BEARER}
        answer = await client.ask("/relay/session", b"", **post_headers)
        assert answer.status == 204
        cookie, *attributes = answer.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "SameSite=Strict", "Path=/relay"} <= set(attributes)
        assert KEY not in cookie and "(hidden)" not in cookie
        snapshot = await snapshot_of(client, cookie=f"other=1; {cookie}")
        assert snapshot["accounts"]["accounts"]
        assert (await get_page(client, "/v1/models", cookie=cookie)).status == 401
        stale = {"cookie": cookie, "x_relay_token": post_headers["x_relay_token"]}
        assert (await client.ask("/relay/session/end", b"", **stale)).status == 403
        fresh = {"cookie": cookie, "x_relay_token": await post_token(client, cookie=cookie)}
        assert (await client.ask("/relay/session", b"", **fresh)).status == 401
        answer = await client.ask("/relay/session/end", b"", **fresh)
        assert answer.headers["set-cookie"].startswith(f'{COOKIE_NAME}=""; ')


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def start_session(client: Client, key: str) -> dict[str, str]:
    """The headers of a browser that has sent this key."""
    token = await post_token(client)
    answer = await client.ask("/relay/session", b"", x_relay_token=token, **bearer(key))
    return {"cookie": answer.headers["set-cookie"].split("; ")[0]}


async def take_turn(client: Client, key: str) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
    answer = await client.ask("/v1/chat/completions", json.dumps(body).encode(), **bearer(key))
    assert answer.status == 200, answer.body


@bounded
async def test_named_key_sees_its_own_exchanges_and_totals_only() -> None:
    keys = f"{KEY},ada:key-of-ada,bob:key-of-bob"
    async with (
        dashboard_relay(relay_client_key=keys) as (_, port),
        Client.connect(port) as client,
        Client.connect(port) as page,
    ):
        events = await EventReader(page).open(**bearer("key-of-ada"))
        for name in ("bob", "ada", "bob"):
            await take_turn(client, f"key-of-{name}")
        assert (await events.next_named("exchange"))["client"] == "ada"
        assert (await events.next_named("totals"))[3] == 1  # exchanges
        forged = {"x_relay_viewer": "*", "x_relay_inner": "x"}
        session = await start_session(client, "key-of-ada")
        for headers in (bearer("key-of-ada"), {**bearer("key-of-ada"), **forged}, session):
            shown = await snapshot_of(client, **headers)
            assert [row["client"] for row in shown["exchanges"]] == ["ada"]
            assert [row[3] for row in shown["totals"]["rows"]] == [1]
            assert shown["totals"]["lasting"] is False and shown["accounts"] is None
            assert sum(provider["exchanges"] for provider in shown["providers"]) == 1
            token = await post_token(client, **headers)
            posted = {**FORM, **headers, "x_relay_token": token}
            refused = await client.ask("/relay/accounts/logout", b"value=acct_1", **posted)
            assert refused.status == 403
        shown = await snapshot_of(client, **bearer(KEY))
        assert sorted(row["client"] for row in shown["exchanges"]) == ["ada", "bob", "bob"]
        assert sum(row[3] for row in shown["totals"]["rows"]) == 3 and shown["accounts"]


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]b", "//[x", "null", ""])
@bounded
async def test_malformed_origin_is_refused_on_mitmwebs_port(origin: str) -> None:
    """There the relay's own checks of the origin do not come first."""
    arguments = {"state": DashboardState(None), "inner_secret": None, "relay_port": 8080}
    server = HTTPServer(Application([(r"/relay/session", SessionStartHandler, arguments)]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        async with Client.connect(sockets[0].getsockname()[1]) as client:
            answer = await client.ask("/relay/session", b"", origin=origin)
        assert (answer.status, "another origin" in answer.body.decode()) == (403, True)
    finally:
        server.stop()


@bounded
async def test_cookie_and_snippets_fit_tls() -> None:
    async with (
        dashboard_relay(relay_client_key=KEY) as (_, port),
        Client.connect(port, tls=client_tls()) as client,
    ):
        post_headers = {"x_relay_token": await post_token(client), **BEARER}
        answer = await client.ask("/relay/session", b"", **post_headers)
        assert "Secure" in answer.headers["set-cookie"]
        snapshot = await snapshot_of(client, **BEARER)
        assert f'base_url = "https://{HOST}/v1"' in snapshot["setup"][0]["text"]


@bounded
async def test_pages_of_other_sites_can_neither_read_nor_post() -> None:
    async with dashboard_relay() as (dashboard, port), Client.connect(port) as client:
        allowed = {"x_relay_token": await post_token(client), **FORM}
        same = {"origin": f"http://{HOST}", "sec_fetch_site": "same-origin"}
        refused: list[dict[str, str]] = [
            FORM,
            {**allowed, "x_relay_token": "0" * 64},
            {**allowed, "x_relay_token": "\xff"},
            {**allowed, "sec_fetch_site": "cross-site"},
            {**allowed, "sec_fetch_site": "same-site"},
            {**allowed, "origin": "http://evil.example"},
            {**allowed, "origin": "null"},
            {**allowed, "origin": "http://localhost:3000"},  # another page of this machine
            {**allowed, "origin": "http://127.0.0.1:8081"},
        ]
        for headers in refused:
            answer = await client.ask("/relay/accounts/login", b"value=device", **headers)
            assert answer.status == 403, headers
        assert (await get_page(client, "/relay/data", sec_fetch_site="cross-site")).status == 403
        assert (await get_page(client, "/relay/events", sec_fetch_site="same-site")).status == 403
        assert (await get_page(client, "/relay/", sec_fetch_site="cross-site")).status == 200
        assert (await get_page(client, "/relay/", host="evil.example")).status == 421
        assert (await get_page(client, "/relay/data", host="evil.example:8080")).status == 421
        assert (
            dashboard.dashboard_state.accounts
            and dashboard.dashboard_state.accounts.accounts_snapshot()["login"] is None
        )
        answer = await client.ask("/relay/accounts/login", b"value=device", **allowed, **same)
        assert json.loads(answer.body)["login"]["user_code"] == "ABCD-12345"


@bounded
async def test_closed_pages_are_forgotten_and_all_streams_end_with_the_relay() -> None:
    async with dashboard_relay() as (dashboard, port):
        async with Client.connect(port) as watcher:
            await (await EventReader(watcher).open()).next_named("all")
            assert len(dashboard.dashboard_state.hub) == 1
        for _ in range(200):
            if not len(dashboard.dashboard_state.hub):
                break
            await asyncio.sleep(0.01)
        assert len(dashboard.dashboard_state.hub) == 0
        async with Client.connect(port) as watcher:
            stream = await EventReader(watcher).open()
            await stream.next_named("all")
            dashboard.dashboard_state.hub.close()
            with pytest.raises(AssertionError, match="has ended"):
                await stream.next_named("never")
    assert dashboard.dashboard_state.on_record not in record_listeners


@bounded
async def test_page_that_does_not_read_is_dropped() -> None:
    async with dashboard_relay() as (dashboard, port), Client.connect(port) as watcher:
        await (await EventReader(watcher).open()).next_named("all")
        large = "x" * 100_000
        for _ in range(MAX_WAITING_EVENTS * 4):
            dashboard.dashboard_state.hub.publish_event("news", large, None)
            await asyncio.sleep(0)
            if not len(dashboard.dashboard_state.hub):
                break
        assert len(dashboard.dashboard_state.hub) == 0


def test_page_inserts_names_of_others_as_text_only() -> None:
    scripts = [content for name, content in static_files().items() if name.endswith(".js")]
    assert scripts
    for way in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"DOMParser"):
        assert not [script for script in scripts if way in script], way
