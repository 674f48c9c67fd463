"""What the upstream repeats of its key; tests/addons/exchange/test_leaks.py has the whole relay."""

import pytest
from mitmproxy.http import Headers, Response
from mitmproxy.proxy.layers.http import _events as wire

from addons.flow_data import MASK
from addons.transport.connections import LastResponseData
from addons.transport.upstream_mask import BodyRest, UpstreamMask

KEY = "k-secret-of-mine"
HIDDEN = MASK.encode()


@pytest.fixture
def mask() -> UpstreamMask:
    upstream_mask = UpstreamMask()
    upstream_mask.add_credentials([f"Bearer {KEY}"])
    return upstream_mask


def test_head_and_trailers_are_masked(mask: UpstreamMask) -> None:
    response = Response.make(403, b"", {"x-key": KEY, "www-authenticate": f'realm="{KEY}"'})
    response.reason = f"No {KEY}"
    [head] = mask.mask_event(wire.ResponseHeaders(1, response))
    assert isinstance(head, wire.ResponseHeaders)
    assert dict(head.response.headers) == {
        "x-key": MASK,
        "www-authenticate": f'realm="{MASK}"',
        "content-length": "0",
    }
    assert head.response.reason == f"No {MASK}"
    response.headers["set-cookie"] = f"a={KEY}"
    mask.mask_event(head)
    assert response.headers["set-cookie"] == f"a={KEY}"  # it goes back to the upstream
    trailers = Headers(x_key=KEY)
    mask.mask_event(wire.ResponseTrailers(1, trailers))
    assert dict(trailers) == {"x-key": MASK}


def test_errors_are_masked(mask: UpstreamMask) -> None:
    error = wire.ResponseProtocolError(1, f"odd: {KEY}\udcff", wire.ErrorCode.CANCEL)
    [masked] = mask.mask_event(error)
    assert masked == wire.ResponseProtocolError(1, f"odd: {MASK}\udcff", wire.ErrorCode.CANCEL)


def test_rest_of_a_body_precedes_its_end(mask: UpstreamMask) -> None:
    first, second = wire.ResponseData(1, b"It is k-sec"), wire.ResponseData(1, b"ret-of-mine, k-se")
    for piece in (first, second):
        mask.mask_piece(piece)
    assert (first.data, second.data) == (b"It is ", HIDDEN + b", ")
    rest, end = mask.mask_event(wire.ResponseEndOfMessage(1))
    assert isinstance(rest, BodyRest) and rest.data == b"k-se"
    assert isinstance(end, wire.ResponseEndOfMessage)
    assert mask.mask_event(end) == [end]


def test_nothing_is_held_back_from_the_last_piece(mask: UpstreamMask) -> None:
    last = LastResponseData(1, b"It is k-se")
    mask.mask_piece(last)
    assert last.data == b"It is k-se"
    end = wire.ResponseEndOfMessage(1)
    assert mask.mask_event(end) == [end]


def test_keys_of_all_attempts_are_masked(mask: UpstreamMask) -> None:
    mask.add_credentials(["k-another-secret", "k"])
    piece = wire.ResponseData(1, f"{KEY}, k-another-secret and k\n".encode())
    mask.mask_piece(piece)
    assert piece.data == HIDDEN + b", " + HIDDEN + b" and k\n"
