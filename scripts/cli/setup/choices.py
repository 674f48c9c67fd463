"""The steps of the interview: which answers each question offers, and what an answer means.

Everything here is pure; commands/setup.py asks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from addons.config import validate_base_url
from addons.relay_health import LOOPBACK_HOSTS
from addons.routing import serves_url
from translate import CatalogModel, Provider, did_you_mean

from .local_servers import LocalServer

DEMO, CHATGPT, OTHER_URL = "demo", "chatgpt", "url"
MOST_MODELS = 15  # in the list that is shown


@dataclass(frozen=True)
class Choice:
    """An answer that a question offers."""

    answer: str
    title: str
    note: str = ""


@dataclass(frozen=True)
class ChosenUpstream:
    """The provider that is to serve, and where."""

    provider: Provider
    url: str = ""  # "" for the demonstration and for accounts
    settings: Mapping[str, str] = field(default_factory=dict)  # for relay.toml

    @property
    def needs_check(self) -> bool:
        return bool(self.url)

    @property
    def title(self) -> str:
        """The provider's name, or the host of one without a table."""
        provider = self.provider
        has_own_name = provider.base_urls or provider.hosts or not self.url
        return provider.title if has_own_name else urlsplit(self.url).netloc

    @property
    def is_local(self) -> bool:
        return urlsplit(self.url).hostname in LOOPBACK_HOSTS

    @property
    def key_name(self) -> str:
        """The name of its key in the system's keyring."""
        return self.settings.get("provider") or urlsplit(self.url).netloc or self.provider.name


class CodexWay(StrEnum):
    """How Codex comes to the relay."""

    COMMAND = "command"
    CONFIG = "config"
    SERVICE = "service"


CODEX_WAYS = (
    Choice(
        CodexWay.COMMAND, "mitmcodex codex", "starts the relay, too; Codex's files stay as they are"
    ),
    Choice(CodexWay.CONFIG, "codex", "by lines in its config.toml, which can be undone"),
    Choice(CodexWay.SERVICE, "codex + service", "the same; the relay starts when you log in"),
)


# The provider


def provider_choices(
    providers: Mapping[str, Provider],
    servers: Iterable[LocalServer],
    variables: Mapping[str, str],
) -> list[Choice]:
    """Servers on this machine first, then providers whose key is at hand, then all others."""
    local = [Choice(server.provider.name, server.provider.title, server_note(server))
             for server in servers]  # fmt: skip
    remote = [provider for provider in providers.values() if is_remote(provider)]
    keyed = [
        Choice(provider.name, provider.title, f"its key is in {name}")
        for provider in remote
        if (name := key_variable(provider, variables))
    ]
    shown = {choice.answer for choice in (*local, *keyed)}
    others = [
        Choice(provider.name, provider.title) for provider in remote if provider.name not in shown
    ]
    return [
        *local,
        *(choice for choice in keyed if choice.answer not in {entry.answer for entry in local}),
        *others,
        Choice(CHATGPT, "a ChatGPT account", "you log in afterwards"),
        Choice(OTHER_URL, "another URL", "any server with /chat/completions"),
        Choice(DEMO, "the demonstration", "no account and no model, to look around"),
    ]


def server_note(server: LocalServer) -> str:
    place = f"runs here, at {urlsplit(server.url).netloc}"
    if server.model_count is None:
        return f"{place}; asks for a key"
    return f"{place}, with {server.model_count} model{'s' * (server.model_count != 1)}"


def is_remote(provider: Provider) -> bool:
    """Whether it is a service elsewhere, with a URL of its own and a key."""
    first = next(iter(provider.base_urls), "")
    return bool(first and not provider.accounts) and urlsplit(first).hostname not in LOOPBACK_HOSTS


def key_variable(provider: Provider, variables: Mapping[str, str]) -> str:
    """The variable that holds the provider's key; "" if none does."""
    return next((name for name in provider.key_env if variables.get(name, "").strip()), "")


