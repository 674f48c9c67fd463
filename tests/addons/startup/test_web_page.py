import stat
from pathlib import Path

import pytest

from addons.identity import WEB_PAGE_VARIABLE
from addons.startup.web_page import save_web_page

URL = "http://127.0.0.1:8081/?token=abc"


def test_page_is_in_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state" / "mitmweb.url"
    monkeypatch.setenv(WEB_PAGE_VARIABLE, str(path))
    save_web_page("")
    assert not path.exists()
    save_web_page(URL)
    assert path.read_text() == URL and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_page_that_cannot_be_saved_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(WEB_PAGE_VARIABLE, str(tmp_path))
    save_web_page(URL)
    assert "Is a directory" in caplog.text and "abc" not in caplog.text
    monkeypatch.delenv(WEB_PAGE_VARIABLE)
    save_web_page(URL)
    assert not list(tmp_path.iterdir())
