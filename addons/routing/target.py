"""Where a provider lives and whose key it gets."""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow

from addons import demo_provider as demo
from addons.accounts import addon as accounts
from addons.accounts import claims
from addons.accounts.lease import Seat
from addons.config import addon as config
from addons.config.settings import Settings
from addons.flow_data import PORT
from addons.identity import USER_AGENT
from addons.ingress import client_keys as keys
from addons.ingress.routes import OPENAI
from addons.routing import codex_cli as client_version
from addons.routing import model_lists as models
from addons.transport import relay_stream as transport
from translate import BadRequest, Provider
from translate.providers import catalog

PATH = {"chat": "/chat/completions", "responses": "/responses"}  # after the base URL
CODEX = "/codex"  # Codex's part of the service behind accounts
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Target:
    provider: Provider
    url: str  # without a slash at the end
    key: str | None = field(default=None, repr=False)
    seat: Seat | None = None  # at an account, in place of a key


def target(flow: HTTPFlow) -> Target:
    """The upstream of a request, its model aside: its port's, or the configured one."""
    if name := at_port(flow):
        found = named(name)
        return found if found.key else replace(found, key=brought(flow, found.url))
    settings = config.settings()
    if not configured(settings) and (accounts_ := account()):
        return accounts_
    provider, url = place(settings)
    if provider.accounts:
        return named(provider.name)
    key = settings.api_key.get_secret_value()
    return Target(fitting(provider), url, key or usual_key(provider, url) or brought(flow, url))


def source(flow: HTTPFlow) -> Target:
    """The same for pages that tell of it; no URL where it cannot be asked."""
    try:
        return target(flow)
    except BadRequest:
        return Target(config.providers()[config.settings().provider or "generic"], "")


def at_port(flow: HTTPFlow) -> str | None:
    """The provider that has the port to itself at which this request came in."""
    port = flow.metadata.get(PORT) or flow.client_conn.sockname[1]
    return next((name for name, own in config.settings().ports if own == port), None)


def named(name: str) -> Target:
    """A provider at its usual place, with its usual key. Raises BadRequest without a place."""
    provider, settings = config.providers()[name], config.settings()
    if provider.accounts:
        return Target(fitting(provider), settings.chatgpt_base + CODEX)
    home = name == settings.provider
    url = settings.upstream if home else ""
    if not url and not provider.base_urls:
        raise BadRequest(f"{provider.title} has no base_urls in its table, so it cannot be reached")
    url = url or provider.base_urls[0]
    key = settings.api_key.get_secret_value() if home else ""
    return Target(fitting(provider), url, key or usual_key(provider, url))


def account() -> Target | None:
    """The provider of the accounts that are logged in, if there are any."""
    names = (name for name, one in config.providers().items() if one.accounts)
    return next(map(named, names), None) if accounts.known() else None


def ready(to: Target) -> bool:
    """Whether it can be asked: it has its key, or is a server that may need none."""
    if to.provider.accounts:
        return bool(accounts.known())
    return bool(to.key) or home(to.url).startswith("localhost") or not to.provider.key_env


def fitting(provider: Provider) -> Provider:
    settings = config.settings()
    return provider.without(settings.quirks_off, settings.tools_off)


def configured(settings: Settings) -> bool:
    """Whether the user chose any provider with a key."""
    return bool(settings.upstream or settings.provider or config.served())


def place(settings: Settings) -> tuple[Provider, str]:
    """The provider and its base URL; the demonstration where nothing is configured."""
    chosen = config.providers().get(settings.provider)
    if settings.upstream:
        return named_at(chosen, settings.upstream), settings.upstream
    first = chosen or next((config.providers()[name] for name in config.served()), None)
    if first and first.base_urls:
        return first, first.base_urls[0]
    return config.providers()["demo"], demo.url()


def named_at(named: Provider | None, url: str) -> Provider:
    """The provider that the settings name; a table of no one's in particular is its host's."""
    if named is None:
        return recognised(url)
    nobodys = not named.base_urls and not named.hosts
    return named.at(urlsplit(url).hostname) if nobodys else named


def recognised(url: str) -> Provider:
    """By its host, as paths and ports differ from version to version."""
    found = (one for one in config.providers().values() if lives(one, url))
    return next(found, config.providers()["generic"].at(urlsplit(url).hostname))


def lives(provider: Provider, url: str) -> bool:
    """Whether a provider is at home at this URL."""
    here = home(url)
    return any(home(base) == here for base in provider.base_urls) or any(
        fnmatchcase(here, pattern) for pattern in provider.hosts
    )


@cache
def home(url: str) -> str:
    """A URL's host; on this machine, where many servers live, with the port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"localhost:{parts.port}" if host in LOOPBACK else host


def usual_key(provider: Provider, url: str) -> str | None:
    """The key in the provider's own variable, which is for its own hosts alone."""
    if not lives(provider, url):
        return None
    return next((key for name in provider.key_env if (key := config.variable(name))), None)


def brought(flow: HTTPFlow, url: str) -> str | None:
    """The key of a client that came by base URL with the provider's own, as Codex's `env_key`."""
    headers = flow.request.headers
    if not transport.own(flow) or "chatgpt-account-id" in headers or config.settings().client_key:
        return None
    token = keys.bearer(flow)
    if claims.is_openais(token) and urlsplit(url).hostname not in OPENAI:
        return None
    return token or None


async def listed(to: Target) -> models.Listed:
    """The models that it lists to this key; None where it does not tell."""
    query = {"client_version": client_version.current()} if to.provider.list_version else {}
    credentials = await accounts.reader() if to.provider.accounts else secrets(to)
    found = await models.listed(to.url, to.provider.headers | credentials, query)
    if not to.provider.accounts:
        return found
    return found or [catalog.Entry(name) for name in to.provider.known_models]


async def fitted(to: Target, name: str) -> Provider:
    """The provider with this model's own context window, where its list tells of one."""
    entries = await listed(to) or []
    known = [entry.context for entry in entries if entry.id == name and entry.context]
    return to.provider.model_copy(update={"context_window": known[0]}) if known else to.provider


def secrets(to: Target) -> dict[str, str]:
    """The header with the key; kept off the flow, and so out of pages, dumps and logs."""
    return to.seat.secrets() if to.seat else to.provider.credentials(to.key)


def headers(provider: Provider) -> dict[str, str]:
    """All else that goes up beside the body: built from nothing, so none is the client's."""
    return {
        **provider.headers,
        "accept": "text/event-stream",
        "accept-encoding": "identity",  # what is compressed cannot be translated as it comes
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }
