"""mitmweb with the relay, and its page in a real Chromium, as a person uses it."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from addons.launch import available_port
from tests.codex.driver import Relay

PASSWORD = "invented-password"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
expect.set_options(timeout=15_000)


class Mitmweb(Relay):
    """The relay in mitmweb, on free ports; `address` opens its page."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        port = available_port(0)
        self.address = f"http://127.0.0.1:{port}/?token={PASSWORD}"
        page = ["--no-web-open-browser", "--web-port", str(port)]
        page += ["--set", f"web_password={PASSWORD}"]
        super().__init__(folder, *page, *options, program="mitmweb", **settings)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """The Chromium of this system, without a sandbox, which it may not have in a container."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Screen:
    """mitmweb's page. Its parts have the names that a person sees."""

    def __init__(self, page: Page, relay: Mitmweb) -> None:
        self.page, self._address = page, relay.address
        page.set_default_timeout(15_000)
        self.open()

    def open(self) -> None:
        self.page.goto(self._address)
        expect(self.page.locator(".connection-indicator")).to_have_text("connected")

    @property
    def rows(self) -> Locator:
        return self.page.locator("tbody tr:has(.col-path)")

    def rows_of(self, method: str, path: str) -> Locator:
        """The rows of such requests; `path` is the end of their URL, without a query."""
        of_method = self.rows.filter(has=self.page.locator(".col-method", has_text=method))
        end = re.compile(re.escape(path) + r"(\?.*)?$")
        return of_method.filter(has=self.page.locator(".col-path", has_text=end))

    @property
    def client_rows(self) -> Locator:
        """The rows of the clients' requests."""
        return self.rows_of("POST", "/responses")

    @property
    def upstream_rows(self) -> Locator:
        """The rows of the requests to upstreams."""
        return self.rows_of("POST", "/chat/completions")

    def open_menu(self, name: str) -> None:
        """Open Flow List, Options, Flow … at the top of the page."""
        self.page.locator("nav.nav-tabs-lg").get_by_text(name, exact=True).click()

    def search(self, filter: str) -> None:
        self.open_menu("Flow List")
        self.page.get_by_placeholder("Search").fill(filter)

    def open_view(self, row: Locator, tab: str, view: str = "") -> Locator:
        """The lines of a row's Request or Response, in this view or in mitmweb's choice."""
        row.click()
        self.open_tab(tab)
        if view:
            self.page.get_by_text("View:").click()
            self.page.locator(".dropdown-menu.show").get_by_text(view.lower(), exact=True).click()
            expect(self.page.locator(".contentview h5")).to_contain_text(view)
        return self.page.locator(".contentview pre")

    def view_text(self, row: Locator, tab: str, view: str, has: str) -> str:
        """The same as text, once `has` is in it, as mitmweb fetches it."""
        lines = self.open_view(row, tab, view)
        expect(lines).to_contain_text(has)
        return lines.inner_text()

    def open_tab(self, tab: str) -> None:
        """Open Request, Response, Comment … of the selected row."""
        self.page.locator(".flow-detail nav").get_by_text(tab, exact=True).click()

    def run_command(self, text: str) -> None:
        """Run a command in the command bar."""
        self.open_menu("Options")
        self.page.get_by_label("Display Command Bar").check()
        self.page.get_by_placeholder("Enter command").fill(text)
        self.page.keyboard.press("Enter")

    def record_traffic(self) -> list[bytes]:
        """Reload the page; returns the list to which every body and frame is added from then on."""
        bodies: list[bytes] = []

        def record_reply(route: Route) -> None:
            if route.request.resource_type not in ("fetch", "xhr"):
                route.continue_()  # the page itself, which mitmproxy wrote
                return
            reply = route.fetch()
            bodies.append(reply.body())
            route.fulfill(response=reply)

        def record_frame(data: str | bytes) -> None:
            bodies.append(data.encode() if isinstance(data, str) else data)

        self.page.route("**/*", record_reply)
        self.page.on("websocket", lambda socket: socket.on("framereceived", record_frame))
        self.open()
        return bodies
