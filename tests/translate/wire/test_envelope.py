"""Envelopes come back from clients: the relay opens those in its own form, up to a size."""

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import OBJECTS, Json
from translate.wire.envelope import MAX_BYTES, VERSION_TAG, Envelope, open_envelope, seal_envelope


def pack_bytes(data: bytes) -> str:
    return VERSION_TAG + base64.urlsafe_b64encode(zlib.compress(data)).decode()


@given(st.text(), st.text(), OBJECTS)
def test_sealed_envelope_is_opened(provider: str, model: str, state: Json) -> None:
    envelope = Envelope(provider, model, state)
    assert open_envelope(seal_envelope(envelope)) == envelope
    assert seal_envelope(envelope) == seal_envelope(Envelope(provider, model, dict(state)))


SEALED = seal_envelope(Envelope("a", "b", {"reasoning": "c" * 50}))


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        "",
        "gAAAAABinvented",
        VERSION_TAG,
        VERSION_TAG + "!!!",
        VERSION_TAG + "é",
        SEALED[:-8],
        SEALED.removeprefix(VERSION_TAG),
        SEALED.replace("relay1", "relay2"),
        pack_bytes(b""),
        pack_bytes(b"[]"),
        pack_bytes(b"{}"),
        pack_bytes(b'{"provider":"a","model":"b","state":5}'),
        pack_bytes(b"\xff"),
        pack_bytes(b'{"provider":"a","model":"b"}'),
        pack_bytes(b'"x"'),
        pack_bytes(b"[" * 50_000),
    ],
)
def test_text_that_the_relay_did_not_seal_is_not_opened(text: object) -> None:
    assert open_envelope(text) is None


@given(st.integers(len(VERSION_TAG), len(SEALED) - 1), st.characters(max_codepoint=255))
def test_tampering_never_raises(at: int, character: str) -> None:
    open_envelope(SEALED[:at] + character + SEALED[at + 1 :])


def test_decompression_bomb_is_not_unpacked() -> None:
    assert (
        open_envelope(pack_bytes(b'{"provider":"a","model":"b","state":{"x":"' + b"0" * MAX_BYTES))
        is None
    )


@pytest.mark.parametrize("filling", [b"0", b"\\n", b"[]"])
def test_many_small_bombs_hold_no_more_than_the_request_allows(filling: bytes) -> None:
    """A request of 64 MB could hold hundreds of envelopes that unpack to the limit each."""
    content = b'{"provider":"a","model":"b","state":{"x":"' + filling * (1 << 20) + b'"}}'
    packed = zlib.compress(content)
    assert len(content) > 100 * len(packed) and len(content) < MAX_BYTES
    assert open_envelope(pack_bytes(content)) is None


@pytest.mark.parametrize("size", [10, 1000, 16 << 10, 1 << 20])
def test_text_that_repeats_itself_comes_back(size: int) -> None:
    envelope = Envelope("a", "b", {"reasoning": "no " * size})
    sealed = seal_envelope(envelope)
    assert open_envelope(sealed) == envelope
