"""Requests, flows and pages for the tests of the views."""

import base64
import json
from pathlib import Path
from typing import Any

from mitmproxy import contentviews
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow, tutils

from addons.observe import CLIENT_SIDE, PAIR_SIDE
from addons.views.compare_view import SideNames
from addons.views.stream_parsing import ArrivalTimes
from addons.views.stream_view import stream_page
from addons.views.text import join_page
from addons.views.turn_view import request_page
from tests.addons.proxy import Answer, Client
from tests.translate.support import Json
from translate import Envelope, seal_envelope

SIDE_NAMES = SideNames("client", "provider")
PIXEL = base64.b64encode((Path(__file__).parents[2] / "codex" / "pixel.png").read_bytes()).decode()
PIXEL_URL = f"data:image/png;base64,{PIXEL}"

SEALED = seal_envelope(
    Envelope("account", "gpt-5.5", {"item": {"summary": [{"text": "First I look."}]}})
)
SEALED_DETAIL = {"type": "reasoning.encrypted", "id": "rs_1", "index": 0, "data": SEALED}
IMAGE_PART = {"type": "image_url", "image_url": {"url": PIXEL_URL}}
CHAT_REQUEST: Json = {
    "model": "gpt-5.5",
    "stream": True,
    "stream_options": {"include_usage": True},
    "reasoning_effort": "high",
    "max_completion_tokens": 9,
    "tools": [
        {"type": "function", "function": {"name": "weather", "parameters": {}}},
        {"type": "custom", "custom": {"name": "note"}},
    ],
    "functions": [{"name": "old"}],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "Rome?"}, IMAGE_PART]},
        {"role": "assistant", "content": "", "reasoning_details": [SEALED_DETAIL], "tool_calls": [
            {"id": "a", "type": "function",
             "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
            {"id": "b", "type": "custom", "custom": {"name": "note", "input": "one\ntwo"}},
        ]},
        {"role": "tool", "tool_call_id": "b", "content": "noted"},
        {"role": "tool", "tool_call_id": "a", "content": "Sunny."},
        {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}},
        {"role": "function", "name": "old", "content": "gone"},
        {"role": "assistant", "content": "No.", "refusal": "I cannot."},
    ],
}  # fmt: skip


class FlowRecorder:
    """An addon that records the clients' flows as they end."""

    def __init__(self) -> None:
        self.flows: list[HTTPFlow] = []

    def response(self, flow: HTTPFlow) -> None:
        self.flows.append(flow)

    error = response


async def ask_chat(port: int, **fields: Any) -> Answer:
    async with Client.connect(port) as client:
        body = json.dumps({**CHAT_REQUEST, **fields}).encode()
        return await client.ask("/v1/chat/completions", body)


def encode_json(body: Any) -> bytes:
    return json.dumps(body).encode()


def request_text(body: Json, record: Json | None = None) -> str:
    """The page of the view `Turn` for a request."""
    return join_page(request_page(encode_json(body), record or {}))


def stream_text(body: bytes, times: Any = (), record: Json | None = None) -> str:
    """The page of the view `Stream`."""
    return join_page(stream_page(body, ArrivalTimes(times), record or {}))


def relayed_flow(request: bytes, response: bytes, **metadata: Any) -> HTTPFlow:
    flow = tflow.tflow(req=tutils.treq(content=request), resp=tutils.tresp(content=response))
    flow.response.headers["content-type"] = flow.request.headers["content-type"] = "x/y"
    flow.metadata |= {PAIR_SIDE: CLIENT_SIDE, **metadata}
    return flow


def view_text(message: Any, flow: HTTPFlow, name: str = "auto") -> tuple[str | None, str]:
    """The name and the text of the view; by default of the one that mitmproxy chooses."""
    result = contentviews.prettify_message(message, flow, name)
    return result.view_name, result.text
