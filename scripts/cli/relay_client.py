"""Requests to the running relay."""

from typing import Any

import httpx2

from addons.identity import USER_AGENT

from .errors import CommandFailed
from .running_relay import RunningRelay
from .user_settings import owner_key

TIMEOUT = 30.0  # s for a whole request


def relay_client(relay: RunningRelay, timeout: float = TIMEOUT) -> httpx2.Client:
    """A client for the relay's paths, with the user's own key where the relay asks for one."""
    headers = {"user-agent": USER_AGENT}
    if key := owner_key():
        headers["authorization"] = f"Bearer {key}"
    # The proxy that the environment names may be the relay itself.
    return httpx2.Client(base_url=relay.origin, headers=headers, timeout=timeout, trust_env=False)


def request_json(relay: RunningRelay, method: str, path: str, **options: Any) -> Any:
    """The JSON that the relay answers with. Raises CommandFailed with the relay's own words."""
    try:
        with relay_client(relay) as client:
            reply = client.request(method, path, **options)
            body = reply.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise CommandFailed(
            f"the relay on port {relay.port} gave no answer to {path}: {error}",
            "look at `mitmcodex logs`",
        ) from None
    if reply.is_success:
        return body
    match body:
        case {"error": {"message": str(message)}}:
            raise CommandFailed(message)
    raise CommandFailed(f"the relay answered {reply.status_code} to {path}")
