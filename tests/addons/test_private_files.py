"""What the relay writes is private from the moment it exists, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.private_files import (
    append_private_text,
    create_private_file,
    create_private_folder,
    write_private_bytes,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes mean nothing here")


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The most careless umask."""
    old = os.umask(0)
    yield
    os.umask(old)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_missing_folder_is_private(tmp_path: Path) -> None:
    create_private_folder(tmp_path / "a" / "b" / "c")
    create_private_folder(tmp_path / "a" / "b" / "c")
    folders = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert [mode_of(folder) for folder in folders] == [0o700] * 3


def test_every_way_to_write_makes_a_private_file(tmp_path: Path) -> None:
    create_private_file(tmp_path / "a" / "empty")
    write_private_bytes(tmp_path / "b" / "bytes", b"1")
    write_private_bytes(tmp_path / "b" / "bytes", b"2")
    append_private_text(tmp_path / "c" / "text", "1\n")
    append_private_text(tmp_path / "c" / "text", "\ud800\n")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(file.read_bytes() for file in files) == [b"", b"1\n?\n", b"2"]
    assert {mode_of(file) for file in files} == {0o600}
    assert {mode_of(file.parent) for file in files} == {0o700}


def test_existing_file_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_bytes(b"x")
    file.chmod(0o640)
    create_private_file(file)
    assert file.read_bytes() == b"x" and mode_of(file) == 0o640
