"""The vault: where it saves logins, and which changes it accepts."""

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import keyring
import pytest
from keyring.backends import fail, null
from keyring.errors import KeyringLocked

from addons.accounts.locked_file import LoginStoreUnavailable
from addons.accounts.oauth import LoginEnded
from addons.accounts.tokens import Tokens
from addons.accounts.vault import (
    SavedLogin,
    Vault,
    VaultContents,
    VaultLogin,
    delete_keyring_logins,
    has_keyring_logins,
)
from tests.small_keyring import SmallKeyring

TOKENS = Tokens("access-" + "x" * 2500, "refresh-1", "id-" + "y" * 1500, 1_790_000_000.5)
NEWER = replace(TOKENS, access_token="access-2", refresh_token="refresh-2")
LOGIN = SavedLogin(TOKENS, None, ("cf=1; Path=/",))

pytestmark = pytest.mark.usefixtures("data_folder")


def save_login(vault: Vault, name: str = "acct_1", login: SavedLogin = LOGIN) -> VaultContents:
    return vault.update_contents(
        lambda contents: replace(contents.with_login(name, login), selected_name=name)
    )


@pytest.mark.usefixtures("no_keyring")
def test_without_a_keyring_logins_go_to_a_file(data_folder: Path) -> None:
    save_login(Vault())
    assert Vault().read_contents() == VaultContents("acct_1", {"acct_1": LOGIN})
    names = {path.name for path in data_folder.iterdir()}
    assert names == {"accounts.json", "accounts.json.lock"}


@pytest.mark.usefixtures("no_keyring")
def test_file_keeps_the_names_of_version_1(data_folder: Path) -> None:
    save_login(Vault())
    assert json.loads((data_folder / "accounts.json").read_text()) == {
        "version": 1,
        "selected": "acct_1",
        "accounts": {
            "acct_1": {
                "tokens": {
                    "access": TOKENS.access_token,
                    "refresh": "refresh-1",
                    "id": TOKENS.id_token,
                    "at": 1_790_000_000.5,
                },
                "dead": None,
                "cookies": ["cf=1; Path=/"],
            }
        },
    }


@pytest.mark.parametrize("backend", [fail.Keyring, null.Keyring])
def test_keyring_that_stores_nothing_is_not_used(
    data_folder: Path, backend: type[fail.Keyring | null.Keyring]
) -> None:
    previous = keyring.get_keyring()
    keyring.set_keyring(backend())
    try:
        save_login(Vault())
    finally:
        keyring.set_keyring(previous)
    assert (data_folder / "accounts.json").exists()


def test_reading_creates_nothing_and_asks_no_keyring(
    data_folder: Path, small_keyring: SmallKeyring
) -> None:
    small_keyring.trouble = AssertionError("called")
    assert Vault().read_contents() == VaultContents()
    assert not data_folder.exists()


def test_path_of_the_user_is_used_instead_of_the_keyring(
    tmp_path: Path, small_keyring: SmallKeyring
) -> None:
    file = tmp_path / "there" / "logins"
    save_login(Vault(file))
    assert not small_keyring.passwords
    assert Vault(file).read_contents().selected_name == "acct_1"


def test_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "logins"
    for damage in (
        b"{",
        b"[]",
        b"\xff",
        b'{"version": 1}',
        b'{"version": 1, "selected": "", "accounts": {"a": {"tokens": {}}}}',
    ):
        file.write_bytes(damage)
        file.chmod(0o600)
        assert Vault(file).read_contents() == VaultContents()
        assert not file.exists()
        assert damage in [path.read_bytes() for path in tmp_path.glob("logins.damaged-*")]
    assert "is damaged" in caplog.text
    save_login(Vault(file))
    assert len(list(tmp_path.glob("logins.damaged-*"))) == 5


def test_file_of_a_newer_version_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "logins"
    file.write_text('{"version": 2}')
    with pytest.raises(LoginStoreUnavailable, match="newer mitmcodex"):
        Vault(file).read_contents()
    with pytest.raises(LoginStoreUnavailable, match="newer mitmcodex"):
        save_login(Vault(file))
    assert file.read_text() == '{"version": 2}'


def test_full_disk_leaves_the_old_logins_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "logins"
    save_login(Vault(file))

    def fail_on_sync(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail_on_sync)
    with pytest.raises(LoginStoreUnavailable, match=r"No space left on device.*CODEX_RELAY_VAULT"):
        save_login(Vault(file), "acct_2")
    assert list(Vault(file).read_contents().logins) == ["acct_1"]


