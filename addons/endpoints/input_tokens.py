"""How many tokens the input of a request has, without sending it, as in OpenAI's API."""

from functools import partial

from mitmproxy.http import HTTPFlow

from addons.config import current_settings, translation_limits
from addons.flow_data import client_name
from addons.ingress import answer_json, request_content
from addons.large_work import run_sized
from addons.storage import load_history, resolve_references
from translate import decode_request, estimate_input_tokens, rough_size


async def answer_input_tokens(flow: HTTPFlow) -> None:
    """The answer is marked as an estimate, as in the `usage` of a reply whose provider reports
    none."""
    owner, limits = client_name(flow), translation_limits(current_settings())
    content = await request_content(flow)
    body = await run_sized(len(content), partial(decode_request, content, limits))
    history = await load_history(body.get("previous_response_id"), owner)
    body = await resolve_references(body, owner)
    size = len(content) + rough_size(history or ())
    tokens = await run_sized(size, partial(estimate_input_tokens, body, history))
    count = {"object": "response.input_tokens", "input_tokens": tokens, "estimated": True}
    answer_json(flow, count)
