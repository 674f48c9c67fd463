"""A provider's upstream: its URL, and the key or the account for it."""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow

from addons import demo_provider as demo
from addons.accounts import Lease, account_summaries, any_account_headers, is_openai_token
from addons.config import (
    Settings,
    additional_providers,
    available_providers,
    current_settings,
    key_from_environment,
    setting_origin,
)
from addons.flow_data import REQUESTED_PORT, is_own_port
from addons.identity import USER_AGENT
from addons.ingress import OPENAI_HOSTS, bearer_token, is_own_url, self_connection_step
from addons.relay_health import LOOPBACK_HOSTS
from addons.routing.codex_cli import codex_version
from addons.routing.key_origin import KEY_STATUSES, KeyOrigin
from addons.routing.model_lists import ModelList, cached_check, latest_models
from addons.routing.upstream_check import UpstreamCheck, names_version
from translate import BadRequest, CatalogModel, Provider, url_origin

DIALECT_PATHS = {"chat": "/chat/completions", "responses": "/responses"}  # after the base URL
CODEX_PATH = "/codex"  # where the service behind ChatGPT accounts serves Codex
NO_KEY = "none"  # a client's key in place of one: clients need a key, the relay does not
CLIENT_KEY = "the client's request"  # for messages about a key that the client sends
API_KEY_VARIABLE, API_KEY_OPTION = "CODEX_RELAY_API_KEY", "relay_api_key"  # the same setting


@dataclass(frozen=True)
class Target:
    provider: Provider
    url: str  # the base URL, without a slash at the end
    key: str | None = field(default=None, repr=False)
    lease: Lease | None = None  # of an account, in place of a key
    key_origin: KeyOrigin | None = None  # where the key comes from; None for accounts


def request_target(flow: HTTPFlow) -> Target:
    """The upstream of a request, apart from its model: that of the port at which it came in, else
    the configured one. Raises BadRequest."""
    target = target_by_name(name) if (name := provider_at_port(flow)) else main_target()
    if target.key or target.provider.accounts or not (key := client_provider_key(flow, target.url)):
        return target
    return replace(target, key=key, key_origin=KeyOrigin(CLIENT_KEY))


def main_target() -> Target:
    """The configured upstream, else that of the accounts, else the demonstration; with the key of
    the settings, if any. Raises BadRequest."""
    settings = current_settings()
    if not has_configured_provider(settings) and (target_of_accounts := account_target()):
        return target_of_accounts
    provider, url = default_provider(settings)
    if provider.accounts:
        return target_by_name(provider.name)
    return target_with_key(provider, url, takes_api_key=True)


def displayed_target(flow: HTTPFlow) -> Target:
    """`request_target` for display; its URL is "" if the upstream cannot be reached."""
    try:
        return request_target(flow)
    except BadRequest:
        name = current_settings().provider or "generic"
        return Target(available_providers()[name], "")


def provider_at_port(flow: HTTPFlow) -> str | None:
    """The name of the provider that the request's port belongs to, None for the main port."""
    request_port = flow.metadata.get(REQUESTED_PORT) or flow.client_conn.sockname[1]
    ports = current_settings().ports
    return next((name for name, port in ports if port == request_port), None)


def target_by_name(name: str) -> Target:
    """The provider at its usual URL, with its usual key. Raises BadRequest if it has no URL."""
    provider, settings = available_providers()[name], current_settings()
    if provider.accounts:
        return Target(configured_provider(provider), settings.chatgpt_base + CODEX_PATH)
    is_default = name == settings.provider
    url = settings.upstream if is_default else ""
    if not url and not provider.base_urls:
        raise BadRequest(f"{provider.title} has no base_urls in its table, so it cannot be reached")
    url = url or provider.base_urls[0]
    return target_with_key(provider, url, takes_api_key=is_default)


def target_with_key(provider: Provider, url: str, *, takes_api_key: bool) -> Target:
    """The provider at this URL, with its key. `takes_api_key`: whether `relay_api_key` is its."""
    profile = configured_provider(provider)
    variables = key_variables(provider, url)
    places = (*(variables or [API_KEY_VARIABLE]), API_KEY_OPTION) if takes_api_key else variables
    if takes_api_key and (key := current_settings().api_key.get_secret_value()):
        return Target(profile, url, key, key_origin=KeyOrigin(setting_origin("api_key"), places))
    for name in variables:
        if key := key_from_environment(name) or "":
            return Target(profile, url, key, key_origin=KeyOrigin(name, places))
    return Target(profile, url, key_origin=KeyOrigin("", places))


def account_target() -> Target | None:
    """The provider that accounts serve, None if no account is logged in."""
    providers = available_providers().items()
    names = (name for name, provider in providers if provider.accounts)
    return next(map(target_by_name, names), None) if account_summaries() else None


def is_target_ready(target: Target) -> bool:
    """Whether requests can be sent: the target has its key, or may need none."""
    if target.provider.accounts:
        return bool(account_summaries())
    is_local = url_host(target.url).startswith("localhost:")
    return bool(target.key) or is_local or not target.provider.key_env


def configured_provider(provider: Provider) -> Provider:
    """The provider without the quirks and tools that the settings switch off."""
    settings = current_settings()
    return provider.switch_off(settings.quirks_off, settings.tools_off)


