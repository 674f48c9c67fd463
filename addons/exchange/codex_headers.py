"""Headers of Codex's that go on to a service of Codex's own, and those of the service that come
back: each of the latter says whose it is, as another account has no use for it."""

from collections.abc import Iterable
from hashlib import blake2s

from mitmproxy.http import Headers

from translate import Provider


def up(headers: Headers, provider: Provider) -> dict[str, str]:
    """Of a request, with what the service said earlier, if it was this one."""
    found, own = chosen(headers, provider.client_headers), f"{mark(provider)}."
    said = {name: value for name, value in found.items() if name in provider.reply_headers}
    heard = {k: v.removeprefix(own) for k, v in said.items() if v.startswith(own)}
    return {name: value for name, value in found.items() if name not in said} | heard


def down(headers: Headers, provider: Provider) -> dict[str, str]:
    """Of its reply."""
    said = chosen(headers, provider.reply_headers)
    return {name: f"{mark(provider)}.{value}" for name, value in said.items()}


def mark(provider: Provider) -> str:
    """Of an account, which it does not name."""
    return blake2s(provider.identity.encode(), digest_size=6).hexdigest()


def chosen(headers: Headers, names: Iterable[str]) -> dict[str, str]:
    """Those that are there."""
    return {name: headers[name] for name in names if name in headers}
