"""Where logins lie: files with their modes, and a keyring with the limits of Windows."""

import errno
import json
import logging
import multiprocessing
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keyring
import pytest
from filelock import FileLock
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked, PasswordDeleteError

from addons.accounts import codex_auth_file as codexfile
from addons.accounts import locked_file as disk
from addons.accounts.codex_auth_file import CodexFile
from addons.accounts.locked_file import Unavailable
from addons.accounts.oauth import Dead
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Book, Entry, Slot, Vault

TOKENS = Tokens("access-" + "x" * 2500, "refresh-1", "id-" + "y" * 1500, 1_790_000_000.5)
NEWER = replace(TOKENS, access="access-2", refresh="refresh-2")
ENTRY = Entry(TOKENS, None, ("cf=1; Path=/",))


class SmallRing(KeyringBackend):
    """A keyring in memory that refuses what that of Windows refuses."""

    priority = 5  # type: ignore[assignment]  # a class property there

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.trouble: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.writes = -1  # how many go well, -1: all

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        if len(password.encode("utf-16-le")) > 2560:
            raise OSError("The stub received bad data")
        if self.writes == 0:
            raise KeyringLocked
        self.writes -= 1
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError

    def _check(self) -> None:
        self.gate.wait(5)
        if self.trouble:
            raise self.trouble


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "codex-relay" / "accounts"


@pytest.fixture
def ring() -> Iterator[SmallRing]:
    before, ours = keyring.get_keyring(), SmallRing()
    keyring.set_keyring(ours)
    yield ours
    ours.gate.set()
    keyring.set_keyring(before)


@pytest.fixture
def ringless() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    yield
    keyring.set_keyring(before)


def put(vault: Vault, name: str = "acct_1", entry: Entry = ENTRY) -> Book:
    return vault.change(lambda book: replace(book.having(name, entry), selected=name))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("ringless")
def test_a_file_of_the_owner_only_where_no_keyring_is(folder: Path) -> None:
    umask = os.umask(0)
    try:
        put(Vault())
    finally:
        os.umask(umask)
    assert mode(folder / "accounts.json") == 0o600 and mode(folder) == 0o700
    assert Vault().read() == Book("acct_1", {"acct_1": ENTRY})
    assert {path.name for path in folder.iterdir()} == {"accounts.json", "accounts.json.lock"}


@pytest.mark.parametrize("none", [fail.Keyring, null.Keyring])
def test_keyrings_that_keep_nothing_do_not_count(folder: Path, none: type[KeyringBackend]) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(none())
    try:
        put(Vault())
    finally:
        keyring.set_keyring(before)
    assert (folder / "accounts.json").exists()


def test_reading_makes_nothing_and_asks_nobody(folder: Path, ring: SmallRing) -> None:
    ring.trouble = AssertionError("asked")
    assert Vault().read() == Book()
    assert not folder.exists()


def test_a_path_of_the_users_own(tmp_path: Path, ring: SmallRing) -> None:
    file = tmp_path / "there" / "logins"
    put(Vault(file))
    assert mode(file) == 0o600 and not ring.kept
    assert Vault(file).read().selected == "acct_1"


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "far" / "logins")
    put(Vault(link))
    assert link.is_symlink() and Vault(tmp_path / "far" / "logins").read().selected == "acct_1"


def test_a_file_that_others_can_read_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "logins"
    put(Vault(file))
    file.chmod(0o644)
    assert Vault(file).read().selected == "acct_1"
    assert mode(file) == 0o600
    assert "could be read by other users" in caplog.text


def test_a_damaged_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
        assert Vault(file).read() == Book()
        assert not file.exists()
        assert damage in [path.read_bytes() for path in tmp_path.glob("logins.damaged-*")]
    assert "is damaged" in caplog.text
    put(Vault(file))
    assert len(list(tmp_path.glob("logins.damaged-*"))) == 5


def test_a_newer_form_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "logins"
    file.write_text('{"version": 2}')
    with pytest.raises(Unavailable, match="newer codex-relay"):
        Vault(file).read()
    with pytest.raises(Unavailable, match="newer codex-relay"):
        put(Vault(file))
    assert file.read_text() == '{"version": 2}'


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "logins"
    put(Vault(file))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left on device.*CODEX_RELAY_VAULT"):
        put(Vault(file), "acct_2")
    assert list(Vault(file).read().entries) == ["acct_1"]
    assert {path.name for path in tmp_path.iterdir()} == {"logins", "logins.lock"}


def test_a_file_that_is_mounted_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "logins"
    put(Vault(file), "acct_1", replace(ENTRY, tokens=replace(TOKENS, id="long" * 900)))

    def busy(old: str, new: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    inode = file.stat().st_ino
    monkeypatch.setattr(os, "replace", busy)
    put(Vault(file))
    assert file.stat().st_ino == inode
    assert Vault(file).read() == Book("acct_1", {"acct_1": ENTRY})
    assert {path.name for path in tmp_path.iterdir()} == {"logins", "logins.lock"}


def test_others_are_waited_for_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "PATIENCE", 0.1)
    with FileLock(tmp_path / "logins.lock"), pytest.raises(Unavailable, match="another process"):
        put(Vault(tmp_path / "logins"))


