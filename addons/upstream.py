"""Which provider answers, where it lives, whose key it gets and what it calls the model."""

import base64
import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow

from addons import config, demo, models, transport
from addons.routes import OPENAI
from addons.settings import Settings, known
from translate import Provider

# OpenAI's own: they must never reach another host, whatever the client was set up with.
OPENAI_KEYS = ("sk-proj-", "sk-svcacct-", "sk-admin-")
MARK = "T3BlbkFJ"  # base64 of its name, in keys of every age, also those that are just `sk-…`
USER_AGENT = "codex-relay"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Target:
    provider: Provider
    url: str  # without a slash at the end
    key: str | None = field(repr=False)


def target(flow: HTTPFlow) -> Target:
    """The upstream of a request, as the settings and the client's own key have it."""
    settings = config.settings()
    provider, url = place(settings)
    provider = provider.without(settings.quirks_off)
    key = settings.api_key.get_secret_value()
    return Target(provider, url, key or usual_key(provider, url) or brought(flow, url))


def place(settings: Settings) -> tuple[Provider, str]:
    """The provider and its base URL; the demonstration where nothing is configured."""
    named = known().get(settings.provider)
    if settings.upstream:
        return named or recognised(settings.upstream), settings.upstream
    if named and named.base_urls:
        return named, named.base_urls[0]
    return known()["demo"], demo.url()


def recognised(url: str) -> Provider:
    """By its host, as paths and ports differ from version to version."""
    return next((one for one in known().values() if lives(one, url)), known()["generic"])


def lives(provider: Provider, url: str) -> bool:
    """Whether a provider is at home at this URL."""
    here = home(url)
    return any(home(base) == here for base in provider.base_urls) or any(
        fnmatchcase(here, pattern) for pattern in provider.hosts
    )


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
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or (openais(token) and urlsplit(url).hostname not in OPENAI):
        return None
    return token or None


def openais(token: str) -> bool:
    return token.startswith(OPENAI_KEYS) or MARK in token or bool(openai_claims(token))


def chatgpt_account(token: str) -> str | None:
    """The account in a ChatGPT token's own claims."""
    found = openai_claims(token).get("chatgpt_account_id")
    return found if isinstance(found, str) else None


def openai_claims(token: str) -> dict[str, Any]:
    """What OpenAI says in its tokens. Nothing depends on their being genuine."""
    try:
        claims = token.split(".")[1]
        parsed = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        found = parsed["https://api.openai.com/auth"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


async def model(asked: str, to: Target) -> str:
    """The upstream's name for the model that the client asked for."""
    settings = config.settings()
    for pattern, name in settings.model_map:
        if fnmatchcase(asked, pattern):
            return name
    if not settings.model:
        return asked
    listed = await models.listed(to.url, to.provider.credentials(to.key)) or []
    return asked if any(entry.id == asked for entry in listed) else settings.model


def headers(to: Target) -> dict[str, str]:
    """All that goes up beside the body: built from nothing, so nothing of the client's does."""
    made = {
        "accept": "text/event-stream",
        "accept-encoding": "identity",  # what is compressed cannot be translated as it comes
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }
    return made | to.provider.credentials(to.key)
