"""Requests to the running relay."""

import contextlib
import json
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
    reply = send_request(relay, method, path, **options)
    try:
        return reply.json()
    except ValueError as error:
        raise no_answer(relay, path, error) from None


def send_request(relay: RunningRelay, method: str, path: str, **options: Any) -> httpx2.Response:
    """The relay's reply, also if it is a redirection, which is not followed. Raises CommandFailed
    with the relay's own words."""
    try:
        with relay_client(relay) as client:
            reply = client.request(method, path, **options)
    except httpx2.HTTPError as error:
        raise no_answer(relay, path, error) from None
    if reply.is_error:
        raise CommandFailed(error_text(reply.status_code, reply.content, path))
    return reply


def no_answer(relay: RunningRelay, path: str, error: Exception) -> CommandFailed:
    return CommandFailed(
        f"the relay on port {relay.port} gave no answer to {path}: {error}",
        "look at `mitmcodex logs`",
    )


def error_text(status: int, body: bytes, path: str) -> str:
    """The message in an error of the relay."""
    with contextlib.suppress(ValueError):
        match json.loads(body):
            case {"error": {"message": str(message)}}:
                return message
    return f"the relay answered {status} to {path}"
