from pathlib import Path

import pytest

from scripts.cli.errors import CommandFailed
from scripts.cli.user_settings import load_user_settings, owner_key

ALICE, ADMIN = "alice-has-a-long-key", "admin-has-a-long-key"


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text('provider = "kimi"\nmodel = "a"\n[providers.box]\nlike = "vllm"\n')
    user = load_user_settings({"CODEX_RELAY_CONFIG": str(path), "CODEX_RELAY_MODEL": "b"})
    assert (user.settings.provider, user.settings.model) == ("kimi", "b")
    assert user.file.user_providers == ("box",)


def test_wrong_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="CODEX_RELAY_UPSTREAM is 'x'") as failure:
        load_user_settings({"CODEX_RELAY_UPSTREAM": "x"})
    assert failure.value.next_step


@pytest.mark.parametrize(
    ("keys", "key"),
    [("", ""), (ADMIN, ADMIN), (f"alice:{ALICE},admin:{ADMIN}", ADMIN), (f"alice:{ALICE}", "")],
)
def test_key_of_the_owner_is_the_one_that_sees_all(
    keys: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_RELAY_CLIENT_KEY", keys)
    assert owner_key() == key
