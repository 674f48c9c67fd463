"""addons/accounts/login.py, driven as by a browser: over real sockets, through the auth server."""

import asyncio
import re
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from addons.accounts import device, login, oauth
from addons.accounts import login_callback as callback
from addons.accounts.login import Login
from addons.accounts.login_callback import Taken
from addons.accounts.tokens import Tokens
from tests import fake_auth
from tests.fake_auth import FakeAuth, Trouble, browse, person, within

CLOSE = "You may close this page"


class Kept(list[Tokens]):
    """What a login handed over."""

    async def add(self, tokens: Tokens) -> None:
        self.append(tokens)


def logging_in(auth: FakeAuth, test: Callable[[Login, Kept], Awaitable[None]]) -> Kept:
    """The tokens that a test's logins gave; they leave neither a task nor a listener."""
    kept = Kept()

    async def run() -> None:
        logins = Login(kept.add)
        try:
            await asyncio.wait_for(test(logins, kept), 20)
        finally:
            await logins.stop()
        assert logins.state() is None
        assert not listening(auth.port)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    within(auth, run())
    return kept


def listening(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        return probe.connect_ex((address, port)) == 0


def parameters(url: str) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}


def back(url: str, **brought: str) -> str:
    """Where the browser would come back to from this login, with the right state."""
    asked = parameters(url)
    return f"{asked['redirect_uri']}?{urlencode({'state': asked['state'], **brought})}"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_browser_logs_in(auth: FakeAuth) -> None:
    auth.user = person("bob", plan="team")

    async def test(logins: Login, kept: Kept) -> None:
        assert logins.state() is None
        url = await logins.browser()
        assert logins.state() == {"kind": "browser", "url": url}
        page = await browse(url)
        assert page.status_code == 200 and CLOSE in page.text
        assert page.history[0].status_code == 302
        await until(lambda: logins.state() is None)
        assert not listening(auth.port)

    [tokens] = logging_in(auth, test)
    assert (tokens.email, tokens.plan) == ("bob@example.com", "team")
    assert tokens.access in auth.access and tokens.refresh in auth.fresh
    assert abs(tokens.at - time.time()) < 5


def test_the_page_has_no_scripts_and_is_readable_for_all(auth: FakeAuth) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        page = await browse(await logins.browser())
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert "server" not in page.headers
        assert "<script" not in page.text and "http" not in page.text
        for needed in ('lang="en"', "<main>", "<h1>", "<title>", "color-scheme: light dark"):
            assert needed in page.text

    logging_in(auth, test)


def test_the_true_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_auth.running() as auth:

        async def test(logins: Login, kept: Kept) -> None:
            async with asyncio.timeout(20):  # somebody else may log in on this machine
                while True:
                    try:
                        url = await logins.browser()
                        break
                    except Taken:
                        await asyncio.sleep(0.2)
            assert parameters(url)["redirect_uri"] == "http://localhost:1455/auth/callback"
            assert CLOSE in (await browse(url)).text

        assert len(logging_in(auth, test)) == 1


def test_both_addresses_of_localhost_answer(auth: FakeAuth) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        await logins.browser()
        for family in callback.families():
            assert listening(auth.port, callback.LOCALHOST[family])

    logging_in(auth, test)


@pytest.mark.parametrize(
    "query",
    [
        {"state": "another"},
        {"state": ""},
        {"state": "\u00e9"},
        {"state": "another", "error": "access_denied"},
    ],
)
def test_another_state_gets_a_page_and_ends_nothing(auth: FakeAuth, query: dict[str, str]) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        url = await logins.browser()
        page = await browse(back(url, code="stolen", **query))
        assert page.status_code == 400 and "another login" in page.text
        assert logins.state() == {"kind": "browser", "url": url}
        assert auth.asked == []
        assert CLOSE in (await browse(url)).text

    assert len(logging_in(auth, test)) == 1


@pytest.mark.parametrize(
    "more", ["", "&code=a&code=b", "&code=a&error=b", "&code=%ff", "&code=a&state=x"]
)
def test_an_address_that_makes_no_sense_ends_nothing(auth: FakeAuth, more: str) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        url = await logins.browser()
        page = await browse(back(url) + more)
        assert page.status_code == 400 and "did not work" in page.text
        assert logins.state() == {"kind": "browser", "url": url}

    logging_in(auth, test)


