"""How many tokens the input of a request has, without sending it, as in OpenAI's API."""

from mitmproxy.http import HTTPFlow

from addons.config import current_settings, translation_limits
from addons.flow_data import client_name
from addons.ingress import answer_json, decoded_body
from addons.storage import load_history, resolve_references
from translate import decode_request, estimate_input_tokens


async def answer_input_tokens(flow: HTTPFlow) -> None:
    """The answer is marked as an estimate, as in the `usage` of a reply whose provider reports
    none."""
    owner, limits = client_name(flow), translation_limits(current_settings())
    body = decode_request(await decoded_body(flow), limits)
    history = await load_history(body.get("previous_response_id"), owner)
    tokens = estimate_input_tokens(await resolve_references(body, owner), history)
    count = {"object": "response.input_tokens", "input_tokens": tokens, "estimated": True}
    answer_json(flow, count)
