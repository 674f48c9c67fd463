"""Which place the settings name for kept responses, and what may lie there."""

from pathlib import Path

from platformdirs import user_data_path

from addons.place import Limits, Place
from addons.place_sqlite import SQLite
from addons.settings import Settings
from addons.values import REDIS


def limits(settings: Settings) -> Limits:
    return Limits(settings.store_days * 86_400, int(settings.store_megabytes * 1_000_000))


def opened(settings: Settings) -> Place:
    if settings.store.startswith(REDIS):
        from addons.place_redis import Redis  # only those who use it pay for the import

        return Redis(settings.store, limits(settings))
    return SQLite(file(settings), limits(settings))


def file(settings: Settings) -> Path:
    folder = user_data_path("codex-relay", appauthor=False)
    return Path(settings.store).expanduser() if settings.store else folder / "responses.db"
