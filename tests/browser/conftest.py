"""One Chromium for the tests of a file; for each test a mitmweb, its page and a Codex."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.mitmweb import CHROMIUM, Mitmweb, Screen, running_browser
from tests.codex.driver import Codex, Mode
from tests.fake_provider import FakeProvider


# Not for the session, as Playwright's event loop runs in this thread until it ends.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with running_browser() as browser:
        yield browser


@pytest.fixture
def mitmweb(provider: FakeProvider, tmp_path: Path) -> Iterator[Mitmweb]:
    # The key is set as an option, as mitmweb has a page that shows options.
    key = ["--set", f"relay_api_key={provider.key}"]
    relay = Mitmweb(tmp_path / "relay", *key, upstream=provider.url)
    yield relay
    relay.stop()
    assert "Traceback" not in relay.log


@pytest.fixture
def screen(browser: Browser, mitmweb: Mitmweb) -> Iterator[Screen]:
    with browser.new_page(viewport={"width": 1400, "height": 800}) as page:
        yield Screen(page, mitmweb)


@pytest.fixture
def codex(mitmweb: Mitmweb, tmp_path: Path) -> Codex:
    return Codex(tmp_path / "codex", Mode.PROXY_CHATGPT, mitmweb)