def add(file: Path, start: int) -> None:
    for number in range(start, start + 10):
        vault = Vault(file)
        vault.change(lambda book, name=f"acct_{number}": book.having(name, ENTRY))  # type: ignore[misc]


def test_processes_do_not_lose_each_others_logins(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=add, args=(tmp_path / "logins", at)) for at in (0, 100)]
    for one in both:
        one.start()
    for one in both:
        one.join(20)
        assert one.exitcode == 0
    assert len(Vault(tmp_path / "logins").read().entries) == 20


def test_the_keyring_has_the_tokens_and_the_file_none(folder: Path, ring: SmallRing) -> None:
    put(Vault())
    assert Vault().read() == Book("acct_1", {"acct_1": ENTRY})
    assert {path.name for path in folder.iterdir()} == {"accounts.keyring", "accounts.json.lock"}
    assert "refresh-1" not in (folder / "accounts.keyring").read_text()
    assert len(ring.kept) > 4  # as Windows has room for less than one login
    other = Vault()
    other.read()
    put(Vault(), "acct_2")
    assert list(other.read().entries) == ["acct_1", "acct_2"]
    pieces = len(ring.kept)
    Vault().change(lambda book: Book())
    assert Vault().read() == Book() and len(ring.kept) == 1 < pieces


def test_half_a_change_in_the_keyring_does_not_count(ring: SmallRing) -> None:
    put(Vault())
    pieces = len(ring.kept)
    ring.writes = 3
    with pytest.raises(Unavailable, match="KeyringLocked"):
        put(Vault(), "acct_2")
    ring.writes = -1
    assert list(Vault().read().entries) == ["acct_1"]
    put(Vault(), "acct_1", replace(ENTRY, tokens=NEWER))
    assert Vault().read().entries["acct_1"].tokens == NEWER
    put(Vault())
    assert len(ring.kept) == pieces  # nothing of the failed one is left


def test_a_locked_keyring_is_not_an_empty_one(folder: Path, ring: SmallRing) -> None:
    put(Vault())
    ring.trouble = KeyringLocked()
    with pytest.raises(Unavailable, match="unlock it.*CODEX_RELAY_VAULT"):
        Vault().read()
    keyring.set_keyring(fail.Keyring())
    with pytest.raises(Unavailable, match="NoKeyringError"):
        put(Vault())
    assert not (folder / "accounts.json").exists()


def test_a_keyring_that_hangs_is_given_up(folder: Path, ring: SmallRing) -> None:
    put(Vault())
    ring.gate.clear()
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer within 0.1 s"):
        Vault(patience=0.1).read()
    assert time.monotonic() < begin + 2
    ring.gate.set()
    assert Vault().read().selected == "acct_1"


def test_a_keyring_that_hangs_at_first_is_none(folder: Path, ring: SmallRing) -> None:
    ring.gate.clear()
    put(Vault(patience=0.1))
    assert (folder / "accounts.json").exists()


def test_what_somebody_took_out_of_the_keyring(
    folder: Path, ring: SmallRing, caplog: pytest.LogCaptureFixture
) -> None:
    put(Vault())
    ring.kept.popitem()
    assert Vault().read() == Book()
    assert "is damaged" in caplog.text and list(folder.glob("accounts.keyring.damaged-*"))
    put(Vault())
    assert Vault().read().selected == "acct_1"


@pytest.mark.usefixtures("ringless")
def test_logins_stay_where_they_are_when_a_keyring_appears(folder: Path) -> None:
    put(Vault())
    keyring.set_keyring(SmallRing())
    assert Vault().read().selected == "acct_1"


def test_nothing_shows_a_token(tmp_path: Path) -> None:
    book = put(Vault(tmp_path / "logins"))
    assert "refresh-1" not in repr(book) and "access-" not in repr(book)


def test_a_login_is_kept_only_if_it_is_still_that_one(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "logins")
    put(vault)
    login = Slot(vault, "acct_1")
    login.keep(TOKENS, NEWER)
    login.keep(TOKENS, replace(TOKENS, refresh="late"))
    login.bury(TOKENS, "refresh_token_reused")
    assert login.read() == NEWER
    login.bury(NEWER, "invalid_grant")
    with pytest.raises(Dead, match="invalid_grant"):
        login.read()
    vault.change(lambda book: book.without("acct_1"))
    login.keep(NEWER, TOKENS)
    with pytest.raises(Dead, match="logged_out"):
        login.read()


# Codex's own file


CODEX = {
    "auth_mode": "chatgpt",
    "OPENAI_API_KEY": None,
    "tokens": {
        "id_token": "id-1",
        "access_token": "access-1",
        "refresh_token": "refresh-1",
        "account_id": "ws-1",
        "more": [1],
    },
    "last_refresh": "2026-09-21T12:00:00.123456789Z",
    "unknown": {"kept": True},
}
OLD = Tokens("access-1", "refresh-1", "id-1")


