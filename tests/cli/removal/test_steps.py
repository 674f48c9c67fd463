"""What `mitmcodex uninstall` removes, and what stays."""

from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from scripts.cli.errors import CommandFailed
from scripts.cli.removal.inventory import own_data
from scripts.cli.removal.steps import package_removal, remove_data, remove_empty_folders
from tests.cli.user_home import ROOT


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return tmp_path


def write_file(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_data_goes_and_what_the_user_has_put_elsewhere_stays(home: Path) -> None:
    relay_file = write_file(home / ".config/mitmcodex/relay.toml", 'record = "~/corpus"\n')
    mine = write_file(home / ".config/mitmcodex/mine.txt")
    store = write_file(home / ".local/share/mitmcodex/relay.sqlite")
    corpus = write_file(home / "corpus/2026-01-01.jsonl")
    data = own_data({"CODEX_RELAY_STORE": "redis://:secret@localhost/0"})
    assert data.files == (relay_file,) and data.folders == (store.parent,)
    assert data.other_places == ("redis://(hidden)@localhost/0", "~/corpus")
    remove_data(data)
    assert sorted(path for path in home.rglob("*") if path.is_file()) == sorted([mine, corpus])
    assert not (home / ".local").exists()


def test_folder_behind_a_link_stays(home: Path) -> None:
    """Such as a data folder that the user has moved to another disk, beside other things."""
    photo = write_file(home / "disk" / "photo.jpg")
    (home / ".local/share").mkdir(parents=True)
    link = home / ".local/share/mitmcodex"
    link.symlink_to(photo.parent)
    data = own_data({})
    assert data.files == (link,) and data.folders == ()
    assert data.other_places == (str(photo.parent),)
    remove_data(data)
    assert photo.is_file() and not (home / ".local").exists()


def test_link_inside_of_the_data_folder_is_not_followed(home: Path) -> None:
    photo = write_file(home / "photos" / "a.jpg")
    write_file(home / ".local/share/mitmcodex/relay.sqlite")
    (home / ".local/share/mitmcodex/photos").symlink_to(photo.parent)
    remove_data(own_data({}))
    assert photo.is_file() and not (home / ".local").exists()


class LockedKeyring(KeyringBackend):
    """A keyring that the user does not unlock."""

    priority = 5  # type: ignore[assignment]  # a class property there
    lookups = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.lookups += 1
        raise KeyringLocked

    set_password = delete_password = get_password  # type: ignore[assignment]


def test_locked_keyring_is_reported_and_the_file_that_names_its_key_stays(home: Path) -> None:
    relay_file = write_file(home / ".config/mitmcodex/relay.toml", 'api_key = "keyring:kimi"\n')
    previous, ring = keyring.get_keyring(), LockedKeyring()
    keyring.set_keyring(ring)
    try:
        data = own_data({})
        with pytest.raises(CommandFailed, match="keys are left in the system's keyring"):
            remove_data(data)
    finally:
        keyring.set_keyring(previous)
    assert (data.passwords, ring.lookups) == (("kimi",), 2), "one for each step"
    assert data.keyring_fault == "the system's keyring refuses (KeyringLocked)"
    assert relay_file.is_file()


def test_relay_file_at_a_place_of_the_users_own_is_found(home: Path) -> None:
    path = write_file(home / "elsewhere" / "relay.toml", "isolate = ")
    assert own_data({"CODEX_RELAY_CONFIG": str(path)}).files == (path,)


def test_folders_outside_of_the_home_stay(home: Path) -> None:
    (home / "a" / "b").mkdir(parents=True)
    remove_empty_folders(home / "a" / "b")
    assert home.is_dir() and not (home / "a").exists()
    remove_empty_folders(home.parent)
    assert home.parent.is_dir()
    (home / "real").mkdir()
    (home / "link").symlink_to("real")
    remove_empty_folders(home / "link")
    assert (home / "link").is_symlink()


def test_checkout_is_removed_by_hand() -> None:
    assert package_removal() == f"delete the folder {ROOT}"
