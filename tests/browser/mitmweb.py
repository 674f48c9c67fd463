"""mitmweb with the relay in it, and its page in a real Chromium, as a person uses it."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from addons.launch import bindable
from tests.codex.driver import Relay

PASSWORD = "invented-password"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
expect.set_options(timeout=15_000)


class Mitmweb(Relay):
    """The relay in mitmweb, on free ports; `address` opens its page."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        port = bindable(0)
        self.address = f"http://127.0.0.1:{port}/?token={PASSWORD}"
        page = ["--no-web-open-browser", "--web-port", str(port)]
        page += ["--set", f"web_password={PASSWORD}"]
        super().__init__(folder, *page, *options, program="mitmweb", **settings)


@contextmanager
def browsing() -> Iterator[Browser]:
    """The Chromium of this system. In a container it has no right to a sandbox."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Screen:
    """mitmweb's page. Its parts are named as a person sees them, where they have a name."""

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

    def row(self, method: str, path: str) -> Locator:
        """The rows of such requests; `path` is the end of their URL, without a query."""
        of_method = self.rows.filter(has=self.page.locator(".col-method", has_text=method))
        end = re.compile(re.escape(path) + r"(\?.*)?$")
        return of_method.filter(has=self.page.locator(".col-path", has_text=end))

    @property
    def clients(self) -> Locator:
        """The rows of what clients asked the relay for."""
        return self.row("POST", "/responses")

    @property
    def legs(self) -> Locator:
        """The upstream's rows."""
        return self.row("POST", "/chat/completions")

    def menu(self, name: str) -> None:
        """Flow List, Options, Flow …, at the top of the page."""
        self.page.locator("nav.nav-tabs-lg").get_by_text(name, exact=True).click()

    def search(self, filter: str) -> None:
        self.menu("Flow List")
        self.page.get_by_placeholder("Search").fill(filter)

    def read(self, row: Locator, tab: str, view: str = "") -> Locator:
        """A row's Request or Response, in the view that mitmweb takes or in this one."""
        row.click()
        self.detail(tab)
        if view:
            self.page.get_by_text("View:").click()
            self.page.locator(".dropdown-menu.show").get_by_text(view.lower(), exact=True).click()
            expect(self.page.locator(".contentview h5")).to_contain_text(view)
        return self.page.locator(".contentview pre")

    def text(self, row: Locator, tab: str, view: str, has: str) -> str:
        """The same as text, once this is in it: mitmweb fetches it."""
        shown = self.read(row, tab, view)
        expect(shown).to_contain_text(has)
        return shown.inner_text()

    def detail(self, tab: str) -> None:
        """Request, Response, Comment … of the row that is shown."""
        self.page.locator(".flow-detail nav").get_by_text(tab, exact=True).click()

    def command(self, text: str) -> None:
        """In the command bar."""
        self.menu("Options")
        self.page.get_by_label("Display Command Bar").check()
        self.page.get_by_placeholder("Enter command").fill(text)
        self.page.keyboard.press("Enter")

    def listen(self) -> list[bytes]:
        """The page anew; every body and every frame that comes to it from now on."""
        came: list[bytes] = []

        def keep(route: Route) -> None:
            if route.request.resource_type not in ("fetch", "xhr"):
                route.continue_()  # the page itself, which is mitmproxy's
                return
            reply = route.fetch()
            came.append(reply.body())
            route.fulfill(response=reply)

        def frame(data: str | bytes) -> None:
            came.append(data.encode() if isinstance(data, str) else data)

        self.page.route("**/*", keep)
        self.page.on("websocket", lambda socket: socket.on("framereceived", frame))
        self.open()
        return came
