"""The base of the views: every view shows something, for any body and any metadata."""

import time
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.contentviews import Metadata
from mitmproxy.test import taddons

from addons.observe import PAIR_SIDE, PIECE_TIMES, RECORD, UPSTREAM_SIDE
from addons.observe.flow_pair import register_pair
from addons.views import Views
from addons.views.base import MAX_READ_BYTES, ShownMessage, decoded_body, shown_message
from addons.views.dialects import MAX_ENTRIES
from addons.views.stream_parsing import MAX_EVENTS
from addons.views.text import PAGE_LIMIT
from tests.addons.views.support import encode_json, relayed_flow, view_text
from tests.translate.support import VALUES, chunk
from tests.translate.support import stream as chat

VIEW_NAMES = ("turn", "stream", "both sides", "catalog")


@pytest.fixture(scope="module")
def views() -> Iterator[Views]:
    with taddons.context():
        addon = Views()
        addon.load(None)
        yield addon
        addon.done()


def assert_all_show(body: bytes, partner_body: bytes, **metadata: Any) -> None:
    """Assert that no view fails for these bodies."""
    flow = relayed_flow(body, body, **metadata)
    upstream = relayed_flow(partner_body, partner_body)
    register_pair(flow, upstream)
    for name in VIEW_NAMES:
        for message in (flow.request, flow.response):
            assert "Couldn't parse as" not in view_text(message, flow, name)[1]


ITEMS = st.dictionaries(
    st.sampled_from(
        ["type", "role", "content", "text", "input", "output", "arguments", "call_id", "name",
         "tools", "tool_calls", "function", "delta", "choices", "item", "response", "usage",
         "error", "message", "summary", "encrypted_content", "image_url", "messages", "data",
         "id", "reasoning_content", "finish_reason", "output_index", "models", "slug",
         "function_call", "custom", "functions", "reasoning_details", "annotations", "images"]
    ),
    st.recursive(
        VALUES | st.sampled_from(["message", "function_call", "reasoning", "tool", "user",
                                  "function", "custom", "assistant", "reasoning.encrypted",
                                  "response.completed", "response.x.delta", "compaction"]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "text", "id", "url", "name", "function",
                                           "arguments", "content", "message", "delta", "custom",
                                           "input", "data", "url_citation", "refusal"]), inner,
                          max_size=4),
        max_leaves=10,
    ),
)  # fmt: skip


@given(body=ITEMS, partner=ITEMS | st.lists(ITEMS, max_size=2), record=VALUES)
def test_any_json_is_shown(views: Views, body: Any, partner: Any, record: Any) -> None:
    bodies = encode_json(body), encode_json(partner)
    assert_all_show(*bodies, **{RECORD: record, PIECE_TIMES: record})
    assert_all_show(b"".join(b"data: %s\n\n" % part for part in bodies), bodies[0])


@given(body=st.binary(max_size=200), times=VALUES)
def test_any_bytes_are_shown(views: Views, body: bytes, times: Any) -> None:
    assert_all_show(body, b"data: " + body, **{PIECE_TIMES: times})


def test_bodies_that_are_not_json_are_shown(views: Views) -> None:
    flow = relayed_flow(b'{"model": "m", "input": [', b"<html>Bad gateway</html>")
    assert '{"model": "m", "input": [' in view_text(flow.request, flow)[1]
    assert "Bad gateway" in view_text(flow.response, flow, "turn")[1]


@pytest.mark.parametrize("shape", ["one", "many", "image", "stream", "deltas"])
def test_eight_megabytes_are_shown_soon(views: Views, shape: str) -> None:
    body = large_body(shape)
    assert len(body) > 8_000_000
    flow, upstream = relayed_flow(body, body), relayed_flow(body, body)
    register_pair(flow, upstream)
    for name in ("turn", "stream", "both sides"):
        message = flow.response if shape in ("stream", "deltas") else flow.request
        start = time.process_time()
        _, text = view_text(message, flow, name)
        assert time.process_time() - start < 3  # s of work; measured: less than one
        assert len(text) < 2 * PAGE_LIMIT


