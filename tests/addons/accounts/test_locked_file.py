"""Private files: whole or not at all, and closed to other users."""

import errno
import os
import stat
from pathlib import Path

import pytest
from filelock import FileLock

from addons.accounts import locked_file
from addons.accounts.locked_file import (
    LoginStoreUnavailable,
    exclusive_lock,
    lock_path_for,
    read_private_file,
    set_damaged_file_aside,
)
from addons.private_files import write_private_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_file_and_folder_are_private_whatever_the_umask(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "logins"
    umask = os.umask(0)
    try:
        write_private_file(file, b"secret")
    finally:
        os.umask(umask)
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert read_private_file(file) == b"secret"


def test_missing_file_is_none(tmp_path: Path) -> None:
    assert read_private_file(tmp_path / "logins") is None


def test_symlink_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "far" / "logins")
    write_private_file(link, b"secret")
    assert link.is_symlink() and (tmp_path / "far" / "logins").read_bytes() == b"secret"


def test_secret_that_others_can_read_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "logins"
    file.write_bytes(b"secret")
    file.chmod(0o644)
    assert read_private_file(file, lambda data: False) == b"secret"
    assert mode(file) == 0o644 and not caplog.text
    assert read_private_file(file) == b"secret"
    assert mode(file) == 0o600
    assert "could be read by other users" in caplog.text


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "logins"
    write_private_file(file, b"old")

    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left on device: .*logins"):
        write_private_file(file, b"new")
    assert file.read_bytes() == b"old" and names_in(tmp_path) == {"logins"}


def test_mounted_file_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "logins"
    write_private_file(file, b"a longer text")

    def refuse(source: str, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    inode = file.stat().st_ino
    monkeypatch.setattr(os, "replace", refuse)
    write_private_file(file, b"short")
    assert file.stat().st_ino == inode and file.read_bytes() == b"short"
    assert names_in(tmp_path) == {"logins"}


def test_pipe_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "logins"
    os.mkfifo(pipe)
    with pytest.raises(LoginStoreUnavailable, match="it is not a regular file"):
        read_private_file(pipe)


def test_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_file, "MAX_FILE_SIZE", 1000)
    file = tmp_path / "logins"
    file.write_bytes(b"x" * 1001)
    with pytest.raises(LoginStoreUnavailable, match="larger than 1,000 bytes"):
        read_private_file(file)


def test_path_with_a_null_byte_is_refused() -> None:
    with pytest.raises(LoginStoreUnavailable, match="cannot be read"):
        read_private_file(Path("logins\0"))


def test_damaged_files_are_set_aside_under_names_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "logins"
    for number in range(3):
        file.write_bytes(b"%d" % number)
        set_damaged_file_aside(file, "test")
    contents = {path.read_bytes() for path in tmp_path.glob("logins.damaged-*")}
    assert contents == {b"0", b"1", b"2"} and not file.exists()


def test_lock_of_another_process_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_file, "LOCK_TIMEOUT", 0.1)
    file = tmp_path / "logins"
    with (
        FileLock(lock_path_for(file)),
        pytest.raises(LoginStoreUnavailable, match="another process"),
        exclusive_lock(file),
    ):
        pass
    with exclusive_lock(file):
        assert lock_path_for(file).exists()