def has_configured_provider(settings: Settings) -> bool:
    """Whether the user has chosen an upstream or set the key of any provider."""
    return bool(settings.upstream or settings.provider or additional_providers())


def default_provider(settings: Settings) -> tuple[Provider, str]:
    """The provider and its base URL; the demonstration if nothing is configured."""
    providers = available_providers()
    provider = providers.get(settings.provider)
    if settings.upstream:
        return provider_for_url(provider, settings.upstream), settings.upstream
    provider = provider or next((providers[name] for name in additional_providers()), None)
    if provider and provider.base_urls:
        return provider, provider.base_urls[0]
    return providers["demo"], demo.demo_url()


def provider_for_url(provider: Provider | None, url: str) -> Provider:
    """The provider that the settings name, else the one that the URL belongs to. A provider
    without URLs and hosts of its own takes the URL's host."""
    if provider is None:
        return recognise_provider(url)
    is_hostless = not provider.base_urls and not provider.hosts
    return provider.at_host(url_host_and_port(url)) if is_hostless else provider


def recognise_provider(url: str) -> Provider:
    """The provider that serves the URL's host, else the generic one."""
    providers = available_providers()
    matches = (provider for provider in providers.values() if serves_url(provider, url))
    return next(matches, providers["generic"].at_host(url_host_and_port(url)))


def serves_url(provider: Provider, url: str) -> bool:
    """Whether the URL's host is one of the provider's. Paths and ports differ from version to
    version, so they do not matter."""
    host = url_host(url)
    return any(url_host(base) == host for base in provider.base_urls) or any(
        fnmatchcase(host, pattern) for pattern in provider.hosts
    )


def url_host_and_port(url: str) -> str:
    return url_origin(url).partition("//")[2]


@cache
def url_host(url: str) -> str:
    """The host of a URL; for this machine with the port, as many servers run on it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"localhost:{parts.port}" if host in LOOPBACK_HOSTS else host


def key_variables(provider: Provider, url: str) -> tuple[str, ...]:
    """The environment variables that may hold the key for this URL: the provider's, for its own
    hosts only."""
    return provider.key_env if serves_url(provider, url) else ()


def client_provider_key(flow: HTTPFlow, url: str) -> str | None:
    """The provider's key that a client sends to our own port, as Codex does with `env_key`."""
    is_codex_login = "chatgpt-account-id" in flow.request.headers
    if not is_own_port(flow) or is_codex_login or current_settings().client_key:
        return None
    token = bearer_token(flow)
    if is_openai_token(token) and urlsplit(url).hostname not in OPENAI_HOSTS:
        return None
    return token if token and token != NO_KEY else None


async def list_target_models(target: Target) -> ModelList:
    """The models that the upstream lists for this target's key; None if it gives no list."""
    return (await check_target(target)).models


def seen_models(target: Target) -> list[CatalogModel]:
    """The models that this target's upstream has listed, as far as the relay has asked it."""
    headers = target.provider.headers | credential_headers(target)
    return latest_models(target.url, headers) or []


async def check_target(target: Target) -> UpstreamCheck:
    """The models that the upstream lists for this target's key, or why there is no list."""
    if own_check := check_own_url(target.url):
        return own_check
    provider = target.provider
    query = {"client_version": codex_version()} if provider.list_version else {}
    if not provider.accounts:
        headers = provider.headers | credential_headers(target)
        return await cached_check(target.url, headers, query, target.key_origin)
    headers = provider.headers | await any_account_headers()
    check = await cached_check(target.url, headers, query)
    if check.status in KEY_STATUSES:
        fault = f"the login was refused ({check.status})"
        check = replace(check, fault=fault, next_step="log in again at the relay's /auth/login")
    known_models = [CatalogModel(name) for name in provider.known_models]
    return replace(check, models=check.models or known_models)


def check_own_url(url: str) -> UpstreamCheck | None:
    """The result for an upstream that is this relay itself; None for any other."""
    if not is_own_url(url):
        return None
    fault = f"the upstream {url} is this relay itself"
    return UpstreamCheck(url, None, fault=fault, next_step=self_connection_step(urlsplit(url).port))


async def provider_for_model(target: Target, model: str) -> Provider:
    """The provider with the model's own context window, if the model list states one."""
    models = await list_target_models(target) or []
    window = next((entry.context_window for entry in models if entry.id == model), None)
    if not window:
        return target.provider
    return target.provider.model_copy(update={"context_window": window})


def lacks_version(url: str, provider: Provider) -> bool:
    """Whether the URL may be wrong for want of a /v1: it is none that the provider has."""
    return url not in provider.base_urls and not names_version(url)


def credential_headers(target: Target) -> dict[str, str]:
    """The headers with the key or the account's tokens. They are never set on the flow, so that no
    page, dump or log has them."""
    if target.lease:
        return target.lease.credential_headers()
    return target.provider.key_headers(target.key)


def upstream_headers(provider: Provider) -> dict[str, str]:
    """All other headers of the upstream request. None of them comes from the client."""
    return {
        **provider.headers,
        "accept": "text/event-stream",
        "accept-encoding": "identity",  # a compressed stream cannot be translated as it arrives
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }
