from mitmproxy.http import Headers
from mitmproxy.test import tflow

from addons.flow_data import (
    CLIENT_NAME,
    MASK,
    OWN_PORT,
    client_name,
    hidden_values,
    is_own_port,
    restore_hidden_headers,
    sent_header_values,
    with_headers,
)


def test_hidden_values_stay_with_the_flow_but_out_of_its_state() -> None:
    flow = tflow.tflow()
    hidden_values(flow).request_headers["authorization"] = ["Bearer k-secret"]
    assert hidden_values(flow).request_headers == {"authorization": ["Bearer k-secret"]}
    assert "k-secret" not in repr(flow.get_state())
    assert hidden_values(tflow.tflow()).request_headers == {}


def test_sent_header_values_are_the_hidden_ones() -> None:
    flow = tflow.tflow()
    flow.request.headers.set_all("cookie", [MASK, MASK])
    assert sent_header_values(flow, "cookie") == [MASK, MASK]
    hidden_values(flow).request_headers["cookie"] = ["a=1", "b=2"]
    assert sent_header_values(flow, "cookie") == ["a=1", "b=2"]
    assert sent_header_values(flow, "x-absent") == []


def test_restored_headers_have_their_values_and_the_flow_keeps_the_mask() -> None:
    shown = Headers([(b"authorization", f"Bearer {MASK}".encode()), (b"accept", b"*/*")])
    restored = restore_hidden_headers(shown, {"authorization": ["Bearer k"]})
    assert (restored["authorization"], restored["accept"]) == ("Bearer k", "*/*")
    assert shown["authorization"] == f"Bearer {MASK}"


def test_header_that_a_user_changed_or_removed_is_not_restored() -> None:
    hidden = {"authorization": ["Bearer k"], "cookie": ["a=1"]}
    restored = restore_hidden_headers(Headers(authorization="Bearer mine"), hidden)
    assert dict(restored) == {"authorization": "Bearer mine"}


def test_copy_with_other_headers_leaves_the_message_unchanged() -> None:
    request = tflow.tflow().request
    original_headers = request.headers.copy()
    changed = with_headers(request, Headers(accept="*/*"))
    assert dict(changed.headers) == {"accept": "*/*"}
    assert (changed.method, changed.url, changed.content) == ("GET", request.url, request.content)
    changed.method = "POST"
    assert (request.method, request.headers) == ("GET", original_headers)


def test_client_name_and_own_port_are_read_from_the_metadata() -> None:
    flow = tflow.tflow()
    assert (client_name(flow), is_own_port(flow)) == ("", False)
    flow.metadata |= {CLIENT_NAME: "ann", OWN_PORT: True}
    assert (client_name(flow), is_own_port(flow)) == ("ann", True)
