"""The dashboard in a real Chromium, on the relay's own port and on mitmweb's."""

import json
import re
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from addons.storage.usage_backends import SqliteUsage, UsageKey
from tests import accounts_table
from tests.browser.mitmweb import PASSWORD, Mitmweb
from tests.codex.driver import ROOT, Relay
from tests.fake_provider import FakeProvider, running_provider
from tests.replies import Hold, error, say

WIDTHS = (1280, 360)
EVIL = "<img src=x onerror=\"document.title='owned'\">"
AUDIT = (Path(__file__).parent / "audit.js").read_text()
TABLE = ("-s", str(Path(accounts_table.__file__).relative_to(ROOT)))


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeProvider]:
    with running_provider() as provider:
        yield provider


# One relay for all tests of this file, as its start takes longer than most of them.
@pytest.fixture(scope="module")
def relay(upstream: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    tmp_path = tmp_path_factory.mktemp("dashboard")
    usage = SqliteUsage(tmp_path / "kept-usage.db")
    for days_ago in range(3):
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - days_ago * 86_400))
        for model in ("deepseek-chat", "kimi-k3"):
            usage.add_counts(
                UsageKey(day, "deepseek", model), (4, 1, 1e6, 8e5, 1e4, 1e3, 0.25, 0, 0)
            )
    usage.close()
    options = {"upstream": upstream.url, "api_key": upstream.key, "provider": "deepseek"}
    relay = Relay(tmp_path / "relay", *TABLE, store=str(tmp_path / "kept.db"), **options)
    yield relay
    relay.stop()
    assert "Traceback" not in relay.log


@pytest.fixture
def mitmweb_with_accounts(provider: FakeProvider, tmp_path: Path) -> Iterator[Mitmweb]:
    options = {"upstream": provider.url, "api_key": provider.key, "store": "off"}
    mitmweb = Mitmweb(tmp_path / "relay", *TABLE, **options)
    yield mitmweb
    mitmweb.stop()
    assert "Traceback" not in mitmweb.log


class PageFaults:
    """The errors of a page, and the hosts that it asked."""

    def __init__(self, page: Page) -> None:
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        page.on(
            "console",
            lambda message: self.faults.append(message.text) if is_fault(message.type) else None,
        )
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", self.check_request)

    def check_request(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).netloc)


def is_fault(kind: str) -> bool:
    return kind in ("error", "warning")


@pytest.fixture
def page(browser: Browser, relay: Relay) -> Iterator[Page]:
    """The live dashboard. Fails if the page logs an error or asks another host."""
    reset_accounts(relay)
    with browser.new_page(viewport={"width": 1280, "height": 900}) as page:
        page_faults = PageFaults(page)
        open_page(page, relay.url)
        yield page
        assert page_faults.faults == []
        assert page_faults.hosts == {urlsplit(relay.url).netloc}


def reset_accounts(relay: Relay) -> None:
    with httpx2.Client(base_url=f"{relay.url}/relay/", trust_env=False) as client:
        token = client.get("token").json()["token"]
        assert client.post("accounts/cancel", headers={"x-relay-token": token}).status_code == 200


def open_page(page: Page, url: str) -> None:
    page.set_default_timeout(15_000)
    page.goto(f"{url}/relay/")
    expect(page.get_by_role("status")).to_have_text("Live")


def send_turn(relay: Relay, model: str = "deepseek-chat") -> None:
    body = json.dumps({"model": model, "input": "Hello", "stream": True}).encode()
    httpx2.post(f"{relay.url}/v1/responses", content=body, timeout=20, trust_env=False)


def exchange_count(page: Page) -> int:
    return int(page.locator("#tiles dd").first.inner_text())


def recent_exchanges(page: Page) -> Any:
    return page.get_by_role("table", name="Exchanges").get_by_role("row")


