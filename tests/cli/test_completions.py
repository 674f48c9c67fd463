from pathlib import Path

import pytest

from scripts.cli.completions import complete_provider


def test_providers_of_both_tables_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert ("deepseek", "DeepSeek") in complete_provider("deep")
    assert complete_provider("x-box") == []
    (tmp_path / "mitmcodex").mkdir()
    file = tmp_path / "mitmcodex" / "relay.toml"
    file.write_text('[providers.x-box]\nlike = "vllm"\n')
    assert complete_provider("x-box") == [("x-box", "x-box")]
    file.write_text("broken")
    assert complete_provider("x-box") == []
