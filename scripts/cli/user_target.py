"""The upstream of a relay that would be started now: its provider, its URL and its key."""

from addons.config import available_providers, use_settings
from addons.routing import Target, main_target
from translate import BadRequest

from .errors import CommandFailed
from .user_settings import UserSettings, load_user_settings

DEMO = "demo"


def user_target(user: UserSettings | None = None) -> Target:
    """The target of the user's settings, with the URL "" for the demonstration, which only a relay
    serves. Raises CommandFailed."""
    user = user or load_user_settings()
    use_settings(user.settings, user.file)
    try:
        return main_target()
    except RuntimeError:
        return Target(available_providers()[DEMO], "")
    except BadRequest as error:
        raise CommandFailed(str(error), "set `upstream` in relay.toml") from None
