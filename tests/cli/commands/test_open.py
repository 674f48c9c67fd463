import urllib.request

import pytest

from scripts.cli import running_relay
from tests.cli.commands.conftest import BackgroundRelay
from tests.cli.user_home import CommandHere


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)


def test_pages_are_there(background_relay: BackgroundRelay, command: CommandHere) -> None:
    command.move_to(background_relay.home)
    for line in ("open", "open mitmweb"):
        opened = command.run_line(line)
        assert opened.status == 0 and "No browser" in opened.messages
        with urllib.request.urlopen(opened.output.strip(), timeout=10) as reply:  # noqa: S310
            assert reply.status == 200


def test_unknown_page_is_explained(command: CommandHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_relay, "read_health", lambda port: {"version": "1"})
    monkeypatch.setattr(running_relay, "has_own_listener", lambda port: True)
    opened = command.run_line("open mitmweb")
    assert opened.status == 1 and "where it was started" in opened.messages
    monkeypatch.setattr(running_relay, "read_health", lambda port: None)
    opened = command.run_line("open")
    assert opened.status == 1 and "mitmcodex up" in opened.messages