def large_body(shape: str) -> bytes:
    if shape == "one":
        return encode_json({"input": "word " * 1_700_000})
    if shape == "many":
        items = [{"role": "user", "content": f"{n} " * 400} for n in range(5000)]
        return encode_json({"input": items})
    if shape == "image":
        url = "data:image/png;base64," + "QUJD" * 2_100_000
        part = {"type": "input_image", "image_url": url}
        return encode_json({"input": [{"role": "user", "content": [part]}]})
    if shape == "stream":
        return chat(*[chunk(content=f"{n} " * 20) for n in range(46_000)])
    event = {"type": "response.output_text.delta", "output_index": 0, "delta": "word "}
    return b"".join(b"event: x\ndata: %s\n\n" % encode_json(event) for _ in range(90_000))


def test_record_is_found_from_both_flows() -> None:
    client = relayed_flow(b"", b"", **{RECORD: {"provider": "kimi"}})
    upstream = relayed_flow(b"", b"")
    register_pair(client, upstream)
    assert upstream.metadata[PAIR_SIDE] == UPSTREAM_SIDE
    for flow in (client, upstream):
        message = shown_message(Metadata(flow=flow, http_message=flow.request))
        assert message.is_request and message.is_relayed
        assert message.record == {"provider": "kimi"}
        assert message.client_and_upstream() == (client, upstream)


def test_message_without_a_flow_is_not_relayed() -> None:
    message = ShownMessage(None)
    assert not message.is_relayed and message.record == {} and message.partner is None
    assert decoded_body(None) == b""


def test_large_body_is_cut_and_the_page_says_so(views: Views) -> None:
    wire = chat(*[chunk(content=f"{n} ") for n in range(1000)])
    stream = wire * (20_000_000 // len(wire))
    flow = relayed_flow(b"", stream)
    for name in ("turn", "stream", "both sides"):
        page = view_text(flow.response, flow, name)[1]
        assert "raw` has it all" in page or "other flow" in page, page[-300:]
    whole = b'{"messages": [{"role": "user", "content": "' + b"x" * MAX_READ_BYTES + b'"}]}'
    flow = relayed_flow(whole, b"")
    page = view_text(flow.request, flow, "turn")[1]
    assert "it has 8.4 MB, and a view reads 8.4 MB at most" in page


def test_many_entries_and_events_are_cut_and_the_page_says_so(views: Views) -> None:
    body = encode_json({"input": [{"content": "x"}] * (MAX_ENTRIES + 5)})
    flow = relayed_flow(body, b"data: 1\n\n" * (MAX_EVENTS + 5))
    assert "5 more, which are not read" in view_text(flow.request, flow, "turn")[1]
    assert "are not read" in view_text(flow.response, flow, "stream")[1]


def test_pages_have_no_control_characters(views: Views) -> None:
    body = encode_json({"messages": [{"role": "\x1b[31m", "content": "a\x07b\x9b2J\u202ec\td\ne"}]})
    flow = relayed_flow(body, body)
    page = view_text(flow.request, flow, "turn")[1]
    assert all(row.isprintable() for row in page.split("\n")), page


@pytest.mark.parametrize("start", [b"data: ", b'{"input": "'])
def test_bomb_in_a_capture_is_not_unpacked(views: Views, start: bytes) -> None:
    """A view of one flow decodes the other flow of the pair itself."""
    flow = relayed_flow(b"{}", b"{}")
    assert flow.response
    flow.response.headers["content-encoding"] = "gzip"
    flow.response.raw_content = zlib.compress(start + bytes(200 << 20), wbits=31)
    tracemalloc.start()
    try:
        if start.startswith(b"data"):
            assert len(decoded_body(flow.response)) == MAX_READ_BYTES
        else:
            with pytest.raises(ValueError, match="a view reads"):
                decoded_body(flow.response)
        assert tracemalloc.get_traced_memory()[1] < 5 * MAX_READ_BYTES
    finally:
        tracemalloc.stop()


def test_body_with_a_broken_encoding_is_shown_as_it_is() -> None:
    flow = relayed_flow(b"{}", b"{}")
    assert flow.response
    flow.response.headers["content-encoding"] = "gzip"
    flow.response.raw_content = b"no gzip"
    assert decoded_body(flow.response) == b"no gzip"
    flow.response.headers["content-encoding"] = "gzip, unknown"
    assert decoded_body(flow.response) == b"no gzip"
    assert decoded_body(None) == b""
