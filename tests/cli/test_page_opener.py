import sys
from pathlib import Path

import pytest

from scripts.cli.page_opener import open_page

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="there is always a screen")
def test_page_opens_where_there_is_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SCREENS:
        monkeypatch.delenv(name, raising=False)
    assert not open_page("http://127.0.0.1:8080/relay/")
    browser, page = tmp_path / "browser", tmp_path / "page"
    browser.write_text(f'#!/bin/sh\necho "$1" > {page}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    # The module reads BROWSER once in a process.
    monkeypatch.setattr("webbrowser._tryorder", None)
    assert open_page("http://127.0.0.1:8080/relay/")
    assert page.read_text() == "http://127.0.0.1:8080/relay/\n"