def test_page_has_all_sections(page: Page) -> None:
    for name in ("Accounts", "Exchanges", "Totals", "Providers", "Set up a client"):
        expect(page.get_by_role("region", name=name, exact=True).first).to_be_visible()
    ada = page.get_by_role("listitem").filter(has_text="ada@example.com")
    expect(ada).to_contain_text("plus plan")
    expect(ada).to_contain_text("In use")
    expect(ada.get_by_role("meter", name="5 h limit")).to_have_attribute("aria-valuenow", "12")
    expect(ada.get_by_role("meter", name="Week limit")).to_have_attribute("aria-valuenow", "41")
    expect(ada).to_contain_text(re.compile(r"Resets in 2 h 1\d min, at (\w+, \w+ \d+, )?\d+:\d\d"))
    grace = page.get_by_role("listitem").filter(has_text="grace@example.com")
    expect(grace).to_contain_text("Limit reached")
    expect(grace).to_contain_text(re.compile(r"usage limit is reached, until .*\(in 1 h \d+ min\)"))
    provider = page.get_by_role("row").filter(has_text="Chat Completions")
    expect(provider).to_contain_text("Set")
    assert exchange_count(page) >= 24


def test_exchange_appears_and_ends_without_a_reload(
    page: Page, relay: Relay, upstream: FakeProvider
) -> None:
    hold, earlier_count = Hold(), exchange_count(page)
    upstream.reply(say("The answer "), hold, say("is longer."))
    page.evaluate("window.same = true")
    with ThreadPoolExecutor() as pool:
        try:
            running = pool.submit(send_turn, relay)
            row = recent_exchanges(page).nth(1)
            expect(row).to_contain_text("Running")
            expect(row).to_contain_text("deepseek-chat")
            expect(page.locator("#exchanges-count")).to_contain_text(", 1 running")
        finally:
            hold.go_on.set()
        running.result()
    expect(row).to_contain_text("Completed")
    expect(row.get_by_role("cell").nth(2)).to_contain_text("120")
    provider = page.get_by_role("row").filter(has_text="Chat Completions")
    expect(provider).to_contain_text(re.compile("Healthy|Unsteady"))
    expect(page.locator("#tiles dd").first).to_have_text(str(earlier_count + 1))
    expect(page.locator("#news")).to_have_text("1 exchange ended.", timeout=10_000)
    assert page.evaluate("window.same")


def test_model_name_with_markup_stays_text(
    page: Page, relay: Relay, upstream: FakeProvider
) -> None:
    upstream.reply(error(400))
    send_turn(relay, EVIL)
    expect(recent_exchanges(page).nth(1)).to_contain_text(EVIL)
    expect(recent_exchanges(page).nth(1)).to_contain_text("Failed")
    expect(page.locator("#legend")).to_contain_text(EVIL)
    page.get_by_text("The same numbers as a table").click()
    expect(page.locator("#totals-table")).to_contain_text(EVIL)
    assert page.title() == "mitmcodex"
    assert page.locator("img").count() == 1  # the page's own


def test_accounts_are_selected_and_logged_out(page: Page) -> None:
    grace = page.get_by_role("listitem").filter(has_text="grace@example.com")
    page.get_by_role("button", name="Use grace@example.com").click()
    expect(grace).to_contain_text("In use")
    page.get_by_role("button", name="Log out old@example.com").click()
    dialog = page.get_by_role("dialog", name="Log out?")
    expect(dialog).to_contain_text("old@example.com")
    expect(dialog.get_by_role("button", name="Stay")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_text("old@example.com").first).to_be_visible()
    for email in ("old", "ada", "grace"):
        page.get_by_role("button", name=f"Log out {email}@example.com").click()
        dialog.get_by_role("button", name="Log out").click()
        expect(page.locator("#accounts-list")).not_to_contain_text(email)
    expect(page.get_by_text("No account yet: log in.")).to_be_visible()


def test_login_starts_by_code_and_by_browser(page: Page) -> None:
    page.get_by_role("button", name="Log in with a code").click()
    expect(page.locator("#login")).to_contain_text("ABCD-12345")
    link = page.get_by_role("link", name="Open the login page")
    expect(link).to_have_attribute("href", "https://auth.example/codex/device")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(page.get_by_role("button", name="Log in with the browser")).to_be_disabled()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#login")).to_be_hidden()
    page.get_by_role("button", name="Log in with the browser").click()
    expect(page.locator("#login")).to_contain_text("leads back to the relay by itself")