def add_ten_logins(file: Path, start: int) -> None:
    for number in range(start, start + 10):
        name = f"acct_{number}"
        Vault(file).update_contents(
            lambda contents, name=name: contents.with_login(name, LOGIN)  # type: ignore[misc]
        )


def test_processes_do_not_lose_each_others_logins(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    file = tmp_path / "logins"
    processes = [spawn.Process(target=add_ten_logins, args=(file, start)) for start in (0, 100)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
    assert len(Vault(file).read_contents().logins) == 20


def test_keyring_holds_the_tokens_and_the_file_only_marks_them(
    data_folder: Path, small_keyring: SmallKeyring
) -> None:
    save_login(Vault())
    assert Vault().read_contents() == VaultContents("acct_1", {"acct_1": LOGIN})
    names = {path.name for path in data_folder.iterdir()}
    assert names == {"accounts.keyring", "accounts.json.lock"}
    assert "refresh-1" not in (data_folder / "accounts.keyring").read_text()
    other = Vault()
    other.read_contents()
    save_login(Vault(), "acct_2")
    assert list(other.read_contents().logins) == ["acct_1", "acct_2"]


def test_logins_in_the_keyring_are_deleted_with_the_file_that_marks_them(
    data_folder: Path, small_keyring: SmallKeyring
) -> None:
    assert not has_keyring_logins()
    save_login(Vault(), "a")
    assert has_keyring_logins() and small_keyring.passwords
    delete_keyring_logins()
    assert not has_keyring_logins() and not small_keyring.passwords


def test_locked_keyring_is_not_an_empty_one(data_folder: Path, small_keyring: SmallKeyring) -> None:
    save_login(Vault())
    small_keyring.trouble = KeyringLocked()
    with pytest.raises(LoginStoreUnavailable, match=r"unlock it.*CODEX_RELAY_VAULT"):
        Vault().read_contents()
    keyring.set_keyring(fail.Keyring())
    with pytest.raises(LoginStoreUnavailable, match="NoKeyringError"):
        save_login(Vault())
    assert not (data_folder / "accounts.json").exists()


def test_keyring_that_hangs_at_the_first_login_is_not_used(
    data_folder: Path, small_keyring: SmallKeyring
) -> None:
    small_keyring.gate.clear()
    save_login(Vault(timeout=0.1))
    assert (data_folder / "accounts.json").exists()


def test_login_that_is_incomplete_in_the_keyring_is_set_aside(
    data_folder: Path, small_keyring: SmallKeyring, caplog: pytest.LogCaptureFixture
) -> None:
    save_login(Vault())
    small_keyring.passwords.popitem()
    assert Vault().read_contents() == VaultContents()
    assert "is damaged" in caplog.text
    assert list(data_folder.glob("accounts.keyring.damaged-*"))
    save_login(Vault())
    assert Vault().read_contents().selected_name == "acct_1"


@pytest.mark.usefixtures("no_keyring")
def test_logins_stay_in_their_file_when_a_keyring_appears() -> None:
    save_login(Vault())
    keyring.set_keyring(SmallKeyring())
    assert Vault().read_contents().selected_name == "acct_1"


def test_contents_do_not_show_tokens(tmp_path: Path) -> None:
    contents = save_login(Vault(tmp_path / "logins"))
    assert "refresh-1" not in repr(contents) and "access-" not in repr(contents)


def test_tokens_are_saved_only_over_those_they_replace(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "logins")
    save_login(vault)
    login = VaultLogin(vault, "acct_1")
    login.save_tokens(TOKENS, NEWER)
    login.save_tokens(TOKENS, replace(TOKENS, refresh_token="late"))
    login.mark_ended(TOKENS, "refresh_token_reused")
    assert login.read_tokens() == NEWER
    login.mark_ended(NEWER, "invalid_grant")
    with pytest.raises(LoginEnded, match="invalid_grant"):
        login.read_tokens()
    vault.update_contents(lambda contents: contents.without_login("acct_1"))
    login.save_tokens(NEWER, TOKENS)
    with pytest.raises(LoginEnded, match="logged_out"):
        login.read_tokens()


def test_time_that_is_not_finite_counts_as_unknown(tmp_path: Path) -> None:
    path = tmp_path / "logins"
    Vault(path).update_contents(lambda contents: contents.with_login("ada", LOGIN))
    path.write_text(path.read_text().replace("1790000000.5", "9" * 400))
    assert Vault(path).read_contents().logins["ada"].tokens.issued_at == 0.0
