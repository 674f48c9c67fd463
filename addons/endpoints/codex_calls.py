"""The calls that Codex makes to OpenAI in addition to its requests for responses."""

from typing import Any

from mitmproxy.http import HTTPFlow

from addons.accounts import chatgpt_account_id
from addons.config import current_settings
from addons.flow_data import MASK, sent_header_values
from addons.ingress import answer_json, bearer_token, refuse_flow


async def answer_account_check(flow: HTTPFlow) -> None:
    """Codex asks where the workspace of its account is, and does not start without an answer."""
    header_ids = sent_header_values(flow, "chatgpt-account-id")
    account_id = chatgpt_account_id(bearer_token(flow)) or (header_ids[0] if header_ids else None)
    if not account_id:
        refuse_flow(flow, 404, "There is no ChatGPT account in this request.")
        return
    masked_check = account_check(MASK) if current_settings().redact else None
    answer_json(flow, account_check(account_id), masked_check)


def account_check(account_id: str) -> dict[str, Any]:
    """The answer for a login with this one account."""
    account = {
        "id": account_id,
        "workspace_backend_origin": "https://chatgpt.com",
        "account_routing_override": "NO_CONSTRAINT",
    }
    return {
        "accounts": [account],
        "account_ordering": [account_id],
        "default_account_id": account_id,
    }


async def answer_upgrade(flow: HTTPFlow) -> None:
    """Only at this status does Codex change to POST at once and silently (0.169)."""
    refuse_flow(flow, 426, "WebSockets are not served; use POST.", "websocket_not_supported")


async def answer_isolated(flow: HTTPFlow) -> None:
    message = "mitmcodex does not send this call to OpenAI; with relay_isolate=off it does."
    refuse_flow(flow, 404, message)
