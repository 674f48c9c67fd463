"""The listener that a browser comes back to, and its page."""

import asyncio
import re

import httpx2
import pytest

from addons.accounts import login_callback
from addons.accounts.login import LoginProcess
from addons.accounts.login_callback import CallbackAnswer, error_line
from tests.addons.accounts.login_harness import (
    CLOSE_ADVICE,
    callback_url,
    is_listening,
    run_logins,
)
from tests.fake_auth import FakeAuth, fetch_final_page


def test_page_has_no_scripts_and_is_accessible(auth: FakeAuth) -> None:
    async def test(login: LoginProcess) -> None:
        page = await fetch_final_page(await login.start_browser_login())
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert "server" not in page.headers
        assert "<script" not in page.text and "http" not in page.text
        for markup in ('lang="en"', "<main>", "<h1>", "<title>", "color-scheme: light dark"):
            assert markup in page.text

    run_logins(auth, test)


def test_all_addresses_of_localhost_answer(auth: FakeAuth) -> None:
    async def test(login: LoginProcess) -> None:
        await login.start_browser_login()
        for family in login_callback.localhost_families():
            assert is_listening(auth.port, login_callback.LOCALHOST[family])

    run_logins(auth, test)


@pytest.mark.parametrize(
    "query",
    [
        {"state": "another"},
        {"state": ""},
        {"state": "\u00e9"},
        {"state": "another", "error": "access_denied"},
    ],
)
def test_wrong_state_does_not_end_the_login(auth: FakeAuth, query: dict[str, str]) -> None:
    async def test(login: LoginProcess) -> None:
        url = await login.start_browser_login()
        page = await fetch_final_page(callback_url(url, code="stolen", **query))
        assert page.status_code == 400 and "another login" in page.text
        assert login.current_status() == {"kind": "browser", "url": url}
        assert auth.token_requests == []
        assert CLOSE_ADVICE in (await fetch_final_page(url)).text

    assert len(run_logins(auth, test)) == 1


@pytest.mark.parametrize(
    "suffix", ["", "&code=a&code=b", "&code=a&error=b", "&code=%ff", "&code=a&state=x"]
)
def test_malformed_address_does_not_end_the_login(auth: FakeAuth, suffix: str) -> None:
    async def test(login: LoginProcess) -> None:
        url = await login.start_browser_login()
        page = await fetch_final_page(callback_url(url) + suffix)
        assert page.status_code == 400 and "did not work" in page.text
        assert login.current_status() == {"kind": "browser", "url": url}

    run_logins(auth, test)


def test_other_paths_and_methods_are_refused(
    auth: FakeAuth, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(login: LoginProcess) -> None:
        url = await login.start_browser_login()
        async with httpx2.AsyncClient(trust_env=False) as client:
            other_path = await client.get(f"http://127.0.0.1:{auth.port}/?<script>=1")
            post = await client.post(callback_url(url, code="the-code"))
            head = await client.head(callback_url(url, code="the-code"))
        assert [other_path.status_code, post.status_code, head.status_code] == [404, 405, 405]
        assert "<script" not in other_path.text and "<script" not in post.text
        assert login.current_status() == {"kind": "browser", "url": url}

    run_logins(auth, test)
    assert "the-code" not in caplog.text


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_listener_does_not_wait_for_request_bodies(
    auth: FakeAuth, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(login_callback, "CLOSE_TIMEOUT", 0.2)

    async def test(login: LoginProcess) -> None:
        await login.start_browser_login()
        reader, writer = await asyncio.open_connection("127.0.0.1", auth.port)
        writer.write(b"POST /auth/callback HTTP/1.1\r\nhost: localhost\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % size)
        async with asyncio.timeout(2):
            await reader.read()
        writer.close()
        await writer.wait_closed()

    run_logins(auth, test)


def test_error_of_openai_is_shown_as_text(auth: FakeAuth) -> None:
    async def test(login: LoginProcess) -> None:
        url = await login.start_browser_login()
        description = "<img src=//a>\r\n{0}" * 50
        page = await fetch_final_page(callback_url(url, error="x", error_description=description))
        assert "x: &lt;img src=//a&gt; {0}" in page.text and "<img" not in page.text
        assert len(page.text) < 4000

    assert run_logins(auth, test) == []


@pytest.mark.parametrize(
    ("code", "description", "line"),
    [("a", "", "a"), ("", "b", ""), ("a", "b\r\nc", "a: b c"), ("a" * 400, "", "a" * 300)],
)
def test_error_becomes_one_short_line(code: str, description: str, line: str) -> None:
    assert error_line(code, description) == line


def test_answer_does_not_show_its_code() -> None:
    assert not re.search("the-code", repr(CallbackAnswer("the-code", "")))
