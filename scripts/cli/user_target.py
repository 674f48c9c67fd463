"""The upstream of a relay that would be started now: its provider, its URL and its key."""

from addons.config import available_providers, use_settings
from addons.routing import Target, main_target, target_by_name
from translate import BadRequest, did_you_mean

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


def provider_target(name: str) -> Target:
    """The target of the provider of this name, with the user's settings that `user_target` has put
    in force. Raises CommandFailed."""
    providers = available_providers()
    if name not in providers:
        advice = "`mitmcodex providers` lists them"
        if hint := did_you_mean(name, providers):
            advice = f"{hint} {advice}"
        raise CommandFailed(f"there is no provider {name!r}", advice)
    try:
        return target_by_name(name)
    except BadRequest as error:
        raise CommandFailed(str(error), "name a base URL in its place, or in relay.toml") from None
