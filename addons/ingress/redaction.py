"""Masks keys, tokens, cookies and account ids in all that shows or saves flows, and in logs.

A flow shows the masks from its first hook on. Its `hidden_values` keep the originals for the relay
itself; the transport restores them as the message leaves.
"""

from collections.abc import Iterable
from typing import Any

from mitmproxy.http import HTTPFlow, Message

from addons.config import current_settings
from addons.flow_data import MASK, hidden_values, is_own_port
from addons.ingress.routes import OPENAI_HOSTS
from addons.ingress.secret_patterns import SECRET
from addons.secret_mask import secret_texts

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key"}
    | {"cookie", "set-cookie", "chatgpt-account-id", "openai-organization", "openai-project"}
)


def mask_request(flow: HTTPFlow) -> None:
    if is_redacted(flow):
        mask_headers(flow.request, hidden_values(flow).request_headers)


def mask_response(flow: HTTPFlow) -> None:
    if flow.response and is_redacted(flow):
        mask_headers(flow.response, hidden_values(flow).response_headers)


def is_redacted(flow: HTTPFlow) -> bool:
    """Whether the flow is for the relay or OpenAI's hosts; others are not masked."""
    if not flow.live or not current_settings().redact:
        return False
    return is_own_port(flow) or flow.request.pretty_host.lower().rstrip(".") in OPENAI_HOSTS


def mask_headers(message: Message, originals: dict[str, list[str]]) -> None:
    """Mask the values of secret headers, and put them into `originals` by the header's name."""
    for name in SECRET_HEADERS & {
        field.decode("latin-1").lower() for field, _ in message.headers.fields
    }:
        values = message.headers.get_all(name)
        if not all(value.endswith(MASK) for value in values):
            originals[name] = values
            message.headers.set_all(name, [mask_header_value(value) for value in values])


def mask_header_value(value: str) -> str:
    """The mask, after the scheme if there is one: it shows how the client sent its key."""
    scheme, space, _ = value.partition(" ")
    return f"{scheme} {MASK}" if space and scheme.isalpha() else MASK


def mask_text(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with masks for these secrets, and for whatever looks like a secret."""
    for secret in secret_texts(secrets):
        text = text.replace(secret, MASK)
    return SECRET.sub(MASK, text)


def mask_json(value: Any, secrets: Iterable[str] = ()) -> Any:
    """The JSON value with each of its texts masked; the names of fields stay."""
    match value:
        case str():
            return mask_text(value, secrets)
        case dict():
            return {name: mask_json(item, secrets) for name, item in value.items()}
        case list():
            return [mask_json(item, secrets) for item in value]
    return value
