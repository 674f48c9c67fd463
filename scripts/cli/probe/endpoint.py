"""The endpoint to measure: its URL, key and model, as the relay itself would choose them."""

from dataclasses import dataclass, field, replace

from addons.config import key_from_environment, validate_base_url
from addons.routing import (
    KEY_STATUSES,
    KeyOrigin,
    Target,
    provider_for_url,
    target_with_key,
)
from translate import Provider

from ..errors import CommandFailed
from ..user_settings import UserSettings
from ..user_target import provider_target, user_target


@dataclass(frozen=True)
class Endpoint:
    """One model behind one base URL."""

    url: str  # base URL, without a slash at the end
    provider: Provider  # what the relay assumes of it so far
    model: str = ""  # "": the first one of its list that can chat
    key: str | None = field(default=None, repr=False)
    key_variable: str = ""  # the environment variable with the key, if the user named one
    key_origin: KeyOrigin = KeyOrigin()  # for messages

    @property
    def profile(self) -> Provider:
        """What the relay assumes of this model so far."""
        return self.provider.for_model(self.model)

    @property
    def headers(self) -> dict[str, str]:
        """The provider's own headers and that of the key."""
        return self.provider.headers | self.provider.key_headers(self.key)

    def key_advice(self, status: int) -> str:
        """What the user can do about the key after a reply of this status; "" if it is not to
        blame."""
        if status not in KEY_STATUSES:
            return ""
        if not self.key and not self.key_origin.possible_places:
            return "name the variable with its key: --key-env"
        return self.key_origin.refusal_advice(status)

    @property
    def title(self) -> str:
        return f"{self.model} at {self.url}" if self.model else self.url

    def with_model(self, model: str) -> "Endpoint":
        return replace(self, model=model)


def find_endpoint(
    user: UserSettings, target: str = "", model: str = "", key_variable: str = ""
) -> Endpoint:
    """The endpoint for a provider's name or a base URL; by default the one that the relay uses.

    Raises CommandFailed, with the next step, if there is none.
    """
    default = user_target(user)
    upstream = find_target(default, target)
    provider = upstream.provider
    if key_variable:
        key = key_from_environment(key_variable)
        if not key:
            problem = f"the environment variable {key_variable} holds no key"
            raise CommandFailed(problem, f"export {key_variable}=…")
        upstream = replace(upstream, key=key, key_origin=KeyOrigin(key_variable))
    if provider.accounts:
        raise CommandFailed(
            f"{provider.title} serves accounts, in the Responses dialect: there is no profile to "
            "measure",
            "name a provider of Chat Completions; `mitmcodex providers` lists them",
        )
    is_default = (upstream.url, provider.name) == (default.url, default.provider.name)
    model = model or (user.settings.model if is_default else "") or provider.model
    origin = upstream.key_origin or KeyOrigin()
    return Endpoint(upstream.url, provider, model, upstream.key, key_variable, origin)


def find_target(default: Target, name_or_url: str) -> Target:
    """The upstream that the user named, or else the default one. Raises CommandFailed."""
    if not name_or_url:
        if default.url:
            return default
        problem = "no provider is configured"
        raise CommandFailed(problem, "name one, or a base URL: `mitmcodex probe deepseek`")
    if "://" in name_or_url:
        return target_by_url(default, name_or_url)
    return provider_target(name_or_url)


def target_by_url(default: Target, text: str) -> Target:
    """The upstream at a base URL; the configured key goes to the configured URL only. Raises
    CommandFailed."""
    try:
        url = validate_base_url(text)
    except ValueError as error:
        step = "write it as https://api.example.com/v1"
        raise CommandFailed(f"the URL cannot be used: {error}", step) from None
    if url == default.url:
        return default
    return target_with_key(provider_for_url(None, url), url, takes_api_key=False)