def test_other_paths_and_methods(auth: FakeAuth, caplog: pytest.LogCaptureFixture) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        url = await logins.browser()
        async with httpx2.AsyncClient(trust_env=False) as client:
            elsewhere = await client.get(f"http://127.0.0.1:{auth.port}/?<script>=1")
            posted = await client.post(back(url, code="the-code"))
            asked = await client.head(back(url, code="the-code"))
        assert [elsewhere.status_code, posted.status_code, asked.status_code] == [404, 405, 405]
        assert "<script" not in elsewhere.text and "<script" not in posted.text
        assert logins.state() == {"kind": "browser", "url": url}

    logging_in(auth, test)
    assert "the-code" not in caplog.text


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_bodies_are_neither_kept_nor_waited_for(
    auth: FakeAuth, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(callback, "PARTING", 0.2)

    async def test(logins: Login, kept: Kept) -> None:
        await logins.browser()
        reader, writer = await asyncio.open_connection("127.0.0.1", auth.port)
        writer.write(b"POST /auth/callback HTTP/1.1\r\nhost: localhost\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % size)
        async with asyncio.timeout(2):
            await reader.read()
        writer.close()
        await writer.wait_closed()

    logging_in(auth, test)


def test_a_login_that_the_user_denies(auth: FakeAuth) -> None:
    auth.denies = "access_denied"

    async def test(logins: Login, kept: Kept) -> None:
        page = await browse(await logins.browser())
        assert page.status_code == 400
        assert "access_denied" in page.text and "Start the login again" in page.text
        await until(lambda: not listening(auth.port))
        error = "OpenAI refused the login (access_denied)."
        await until(lambda: logins.state() == {"kind": "browser", "error": error})
        assert CLOSE in (await browse(await logins.browser())).text

    assert len(logging_in(auth, test)) == 1


def test_what_the_service_says_is_shown_as_text(auth: FakeAuth) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        url = await logins.browser()
        page = await browse(back(url, error="x", error_description="<img src=//a>\r\n{0}" * 50))
        assert "x: &lt;img src=//a&gt; {0}" in page.text and "<img" not in page.text
        assert len(page.text) < 4000

    assert logging_in(auth, test) == []


def test_a_code_that_was_used(auth: FakeAuth) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        first = await browse(await logins.browser())
        code = parameters(str(first.url))["code"]
        page = await browse(back(await logins.browser(), code=code))
        assert page.status_code == 400 and "invalid_grant" in page.text
        assert code not in page.text

    assert len(logging_in(auth, test)) == 1
    assert auth.refusals == ["code: unknown, used or expired"]
    auth.refusals.clear()


def test_a_code_of_another_verifier(auth: FakeAuth) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        foreign = oauth.authorize_url("s" * 43, "v" * 64)
        code = parameters(auth.authorize(urlsplit(foreign).query))["code"]
        page = await browse(back(await logins.browser(), code=code))
        assert page.status_code == 400 and "invalid_grant" in page.text

    assert logging_in(auth, test) == []
    assert auth.refusals == ["code_verifier: not that of the challenge"]
    auth.refusals.clear()


def test_a_page_that_is_loaded_twice_takes_the_code_once(auth: FakeAuth) -> None:
    auth.delay = 0.3

    async def test(logins: Login, kept: Kept) -> None:
        url = await logins.browser()
        code = parameters(auth.authorize(urlsplit(url).query))["code"]
        pages = await asyncio.gather(*(browse(back(url, code=code)) for _ in range(3)))
        assert [page.status_code for page in pages] == [200, 200, 200]

    assert len(logging_in(auth, test)) == 1
    assert len(auth.asked) == 1


def test_a_service_that_fails_in_the_middle(auth: FakeAuth) -> None:
    auth.troubles.append(Trouble(500))

    async def test(logins: Login, kept: Kept) -> None:
        page = await browse(await logins.browser())
        assert page.status_code == 400 and "HTTP 500" in page.text
        await until(lambda: "error" in (logins.state() or {}))

    assert logging_in(auth, test) == []
    assert len(auth.asked) == 1


def test_tokens_that_cannot_be_kept(auth: FakeAuth, caplog: pytest.LogCaptureFixture) -> None:
    async def full(tokens: Tokens) -> None:
        raise OSError(f"no space for {tokens.access}")

    async def test() -> None:
        logins = Login(full)
        page = await browse(await logins.browser())
        assert page.status_code == 400
        await until(lambda: "error" in (logins.state() or {}))
        assert logins.state() == {
            "kind": "browser",
            "error": "The account could not be kept (OSError).",
        }
        await logins.stop()
        shown = page.text + caplog.text
        assert "could not be kept" in shown
        assert not any(token in shown for token in auth.access)

    within(auth, test())


def test_a_port_that_is_taken(auth: FakeAuth) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        for family in callback.families():
            with callback.opened(family, auth.port):
                with pytest.raises(Taken) as caught:
                    await logins.browser()
                assert f"Port {auth.port}" in str(caught.value)
                assert "device code" in str(caught.value)
                assert logins.state() is None
        assert CLOSE in (await browse(await logins.browser())).text

    assert len(logging_in(auth, test)) == 1


def test_nobody_logs_in(auth: FakeAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "BROWSER", 0.2)

    async def test(logins: Login, kept: Kept) -> None:
        await logins.browser()
        await until(lambda: not listening(auth.port))
        error = "Nobody finished the login in time."
        await until(lambda: logins.state() == {"kind": "browser", "error": error})

    assert logging_in(auth, test) == []


def test_a_second_login_replaces_the_first(auth: FakeAuth) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        urls = await asyncio.gather(logins.browser(), logins.browser())
        assert logins.state() == {"kind": "browser", "url": urls[1]}
        assert (await browse(urls[0])).status_code == 400
        told = await logins.device()
        assert not listening(auth.port)
        assert CLOSE in (await browse(await logins.browser())).text
        auth.approve(told["user_code"])
        polls = auth.polls
        await asyncio.sleep(3 * auth.interval)
        assert auth.polls == polls

    assert len(logging_in(auth, test)) == 1


def test_a_cancelled_login(auth: FakeAuth) -> None:
    auth.delay = 30

    async def test(logins: Login, kept: Kept) -> None:
        await logins.cancel()
        page = asyncio.create_task(browse(await logins.browser()))
        await until(lambda: auth.asked)
        with socket.create_connection(("127.0.0.1", auth.port)):  # as browsers do beforehand
            await logins.cancel()
        assert "cancelled" in (await page).text
        assert logins.state() is None

    assert logging_in(auth, test) == []


def test_a_login_by_device_code(auth: FakeAuth) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        told = await logins.device()
        assert logins.state() == told
        assert told["kind"] == "device" and told["url"] == f"{auth.url}/codex/device"
        assert 800 < told["expires"] - time.time() <= 900
        await until(lambda: auth.polls >= 3)  # 403 and 404 are both "not yet"
        assert logins.state() == told
        auth.approve(told["user_code"], person("eve"))
        await until(lambda: logins.state() is None)

    [tokens] = logging_in(auth, test)
    assert tokens.email == "eve@example.com"


@pytest.mark.parametrize("code", ["access_denied", "expired_token", "authorization_declined"])
def test_a_device_code_that_is_refused(auth: FakeAuth, code: str) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        auth.deny((await logins.device())["user_code"], code)
        error = f"OpenAI refused the login ({code})."
        await until(lambda: logins.state() == {"kind": "device", "error": error})
        polls = auth.polls
        await asyncio.sleep(3 * auth.interval)
        assert auth.polls == polls

    assert logging_in(auth, test) == []


def test_a_device_code_that_nobody_enters(auth: FakeAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "LIFE", 0.3)

    async def test(logins: Login, kept: Kept) -> None:
        await logins.device()
        error = "Nobody finished the login in time."
        await until(lambda: logins.state() == {"kind": "device", "error": error})

    assert logging_in(auth, test) == []


@pytest.mark.parametrize(
    "trouble",
    [Trouble(429, code="slow_down"), Trouble(400, code="slow_down"), Trouble(500), Trouble(0)],
)
def test_polls_become_slower_where_that_is_wished(
    auth: FakeAuth, monkeypatch: pytest.MonkeyPatch, trouble: Trouble
) -> None:
    monkeypatch.setattr(device, "SLOWER", 0.5)
    auth.device_troubles.append(trouble)

    async def test(logins: Login, kept: Kept) -> None:
        told = await logins.device()
        await until(lambda: not auth.device_troubles)
        auth.approve(told["user_code"])
        began = time.monotonic()
        await until(lambda: logins.state() is None)
        assert time.monotonic() - began > 0.4

    assert len(logging_in(auth, test)) == 1


def test_a_device_login_with_no_service(auth: FakeAuth) -> None:
    auth.close()

    async def test(logins: Login, kept: Kept) -> None:
        with pytest.raises(oauth.Unreachable, match="ConnectError"):
            await logins.device()
        assert logins.state() is None

    logging_in(auth, test)


def test_nothing_secret_is_shown(auth: FakeAuth) -> None:
    async def test(logins: Login, kept: Kept) -> None:
        told = await logins.device()
        begun = await device.device_begin()
        assert begun.id not in f"{told} {begun}"
        auth.approve(begun.user_code)
        approved: Any = await device.device_poll(begun)
        assert approved.code not in repr(approved) and approved.verifier not in repr(approved)
        answer = callback.Answer("the-code", "")
        assert not re.search("the-code", repr(answer))

    logging_in(auth, test)
