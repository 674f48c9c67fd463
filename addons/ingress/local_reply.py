"""Answers that the relay gives itself, on a flow that then goes no further."""

import json
from typing import Any

from mitmproxy.http import HTTPFlow, Response

from addons.flow_data import hidden_of
from translate import error_body

JSON = {"content-type": "application/json"}


def answer(flow: HTTPFlow, status: int, body: bytes | str, **headers: str) -> None:
    """Answer the flow; a HEAD gets the head alone."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    response = Response.make(status, body, fields)
    if flow.request.method == "HEAD":
        response.raw_content = b""  # and content-length stays
    flow.response = response


def answer_json(flow: HTTPFlow, value: Any, shown: Any = None) -> None:
    """Answer with this value; the flow itself shows another where that is given."""
    body = json.dumps(value).encode()
    answer(flow, 200, body, **JSON)
    if shown is not None and flow.response and flow.response.raw_content:
        hidden_of(flow).body = body
        flow.response.raw_content = json.dumps(shown).encode()


def refuse(
    flow: HTTPFlow,
    status: int,
    message: str,
    code: str | None = None,
    param: str | None = None,
    **headers: str,
) -> None:
    """An error in OpenAI's form."""
    body = error_body(status, message, code=code, param=param)
    answer(flow, status, body, **JSON, **headers)
