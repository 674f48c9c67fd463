"""A login in a real Chromium, from the dashboard to the service and back, and a turn with it."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import fake_auth, fake_backend
from tests.addons.gateway import IssuedTokens
from tests.codex.driver import Relay
from tests.fake_auth import FakeAuth
from tests.fake_backend import FakeBackend
from tests.replies import say

CHAT_REQUEST = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hello!"}]}


@pytest.fixture
def auth() -> Iterator[FakeAuth]:
    """It sends browsers back to the only port that the real service accepts."""
    with fake_auth.running_auth() as auth:
        yield auth


@pytest.fixture
def backend(auth: FakeAuth) -> Iterator[FakeBackend]:
    with fake_backend.running_backend() as backend:
        backend.accounts = IssuedTokens(auth)
        yield backend


@pytest.fixture
def relay(auth: FakeAuth, backend: FakeBackend, tmp_path: Path) -> Iterator[Relay]:
    places = {"chatgpt_base": backend.url, "chatgpt_issuer": auth.url}
    relay = Relay(tmp_path / "relay", vault=str(tmp_path / "logins"), store="off", **places)
    yield relay
    relay.stop()
    assert "Traceback" not in relay.log


def begin_login(page: Page) -> None:
    """Start a login; another program may have the port for a moment."""
    for _ in range(40):
        page.get_by_role("button", name="Log in with the browser").click()
        box = page.locator("#login, #accounts-fault").filter(visible=True).first
        expect(box).to_be_visible()
        if page.get_by_role("link", name="Open the login page").is_visible():
            return
        page.wait_for_timeout(500)


def test_user_logs_in_and_is_served(
    browser: Browser, relay: Relay, auth: FakeAuth, backend: FakeBackend
) -> None:
    with browser.new_page() as page:
        page.goto(f"{relay.url}/relay/")
        expect(page.get_by_text("No account yet: log in.")).to_be_visible()
        begin_login(page)
        with page.context.expect_page() as login_page:
            page.get_by_role("link", name="Open the login page").click()
        expect(login_page.value.get_by_role("heading", name="You are logged in")).to_be_visible()
        assert login_page.value.url.startswith("http://localhost:1455/auth/callback?")
        card = page.get_by_role("listitem").filter(has_text=auth.user.email)
        expect(card).to_contain_text("In use")
        backend.reply(say("Hello."))
        answer = httpx2.post(f"{relay.url}/v1/chat/completions", json=CHAT_REQUEST, trust_env=False)
        assert answer.json()["choices"][0]["message"]["content"] == "Hello."
        row = page.get_by_role("table", name="Exchanges").get_by_role("row").nth(1)
        expect(row).to_contain_text("Completed")
        meter = card.get_by_role("meter", name="5 h limit")
        expect(meter).to_have_attribute("aria-valuenow", "12")
        page.get_by_role("button", name=f"Log out {auth.user.email}").click()
        page.get_by_role("dialog").get_by_role("button", name="Log out").click()
        expect(page.get_by_text("No account yet: log in.")).to_be_visible()
    assert not auth.refusals
