"""The envelope that the relay puts into `encrypted_content`, so that clients carry its state.

Clients send the opaque field back verbatim, even after a restart or a resume. It consists of a
version tag and base64url of compressed JSON `{provider, model, state}`. Envelopes are not signed:
what one holds is no more than the client's word.
"""

import base64
import zlib
from dataclasses import dataclass
from typing import Any

from translate.wire import codec

VERSION_TAG = "relay1."
MAX_BYTES = 64 << 20  # bytes after decompression: above any reply
# A request holds as many envelopes as its size allows, so that their contents are bounded by it: to
# so many times the packed bytes, and a little for short envelopes. Texts shrink to a fifth.
MAX_EXPANSION, FREE_BYTES = 16, 16 << 10


@dataclass(frozen=True)
class Envelope:
    provider_identity: str
    model: str
    payload: dict[str, Any]


def seal_envelope(envelope: Envelope) -> str:
    """The text for `encrypted_content`; equal envelopes give equal text."""
    body = codec.dump_json(
        {"provider": envelope.provider_identity, "model": envelope.model, "state": envelope.payload}
    )
    packed = zlib.compress(body, 6)
    if len(body) > max_content_size(packed):  # a model that repeats itself
        packed = zlib.compress(body, 0)
    return VERSION_TAG + base64.urlsafe_b64encode(packed).decode()


def max_content_size(packed: bytes) -> int:
    """How many bytes `packed` may hold."""
    return min(FREE_BYTES + MAX_EXPANSION * len(packed), MAX_BYTES)


def open_envelope(text: object) -> Envelope | None:
    """The envelope in `encrypted_content`, or None for anything that the relay did not seal."""
    if not isinstance(text, str) or not text.startswith(VERSION_TAG):
        return None
    try:
        packed = base64.urlsafe_b64decode(text[len(VERSION_TAG) :])
        content = zlib.decompressobj().decompress(packed, max_content_size(packed))
        body = codec.load_json(content)
        return Envelope(str(body["provider"]), str(body["model"]), dict(body["state"]))
    except (ValueError, TypeError, KeyError, zlib.error):
        return None