def test_setup_text_has_the_relays_url_and_is_copied(page: Page, relay: Relay) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the set-up of Codex", exact=True).click()
    copied = tomllib.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["model_providers"]["relay"]["base_url"] == f"{relay.url}/v1"
    for name in ("Cursor", "Continue", "aider", "Python", "Node", "curl"):
        page.get_by_role("tab", name=name).click()
        expect(page.get_by_role("tabpanel", name=name)).to_contain_text(f"{relay.url}/v1")
        expect(page.get_by_role("tabpanel")).to_have_count(1)


def test_page_works_by_keyboard(page: Page) -> None:
    focused: Callable[[], str] = lambda: page.evaluate(  # noqa: E731 - short, and used below
        "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
    )
    page.keyboard.press("Tab")
    assert focused() == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = []
    while True:
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        reached.append(focused())
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached[-1]
    expected = ["Log in with the browser", "Log in with a code", "Log out ada@example.com"]
    expected += ["Use grace@example.com", "The same numbers as a table", "Codex"]
    positions = [
        next(i for i, name in enumerate(reached) if name.strip() == label) for label in expected
    ]
    assert positions == sorted(positions)
    page.get_by_role("tab", name="Codex", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Cursor")).to_be_focused()
    expect(page.get_by_role("tab", name="Cursor")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tabpanel", name="curl")).to_be_visible()
    page.get_by_role("button", name="Use grace@example.com").focus()
    page.keyboard.press("Enter")
    grace = page.get_by_role("listitem").filter(has_text="grace@example.com")
    expect(grace).to_contain_text("In use")


def test_page_passes_the_accessibility_audit(
    browser: Browser, relay: Relay, upstream: FakeProvider
) -> None:
    reset_accounts(relay)
    upstream.reply(say("Hello."))
    upstream.reply(error(400))
    send_turn(relay)
    send_turn(relay, "unheard-of-" + "x" * 80)
    for scheme, width in product(("light", "dark"), WIDTHS):
        size: Any = {"width": width, "height": 800}
        look: Any = {"color_scheme": scheme, "reduced_motion": "reduce"}
        with browser.new_page(viewport=size, **look) as page:
            open_page(page, relay.url)
            if page.locator("#login").is_hidden():
                page.get_by_role("button", name="Log in with a code").click()
            expect(page.locator("#login code")).to_be_visible()
            page.get_by_text("The same numbers as a table").click()
            expect(page.locator("#exchanges tbody tr").nth(1)).to_be_visible()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert (wide, page.evaluate(AUDIT)) == (width, []), (scheme, width)


def test_chart_and_table_have_the_same_numbers(page: Page) -> None:
    picture = page.get_by_role("img", name=re.compile("^Tokens by day and model"))
    expect(picture.locator("rect.series").nth(5)).to_be_visible()
    page.get_by_label("Show").select_option("cost")
    expect(
        page.get_by_role("img", name=re.compile(r"^Cost by .*≥? ?\$1\.50 in 30"))
    ).to_be_visible()
    page.get_by_label("of the last").select_option("7")
    page.get_by_text("The same numbers as a table").click()
    table = page.get_by_role("table", name="Totals")
    kimi = table.get_by_role("row").filter(has_text="kimi-k3")
    expect(kimi).to_have_count(3)
    expect(kimi.first).to_contain_text("1,000,000")


def test_page_shows_when_the_relay_stops_and_returns(
    browser: Browser, provider: FakeProvider, tmp_path: Path
) -> None:
    options = {"upstream": provider.url, "api_key": provider.key, "store": "off"}
    relay = Relay(tmp_path / "relay", *TABLE, **options)
    with browser.new_page() as page:
        open_page(page, relay.url)
        relay.stop()
        expect(page.get_by_role("status")).to_have_text("Offline, trying again…")
        again = Relay(tmp_path / "again", *TABLE, port=relay.port, **options)
        try:
            expect(page.get_by_role("status")).to_have_text("Live", timeout=20_000)
            expect(page.get_by_text("No exchange yet.")).to_be_visible()
            expect(page.get_by_text("Nothing to add up yet.")).to_be_visible()
        finally:
            again.stop()


def test_client_key_is_asked_for_and_forgotten_at_sign_out(
    browser: Browser, provider: FakeProvider, tmp_path: Path
) -> None:
    options = {"upstream": provider.url, "api_key": provider.key, "store": "off"}
    relay = Relay(tmp_path / "relay", *TABLE, client_key="admin:the-invented-key", **options)
    try:
        with browser.new_page() as page:
            page.goto(f"{relay.url}/relay/")
            field = page.get_by_label("Client key")
            expect(field).to_be_focused()
            expect(page.locator("#board")).to_be_hidden()
            field.fill("a wrong one")
            page.keyboard.press("Enter")
            expect(
                page.get_by_role("alert").filter(has_text="not one of the relay's client keys")
            ).to_be_visible()
            assert page.evaluate(AUDIT) == []
            field.fill("the-invented-key")
            page.keyboard.press("Enter")
            expect(page.get_by_role("status")).to_have_text("Live")
            expect(page.get_by_text("ada@example.com").first).to_be_visible()
            assert page.evaluate("document.cookie") == ""
            assert "the-invented-key" not in page.content()
            expect(page.locator("#setup")).to_contain_text("YOUR_RELAY_KEY")
            page.reload()
            expect(page.get_by_role("status")).to_have_text("Live")
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_label("Client key")).to_be_visible()
            expect(page.get_by_role("status")).to_have_text("Signed out")
    finally:
        relay.stop()
    assert "the-invented-key" not in relay.log


def test_dashboard_in_mitmweb_needs_its_login_and_links_to_flows(
    browser: Browser, mitmweb_with_accounts: Mitmweb, provider: FakeProvider
) -> None:
    mitmweb = mitmweb_with_accounts
    provider.reply(say("Hello."))
    send_turn(mitmweb)
    web = mitmweb.address.partition("/?")[0]
    with browser.new_page() as page:
        assert page.goto(f"{web}/relay/").status == 403  # type: ignore[union-attr]
        expect(page.get_by_role("link", name="Log in to mitmweb")).to_be_visible()
        for path in ("data", "events", "token", "static/app.js"):
            assert page.request.get(f"{web}/relay/{path}").status == 403
        page.goto(f"{web}/?token={PASSWORD}")
        seen = PageFaults(page)
        open_page(page, web)
        expect(recent_exchanges(page)).to_have_count(2)
        expect(page.get_by_role("tabpanel")).to_contain_text(f"{mitmweb.url}/v1")
        page.get_by_role("button", name="Log in with a code").click()  # a POST, with its token
        expect(page.locator("#login")).to_contain_text("ABCD-12345")
        assert (seen.faults, seen.hosts) == ([], {urlsplit(web).netloc})
        page.get_by_role("link", name=re.compile("show the flow in mitmweb")).click()
        expect(page.locator(".flow-detail")).to_be_visible()
        open_page(page, mitmweb.url)
        page.get_by_role("link", name=re.compile("show the flow in mitmweb")).click()
        expect(page.locator(".flow-detail")).to_be_visible()
        expect(page.locator("tbody tr .col-path").filter(has_text="/relay/")).to_have_count(0)
        log = mitmweb.log  # of the terminal
        assert f"  mitmweb      {web}/\n" in log  # whose password is the user's own
        assert "client connect" not in log and "Web server listening" not in log
        open_page(page, mitmweb.url.replace("127.0.0.1", "localhost"))  # gets no cookie of mitmweb
        page.get_by_role("link", name=re.compile("show the flow in mitmweb")).click()
        expect(page.locator(".flow-detail")).to_be_visible()
    with browser.new_page() as page:  # without mitmweb's login
        open_page(page, mitmweb.url)
        page.get_by_role("link", name=re.compile("show the flow in mitmweb")).click()
        field = page.get_by_label("Password or token")
        field.fill("a-wrong-one")
        field.press("Enter")
        expect(page.get_by_text("That is not it.")).to_be_visible()
        field.fill(PASSWORD)
        field.press("Enter")
        expect(page.locator(".flow-detail")).to_be_visible()
