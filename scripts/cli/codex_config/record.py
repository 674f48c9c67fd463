"""What was written into a config.toml: the text before and after, in the user's data folder.

The text before is the backup; both together make the undo exact."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from addons.private_files import write_private_bytes
from addons.user_folders import data_folder

FOLDER_NAME = "codex-config"
RECORD, BEFORE, AFTER = "record.json", "before.toml", "after.toml"


@dataclass(frozen=True)
class ConfigRecord:
    """One config.toml into which lines were written."""

    path: Path
    before: str | None = field(repr=False)  # None: there was no file
    after: str = field(repr=False)
    new_folders: tuple[Path, ...] = ()  # those created for the file, the innermost first

    @property
    def folder(self) -> Path:
        return record_folder(self.path)

    @property
    def backup(self) -> Path:
        return self.folder / BEFORE


def record_folder(path: Path) -> Path:
    return data_folder() / FOLDER_NAME / sha256(str(path).encode()).hexdigest()[:12]


def save_record(record: ConfigRecord) -> None:
    """Raises OSError."""
    fields = {"path": str(record.path), "new_folders": [str(path) for path in record.new_folders]}
    write_private_bytes(record.folder / AFTER, record.after.encode())
    if record.before is None:
        record.backup.unlink(missing_ok=True)
    else:
        write_private_bytes(record.backup, record.before.encode())
    write_private_bytes(record.folder / RECORD, json.dumps(fields).encode())


def load_record(path: Path) -> ConfigRecord | None:
    """The record for this config.toml; None if there is none, or it cannot be read."""
    return read_record_folder(record_folder(path))


def read_record_folder(folder: Path) -> ConfigRecord | None:
    try:
        fields = json.loads((folder / RECORD).read_text("utf-8"))
        before = folder / BEFORE
        return ConfigRecord(
            Path(fields["path"]),
            before.read_bytes().decode() if before.exists() else None,
            (folder / AFTER).read_bytes().decode(),
            tuple(map(Path, fields["new_folders"])),
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def all_records() -> Iterator[ConfigRecord]:
    for file in sorted((data_folder() / FOLDER_NAME).glob(f"*/{RECORD}")):
        if record := read_record_folder(file.parent):
            yield record


def forget_record(record: ConfigRecord) -> None:
    for name in (RECORD, BEFORE, AFTER):
        (record.folder / name).unlink(missing_ok=True)
    for folder in (record.folder, record.folder.parent, data_folder()):
        with suppress(OSError):  # something else is in it
            folder.rmdir()
