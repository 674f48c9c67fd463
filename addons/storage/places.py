"""Which place the settings name for kept responses, and what may lie there."""

from pathlib import Path

from platformdirs import user_data_path

from addons.config.option_types import REDIS
from addons.config.settings import Settings
from addons.storage.backend import Limits, Place
from addons.storage.sqlite_backend import SQLite


def limits(settings: Settings) -> Limits:
    return Limits(settings.store_days * 86_400, int(settings.store_megabytes * 1_000_000))


def opened(settings: Settings) -> Place:
    if settings.store.startswith(REDIS):
        from addons.storage.redis_backend import Redis  # only those who use it pay for the import

        return Redis(settings.store, limits(settings))
    return SQLite(file(settings), limits(settings))


def file(settings: Settings) -> Path:
    folder = user_data_path("codex-relay", appauthor=False)
    return Path(settings.store).expanduser() if settings.store else folder / "responses.db"
