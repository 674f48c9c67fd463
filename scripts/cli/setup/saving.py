"""Writing the result of the interview: the key into the keyring, the settings into relay.toml."""

from dataclasses import dataclass, field
from pathlib import Path

from addons.config import ConfigFile
from addons.private_files import write_private_file
from addons.system_keyring import KeyringUnavailable, delete_password, read_password, save_password

from ..errors import CommandFailed
from .interview import KeyStorage, SetupResult
from .relay_file import edit_relay_file

BACKUP_SUFFIX = ".before-setup"


@dataclass(frozen=True)
class SetupPlan:
    """What `save_plan` writes."""

    path: Path
    former_text: str | None = field(repr=False)  # None: there is no relay.toml yet
    text: str = field(repr=False)
    keyring_entry: str = ""  # the name of the key in the keyring; "" if none goes there
    key: str = field(default="", repr=False)

    @property
    def backup(self) -> Path:
        return self.path.with_name(self.path.name + BACKUP_SUFFIX)


def plan_setup(result: SetupResult, file: ConfigFile) -> SetupPlan:
    """Raises CommandFailed."""
    former = file.toml_text if file.path.is_file() else None
    text = edit_relay_file(former or "", result.settings)
    is_for_keyring = result.key_storage == KeyStorage.KEYRING
    entry = result.upstream.key_name if is_for_keyring else ""
    return SetupPlan(file.path, former, text, entry, result.key.text if entry else "")


def save_plan(plan: SetupPlan) -> None:
    """Write the key first, as relay.toml names it; neither stays without the other. Raises
    CommandFailed."""
    former_key = store_key(plan) if plan.keyring_entry else None
    try:
        write_relay_file(plan)
    except BaseException:  # also after Ctrl-C
        if plan.keyring_entry:
            restore_key(plan.keyring_entry, former_key)
        raise


def write_relay_file(plan: SetupPlan) -> None:
    """Raises CommandFailed."""
    try:
        if read_text(plan.path) != plan.former_text:
            raise CommandFailed(f"{plan.path} was changed meanwhile", "run `mitmcodex setup` again")
        if plan.former_text is not None and plan.former_text != plan.text:
            write_private_file(plan.backup, plan.former_text.encode())
        write_private_file(plan.path, plan.text.encode())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandFailed(
            f"{plan.path} cannot be written: {why}",
            "make its folder writable, or let CODEX_RELAY_CONFIG name another file",
        ) from None


def read_text(path: Path) -> str | None:
    """The text as `ConfigFile` has it; None if there is no such file. Raises OSError,
    UnicodeDecodeError."""
    return path.read_text("utf-8-sig") if path.is_file() else None


def store_key(plan: SetupPlan) -> str | None:
    """Put the key into the keyring; returns the one that it had. Raises CommandFailed."""
    try:
        former = read_password(plan.keyring_entry)
        save_password(plan.keyring_entry, plan.key)
    except KeyringUnavailable as unavailable:
        raise CommandFailed(
            f"the system's keyring {unavailable}", "unlock it, or pass `--keep-key file`"
        ) from None
    return former


def restore_key(name: str, former: str | None) -> None:
    try:
        if former is None:
            delete_password(name)
        else:
            save_password(name, former)
    except KeyringUnavailable:
        return  # the failure that led here is the one to report
