"""Replies that the relay writes itself."""

import json

from mitmproxy.http import HTTPFlow, Response
from mitmproxy.test import tflow

from addons.flow_data import OWN_PORT, hidden_values
from addons.ingress.local_reply import (
    MAX_LENGTH,
    answer_flow,
    answer_json,
    header_text,
    refuse_flow,
)


def reply_of(flow: HTTPFlow) -> Response:
    assert flow.response
    return flow.response


def test_underscores_of_header_names_become_hyphens() -> None:
    flow = tflow.tflow()
    answer_flow(flow, 302, "moved", location="/a", cache_control="no-store")
    reply = reply_of(flow)
    assert (reply.status_code, reply.content) == (302, b"moved")
    assert (reply.headers["location"], reply.headers["cache-control"]) == ("/a", "no-store")


def test_head_gets_the_headers_alone() -> None:
    flow = tflow.tflow()
    flow.request.method = "HEAD"
    answer_flow(flow, 200, "four")
    assert reply_of(flow).raw_content == b""
    assert reply_of(flow).headers["content-length"] == "4"


def test_flow_shows_the_masked_value_and_the_client_gets_the_other() -> None:
    flow = tflow.tflow()
    answer_json(flow, {"id": "secret"}, {"id": "(hidden)"})
    assert json.loads(reply_of(flow).content or b"") == {"id": "(hidden)"}
    assert json.loads(hidden_values(flow).reply_body or b"") == {"id": "secret"}


def test_errors_have_openais_form() -> None:
    flow = tflow.tflow()
    refuse_flow(flow, 405, "Not so.", "method_not_allowed", "path", allow="GET")
    error = json.loads(reply_of(flow).content or b"")["error"]
    assert error["message"] == "Not so."
    assert (error["code"], error["param"]) == ("method_not_allowed", "path")
    assert reply_of(flow).headers["content-type"] == "application/json"
    assert reply_of(flow).headers["allow"] == "GET"


def test_pages_that_may_call_the_relay_may_read_its_errors() -> None:
    flow = tflow.tflow()
    flow.metadata[OWN_PORT] = True
    flow.request.method, flow.request.path = "POST", "/v1/responses"
    flow.request.headers["origin"] = "http://localhost:3000"
    refuse_flow(flow, 401, "No key.")
    headers = reply_of(flow).headers
    assert headers["access-control-allow-origin"] == "http://localhost:3000"


def test_values_are_printable_ascii_of_limited_length() -> None:
    assert header_text("mödel\r\n") == "m?del??"
    assert header_text("x" * (MAX_LENGTH + 1)) == "x" * MAX_LENGTH
