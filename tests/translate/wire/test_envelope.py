"""The envelope comes back from outside: what we did not seal is not opened."""

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import OBJECTS, Json
from translate.wire.envelope import LIMIT, TAG, Envelope, seal, unseal


def pack(data: bytes) -> str:
    return TAG + base64.urlsafe_b64encode(zlib.compress(data)).decode()


@given(st.text(), st.text(), OBJECTS)
def test_what_is_sealed_is_opened(provider: str, model: str, state: Json) -> None:
    envelope = Envelope(provider, model, state)
    assert unseal(seal(envelope)) == envelope
    assert seal(envelope) == seal(Envelope(provider, model, dict(state)))


SEALED = seal(Envelope("a", "b", {"reasoning": "c" * 50}))


@pytest.mark.parametrize(
    "text",
    [
        None, 5, "", "gAAAAABinvented", TAG, TAG + "!!!", TAG + "é", SEALED[:-8],
        SEALED.removeprefix(TAG), SEALED.replace("relay1", "relay2"), pack(b""), pack(b"[]"),
        pack(b"{}"), pack(b'{"provider":"a","model":"b","state":5}'), pack(b"\xff"),
        pack(b'{"provider":"a","model":"b"}'), pack(b'"x"'), pack(b"[" * 50_000),
    ],
)  # fmt: skip
def test_anything_else_is_not(text: object) -> None:
    assert unseal(text) is None


@given(st.integers(len(TAG), len(SEALED) - 1), st.characters(max_codepoint=255))
def test_tampering_never_raises(at: int, wrong: str) -> None:
    unseal(SEALED[:at] + wrong + SEALED[at + 1 :])


def test_bomb_is_not_unpacked() -> None:
    assert unseal(pack(b'{"provider":"a","model":"b","state":{"x":"' + b"0" * LIMIT)) is None
