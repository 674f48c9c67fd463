"""The endpoint is the one that the relay would use, with the key that it would send."""

from pathlib import Path

import pytest

from scripts.cli.errors import CommandFailed
from scripts.cli.probe.endpoint import find_endpoint
from scripts.cli.user_settings import UserSettings, load_user_settings

BOX = """
upstream = "http://box.lan:8000/v1"
api_key = "box-key-0001"
model = "box-model"

[providers.lab]
base_urls = ["http://lab.lan/v1"]
key_env = ["LAB_KEY"]
model = "lab-model"
"""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UserSettings:
    monkeypatch.setenv("LAB_KEY", "lab-key-0001")
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    path = tmp_path / "relay.toml"
    path.write_text(BOX)
    return load_user_settings({"CODEX_RELAY_CONFIG": str(path)})


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("", ("http://box.lan:8000/v1", "generic", "box-model", "box-key-0001")),
        (
            "http://box.lan:8000/v1/chat/completions",
            ("http://box.lan:8000/v1", "generic", "box-model", "box-key-0001"),
        ),
        ("lab", ("http://lab.lan/v1", "lab", "lab-model", "lab-key-0001")),
        ("http://lab.lan/v1", ("http://lab.lan/v1", "lab", "lab-model", "lab-key-0001")),
        ("http://other.lan/v1", ("http://other.lan/v1", "generic", "", None)),
        ("deepseek", ("https://api.deepseek.com/v1", "deepseek", "", None)),
    ],
)
def test_key_and_model_belong_to_the_endpoint(
    target: str, expected: tuple[str, str, str, str | None], user: UserSettings
) -> None:
    endpoint = find_endpoint(user, target)
    assert (endpoint.url, endpoint.provider.name, endpoint.model, endpoint.key) == expected
    assert "key-0001" not in repr(endpoint)


def test_variable_that_the_user_names_has_the_key(user: UserSettings) -> None:
    endpoint = find_endpoint(user, "deepseek", "deepseek-v4", "LAB_KEY")
    assert (endpoint.key, endpoint.model) == ("lab-key-0001", "deepseek-v4")
    assert endpoint.key_advice(401) == "check the key in LAB_KEY"
    assert endpoint.key_advice(500) == ""


@pytest.mark.parametrize(
    ("target", "message", "next_step"),
    [
        ("deepsek", "no provider 'deepsek'", "did you mean deepseek?"),
        ("generic", "has no base_urls", "name a base URL in its place"),
        ("chatgpt", "serves accounts", "`mitmcodex providers`"),
        ("ftp://box.lan/v1", "not an http\\(s\\) URL", "https://"),
        ("http://me:secret@box.lan/v1", "has a user name in it", "https://"),
        ("http:///v1", "not an http\\(s\\) URL", "https://"),
    ],
)
def test_what_cannot_be_measured_is_named(
    target: str, message: str, next_step: str, user: UserSettings
) -> None:
    with pytest.raises(CommandFailed, match=message) as failure:
        find_endpoint(user, target)
    assert next_step in failure.value.next_step


def test_nothing_configured_asks_for_a_name(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.touch()
    with pytest.raises(CommandFailed, match="no provider is configured") as failure:
        find_endpoint(load_user_settings({"CODEX_RELAY_CONFIG": str(path)}))
    assert "mitmcodex probe deepseek" in failure.value.next_step
