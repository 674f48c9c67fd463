"""Replies that the relay writes itself; such a flow reaches no upstream."""

import json
from typing import Any

from mitmproxy.http import HTTPFlow, Response

from addons.flow_data import hidden_values
from addons.ingress.cors import cors_headers
from translate import error_body, printable

JSON_HEADERS = {"content-type": "application/json"}
MAX_LENGTH = 2000  # characters of a header's value: servers and clients limit it


def answer_flow(flow: HTTPFlow, status: int, body: bytes | str, **headers: str) -> None:
    """Reply with this body, or with its headers alone to a HEAD request.

    In the names of `headers`, `_` stands for `-`."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    response = Response.make(status, body, fields | cors_headers(flow))
    if flow.request.method == "HEAD":
        response.raw_content = b""  # content-length stays
    flow.response = response


def answer_json(flow: HTTPFlow, value: Any, masked_value: Any = None) -> None:
    """Reply with this value. The flow itself shows `masked_value`, if there is one."""
    body = json.dumps(value).encode()
    answer_flow(flow, 200, body, **JSON_HEADERS)
    if masked_value is not None and flow.response and flow.response.raw_content:
        hidden_values(flow).reply_body = body
        flow.response.raw_content = json.dumps(masked_value).encode()


def refuse_flow(
    flow: HTTPFlow,
    status: int,
    message: str,
    code: str | None = None,
    param: str | None = None,
    **headers: str,
) -> None:
    """Reply with an error in OpenAI's form. The message may repeat a client's words."""
    body = error_body(status, printable(message), code=code, param=param)
    answer_flow(flow, status, body, **JSON_HEADERS, **headers)


def header_text(value: str) -> str:
    """The value in printable ASCII, as header values are Latin-1 without control characters."""
    return "".join(char if " " <= char <= "~" else "?" for char in value[:MAX_LENGTH])
