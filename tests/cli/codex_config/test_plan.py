from pathlib import Path

import pytest

from scripts.cli import running_relay
from scripts.cli.codex_config.plan import plan_block
from scripts.cli.errors import CommandFailed


def test_codex_is_not_led_to_the_relay_of_another_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "CODEX_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    health = {"status": "ok", "version": "1.0", "uptime": 1.0}
    monkeypatch.setattr(running_relay, "read_health", lambda port: health)
    monkeypatch.setattr(running_relay, "has_own_listener", lambda port: False)
    with pytest.raises(CommandFailed, match="port 4711 may be another user's"):
        plan_block(port=4711)
    monkeypatch.setattr(running_relay, "read_health", lambda port: None)
    assert "http://127.0.0.1:4711" in plan_block(port=4711).block
