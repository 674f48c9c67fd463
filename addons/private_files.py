"""Files and folders that only their owner can read, from the moment they exist and whatever the
umask. Every file that the relay writes is created here.

On Windows modes mean nothing; there the user's own folders are private.
"""

import contextlib
import errno
import os
from pathlib import Path
from tempfile import mkstemp

FILE_MODE, FOLDER_MODE = 0o600, 0o700
POSIX = os.name == "posix"


def create_private_folder(path: Path) -> None:
    """Create the folder and those above it, as far as they are missing. Raises OSError."""
    if path.is_dir():
        return
    create_private_folder(path.parent)
    path.mkdir(FOLDER_MODE, exist_ok=True)  # with `parents`, the umask would decide about those


def create_private_file(path: Path) -> None:
    """Create an empty file, and its folder, unless they exist. Raises OSError."""
    if not path.exists():  # else the folder may be one into which nothing can be written
        create_private_folder(path.parent)
        os.close(open_private(str(path), os.O_CREAT | os.O_WRONLY))


def open_private(path: str, flags: int) -> int:
    """An opener for `open`: a file that it creates is private. Raises OSError."""
    return os.open(path, flags, FILE_MODE)


def write_private_bytes(path: Path, data: bytes) -> None:
    """Write the file, in place if it exists. Raises OSError."""
    create_private_folder(path.parent)
    with open(path, "wb", opener=open_private) as file:
        file.write(data)


def append_private_text(path: Path, text: str) -> None:
    """Append to the file in UTF-8; what UTF-8 cannot express becomes `?`. Raises OSError."""
    create_private_folder(path.parent)
    with open(path, "a", encoding="utf-8", errors="replace", opener=open_private) as file:
        file.write(text)


def write_private_file(path: Path, data: bytes) -> None:
    """Replace the file in one step: after a crash it has either the old or the new content. Raises
    OSError, which names the file."""
    path = path.resolve()  # so that a symlink stays one
    create_private_folder(path.parent)
    # Its mode is 0600, whatever the umask.
    handle, temporary_path = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        replace_file(temporary_path, path, data)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary_path)
        if isinstance(error, OSError):  # that of a write to a full disk names none
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    sync_folder(path.parent)


def replace_file(temporary_path: str, path: Path, data: bytes) -> None:
    try:
        os.replace(temporary_path, path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # A file that a container mounts by itself cannot be replaced.
        with path.open("r+b") as file:
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        os.unlink(temporary_path)


def sync_folder(folder: Path) -> None:
    """Write the folder itself to disk, so that a new file in it survives a power cut."""
    if POSIX:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