def auth(path: Path, told: object = CODEX) -> Path:
    path.write_text(json.dumps(told))
    path.chmod(0o600)
    return path


def test_codexs_file_is_read_before_each_use(tmp_path: Path) -> None:
    file = CodexFile(auth(tmp_path / "auth.json"))
    first = file.read()
    assert (first.access, first.refresh, first.id) == ("access-1", "refresh-1", "id-1")
    assert abs(first.at - 1_790_000_000) < 10**7
    before = os.stat(file.path)
    auth(file.path, CODEX | {"tokens": {**CODEX["tokens"], "access_token": "access-2"}})  # type: ignore[dict-item]
    os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.read().access == "access-2"


def test_codexs_file_keeps_all_else(tmp_path: Path) -> None:
    real = auth(tmp_path / "real.json")
    link = tmp_path / "auth.json"
    link.symlink_to(real)
    CodexFile(link).keep(OLD, Tokens("access-2", "refresh-2", "", 1_790_000_000.25))
    told = json.loads(real.read_text())
    tokens = CODEX["tokens"] | {"access_token": "access-2", "refresh_token": "refresh-2"}  # type: ignore[operator]
    assert told == CODEX | {"tokens": tokens, "last_refresh": "2026-09-21T14:13:20.250000Z"}
    assert list(told) == list(CODEX)
    assert link.is_symlink() and mode(real) == 0o600
    assert CodexFile(link).lock == tmp_path / "real.json.lock"


def test_what_codex_wrote_meanwhile_stays(tmp_path: Path) -> None:
    file = CodexFile(auth(tmp_path / "auth.json"))
    before = file.path.read_bytes()
    file.keep(replace(OLD, refresh="refresh-0"), NEWER)
    assert file.path.read_bytes() == before


def test_a_dead_login_of_codexs_lives_again_with_another(tmp_path: Path) -> None:
    file = CodexFile(auth(tmp_path / "auth.json"))
    file.bury(OLD, "refresh_token_expired")
    with pytest.raises(Dead, match="refresh_token_expired"):
        file.read()
    assert file.found().refresh == "refresh-1"
    file.keep(OLD, NEWER)
    assert file.read().refresh == "refresh-2"


def test_half_a_file_is_read_again(tmp_path: Path) -> None:
    path = auth(tmp_path / "auth.json")
    whole = path.read_text()
    path.write_text(whole[:40])
    timer = threading.Timer(0.1, path.write_text, [whole])
    timer.start()
    assert CodexFile(path).read().access == "access-1"
    timer.join()


@pytest.mark.parametrize(
    "told", [{}, [], {"OPENAI_API_KEY": "sk-1", "tokens": None}, {"tokens": 1}]
)
def test_a_file_without_a_login(tmp_path: Path, told: object) -> None:
    path = auth(tmp_path / "auth.json", told)
    with pytest.raises(Unavailable, match="codex login") as caught:
        CodexFile(path).read()
    assert "sk-1" not in str(caught.value)
    assert json.loads(path.read_text()) == told


def test_no_file_of_codexs(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cli_auth_credentials_store"):
        CodexFile(tmp_path / "auth.json").read()


def test_an_import_says_what_comes_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = auth(tmp_path / "auth.json")
    before = path.read_bytes()
    tokens, notice = codexfile.import_(path)
    assert tokens.refresh == "refresh-1" and path.read_bytes() == before
    assert "who renews first stays logged in" in notice
    assert f"relay_chatgpt_auth={path}" in notice and "refresh-1" not in notice
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_other_files_keep_their_modes(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<p>")
    page.chmod(0o644)
    with pytest.raises(Unavailable, match="codex login"):
        codexfile.import_(page)
    assert mode(page) == 0o644
    page.write_text(json.dumps(CODEX))
    codexfile.import_(page)
    assert mode(page) == 0o600


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "auth.json"
    os.mkfifo(pipe)
    with pytest.raises(Unavailable, match="it is no file"):
        CodexFile(pipe).read()
    with pytest.raises(Unavailable, match="it is no file"):
        Vault(pipe).read()


def test_a_file_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LARGEST", 1000)
    path = auth(tmp_path / "auth.json", CODEX | {"more": "x" * 1000})
    with pytest.raises(Unavailable, match="larger than 1,000 bytes"):
        CodexFile(path).read()


@pytest.mark.parametrize("odd", ["access\r\nx-evil: 1", "access\ud800", "access 1", "zugänge"])
def test_tokens_that_no_header_can_carry_are_none(tmp_path: Path, odd: str) -> None:
    tokens = {"access_token": odd, "refresh_token": "refresh-1", "id_token": "id-1"}
    with pytest.raises(Unavailable, match="no ChatGPT login in it"):
        CodexFile(auth(tmp_path / "auth.json", {"tokens": tokens})).read()


def test_numbers_beyond_all_measure(tmp_path: Path) -> None:
    path = tmp_path / "logins"
    Vault(path).change(lambda book: book.having("ada", ENTRY))
    path.write_text(path.read_text().replace("1790000000.5", "9" * 400))
    assert Vault(path).read().entries["ada"].tokens.at == 0.0