def match_choice(answer: str, choices: Sequence[Choice]) -> str:
    """The choice that this text means: a number, a name or a title. Raises ValueError."""
    text = answer.strip().lower()
    if text.isdigit() and 1 <= int(text) <= len(choices):
        return choices[int(text) - 1].answer
    names = {name.lower(): choice.answer for choice in choices
             for name in (choice.title, choice.answer)}  # fmt: skip
    if text in names:
        return names[text]
    raise ValueError(suggestion(answer.strip(), names))


def suggestion(text: str, names: Iterable[str]) -> str:
    """That there is no such name, with the most similar one."""
    hint = did_you_mean(text.lower(), names)
    return f"there is no {text!r}" + (f"; {hint}" if hint else "")


def choose_upstream(
    name: str, url: str, providers: Mapping[str, Provider], servers: Iterable[LocalServer] = ()
) -> ChosenUpstream:
    """The upstream of these two answers, of which one may be "". Raises ValueError."""
    if name and name not in providers:
        raise ValueError(suggestion(name, providers))
    if url:
        return upstream_at(validate_base_url(with_scheme(url)), name, providers)
    provider = providers[name]
    if name == DEMO or provider.accounts:
        return ChosenUpstream(provider, settings={"provider": name})
    running = (server.url for server in servers if server.provider.name == name)
    usual = next(iter(provider.base_urls), "")
    if not usual:
        raise ValueError(f"{provider.title} has no URL of its own: pass it with --upstream")
    url = next(running, usual)
    settings = {"provider": name} if url == usual else {"provider": name, "upstream": url}
    return ChosenUpstream(provider, url, settings)


def with_scheme(url: str) -> str:
    """The URL; one without a scheme, such as `localhost:8000/v1`, gets the usual one."""
    if "://" in url:
        return url
    host = urlsplit(f"//{url}").hostname
    return f"http://{url}" if host in LOOPBACK_HOSTS else f"https://{url}"


def upstream_at(url: str, name: str, providers: Mapping[str, Provider]) -> ChosenUpstream:
    matches = (provider for provider in providers.values() if serves_url(provider, url))
    provider = providers[name] if name else next(matches, providers["generic"])
    is_usual = provider.base_urls[:1] == (url,)
    if is_usual:
        return ChosenUpstream(provider, url, {"provider": provider.name})
    settings = {"provider": name, "upstream": url} if name else {"upstream": url}
    return ChosenUpstream(provider, url, settings)


# The key


@dataclass(frozen=True)
class ChosenKey:
    text: str = field(default="", repr=False)
    place: str = ""  # where it comes from, for messages
    stays_there: bool = False  # the relay finds it there itself, so that it need not be stored
    setting: str = field(default="", repr=False)  # `api_key` in relay.toml, if it is from there


def key_from_variables(upstream: ChosenUpstream, variables: Mapping[str, str]) -> ChosenKey | None:
    """The key that the relay would find itself, in the provider's own variable."""
    name = key_variable(upstream.provider, variables)
    if not name or not serves_url(upstream.provider, upstream.url):
        return None
    return ChosenKey(variables[name].strip(), f"${name}", stays_there=True)


# The model


def default_model(upstream: ChosenUpstream, models: Sequence[CatalogModel], current: str) -> str:
    """The one in use, else the provider's usual one, else the first that it lists."""
    names = [model.id for model in models]
    usual = (current, upstream.provider.model, *upstream.provider.known_models)
    return next((name for name in usual if name in names), "") or next(iter(names), "")


def model_choices(
    models: Sequence[CatalogModel], first: str, search: str = ""
) -> tuple[list[Choice], int]:
    """The models to show, the default one first, and how many more there are."""
    names = [first, *(model.id for model in models if model.id != first)] if first else []
    matches = [name for name in names if search.lower() in name.lower()]
    shown = [Choice(name, name) for name in matches[:MOST_MODELS]]
    return shown, len(matches) - len(shown)


def match_model(answer: str, models: Sequence[CatalogModel], choices: Sequence[Choice] = ()) -> str:
    """The model that this text means: a number of the choices, or a name. Raises ValueError."""
    text, names = answer.strip(), [model.id for model in models]
    if text.isdigit() and 1 <= int(text) <= len(choices):
        return choices[int(text) - 1].answer
    if not text or text in names or not names:
        return text
    raise ValueError(suggestion(text, names))
