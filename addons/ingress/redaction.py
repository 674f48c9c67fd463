"""Keys, tokens, cookies and account ids: what whoever reads flows, files or logs need not see.

The flow shows a mask from its first moment on. What stood there is kept beside it, for our own use
and for the transport, which puts it back as a message leaves.
"""

import re
from collections.abc import Iterable
from typing import Any

from mitmproxy.http import HTTPFlow, Message

from addons.config import addon as config
from addons.flow_data import MASK, hidden_of
from addons.ingress.routes import OPENAI
from addons.transport import relay_stream as transport

SHORTEST = 8  # characters of a key that is looked for in texts; a local server's may be a word
NAMES = (
    *("authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key"),
    *("cookie", "set-cookie", "chatgpt-account-id", "openai-organization", "openai-project"),
)

# Shapes of keys and tokens in texts.
SHAPES = re.compile(
    r"\b(?:sk|rk|pk|gsk|xai|hf|glpat|sess)[-_][A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{30,}"
    r"|\bgithub_pat_\w{30,}|\bxox[abeprs]-[A-Za-z0-9-]{10,}|\bA(?:KIA|SIA)[0-9A-Z]{16}\b"
    r"|\bAIza[\w-]{35}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----"
    r"|(?<=[Bb]earer )[\w.~+/=-]{16,}",
    re.S,
)


def hide(message: Message, kept: dict[str, list[str]]) -> None:
    """Mask the headers, and keep what stood there."""
    for name in NAMES:
        values = message.headers.get_all(name)
        if values and name not in kept:
            kept[name] = values
            message.headers.set_all(name, [mask(value) for value in values])


def mask(value: str) -> str:
    """The scheme stays, as it tells how a key was brought."""
    scheme, space, _ = value.partition(" ")
    return f"{scheme} {MASK}" if space and scheme.isalpha() else MASK


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without these secrets, and without what looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = text.replace(secret, MASK)
    return SHAPES.sub(MASK, text)


def all_masked(value: Any, secrets: Iterable[str] = ()) -> Any:
    """The same for every text in a JSON value."""
    match value:
        case str():
            return masked(value, secrets)
        case dict():
            return {name: all_masked(one, secrets) for name, one in value.items()}
        case list():
            return [all_masked(one, secrets) for one in value]
    return value


class Redact:
    """Last of our addons, so that those before it have read what they need."""

    def requestheaders(self, flow: HTTPFlow) -> None:
        if concerned(flow):
            hide(flow.request, hidden_of(flow).request)

    def responseheaders(self, flow: HTTPFlow) -> None:
        if concerned(flow) and flow.response:
            hide(flow.response, hidden_of(flow).response)


def concerned(flow: HTTPFlow) -> bool:
    """Flows to us and to OpenAI's hosts; others are not ours to change."""
    ours = transport.own(flow) or flow.request.pretty_host.lower().rstrip(".") in OPENAI
    return bool(ours and flow.live and config.settings().redact)
