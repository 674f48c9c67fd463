from pathlib import Path

from addons.config import ConfigFile
from scripts.cli.relay_process.fingerprints import changed_settings, setting_fingerprints

TABLE = '[providers.box]\nlike = "vllm"\nbase_urls = ["http://127.0.0.1:%d/v1"]\n'


def read_file(folder: Path, text: str) -> ConfigFile:
    path = folder / "relay.toml"
    path.write_text(text)
    return ConfigFile.from_path(str(path))


def test_differences_are_named(tmp_path: Path) -> None:
    def fingerprints(text: str, environment: dict[str, str]) -> dict[str, str]:
        return setting_fingerprints(read_file(tmp_path, text), environment, "mark")

    first = fingerprints('model = "a"\n', {"CODEX_RELAY_API_KEY": "sk-1", "LANG": "C"})
    assert (
        changed_settings(first, fingerprints('model = "a"\n', {"CODEX_RELAY_API_KEY": "sk-1"}))
        == []
    )
    second = fingerprints(TABLE % 1, {"CODEX_RELAY_API_KEY": "sk-2", "CODEX_RELAY_MODEL": ""})
    assert changed_settings(first, second) == ["api_key", "model", "tables of providers"]
    assert changed_settings(second, fingerprints(TABLE % 2, {"CODEX_RELAY_API_KEY": "sk-2"})) == [
        "tables of providers"
    ]


def test_keys_cannot_be_read_or_compared(tmp_path: Path) -> None:
    file = read_file(tmp_path, "")
    prints = [
        setting_fingerprints(file, {"CODEX_RELAY_API_KEY": "sk-1"}, mark) for mark in ("a", "b")
    ]
    assert "sk-1" not in str(prints) and prints[0] != prints[1]
