"""Writing the relay's lines into a config.toml, and taking them back."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import CommandFailed
from .edits import LinesChanged, NotUnderstood, insert_block, take_back
from .home import missing_folders, read_config, remove_config, replace_config
from .record import ConfigRecord, forget_record, load_record, save_record

WITHOUT_FILE = "or use `mitmcodex codex`, which needs no lines there"


def write_block(path: Path, block: str) -> ConfigRecord | None:
    """Put the block into the file, in place of an earlier one. Returns what was written; None if
    the file has the block already. Raises CommandFailed."""
    record, current = load_record(path), read_config(path)
    before = current if record is None else text_without_block(record, current)
    try:
        after = insert_block(before or "", block)
    except NotUnderstood as wrong:
        raise CommandFailed(
            f"{path} cannot be edited: {wrong}", f"mend that by hand, {WITHOUT_FILE}"
        ) from None
    if after == current:
        return None
    new_folders = record.new_folders if record else missing_folders(path.resolve().parent)
    written = ConfigRecord(path, before, after, new_folders)
    save_record(written)  # first, so that nothing is written that cannot be undone
    try:
        replace_config(path, after, current)
    except CommandFailed:
        if record is None:
            forget_record(written)
        else:
            save_record(record)
        raise
    return written


def undo_block(path: Path) -> bool:
    """Take the relay's lines out of the file. Whether there were any. Raises CommandFailed."""
    if not (record := load_record(path)):
        return False
    current = read_config(path)
    if current is not None and current != record.before:
        text = text_without_block(record, current)
        if text is None:
            remove_config(path, current)
            remove_folders(record.new_folders)
        else:
            replace_config(path, text, current)
    forget_record(record)
    return True


def text_without_block(record: ConfigRecord, current: str | None) -> str | None:
    """The text that the file has without the relay's lines; None for no file. Raises
    CommandFailed if they cannot be taken back."""
    if current is None or current == record.before:
        return current
    try:
        text = take_back(record.before or "", record.after, current)
    except LinesChanged as changed:
        lines = "\n".join(f"    {line}" for line in changed.lines)
        raise CommandFailed(
            f"{record.path}: lines of mitmcodex were changed since, so none is touched. It wrote\n"
            f"{lines}",
            f"put them back or remove them by hand; {backup_words(record)}",
        ) from None
    except NotUnderstood as wrong:
        raise CommandFailed(
            f"{record.path} cannot be edited: {wrong}", f"mend it by hand; {backup_words(record)}"
        ) from None
    return text if text.strip() or record.before is not None else None


def backup_words(record: ConfigRecord) -> str:
    if record.before is None:
        return "there was no such file before"
    return f"the file as it was before is {record.backup}"


def remove_folders(folders: Iterable[Path]) -> None:
    """Remove those that are empty."""
    for folder in folders:
        with suppress(OSError):  # something else is in it
            folder.rmdir()
