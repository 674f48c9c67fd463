"""What we put into `encrypted_content`, so that state travels with the client.

Clients treat the field as opaque and send it back verbatim, also after a restart or a resume.
Form: a version tag, then base64url of compressed JSON `{provider, model, state}`.
"""

import base64
import zlib
from dataclasses import dataclass
from typing import Any

from translate.wire import codec

TAG = "relay1."
LIMIT = 64 << 20  # bytes after decompression: far above any turn, far below a bomb


@dataclass(frozen=True)
class Envelope:
    provider: str
    model: str
    state: dict[str, Any]


def seal(envelope: Envelope) -> str:
    """Equal envelopes give equal text."""
    body = codec.dumps(
        {"provider": envelope.provider, "model": envelope.model, "state": envelope.state}
    )
    return TAG + base64.urlsafe_b64encode(zlib.compress(body, 6)).decode()


def unseal(text: object) -> Envelope | None:
    """The envelope in `encrypted_content`, or None for anything that we did not seal."""
    if not isinstance(text, str) or not text.startswith(TAG):
        return None
    try:
        packed = base64.urlsafe_b64decode(text[len(TAG) :])
        body = codec.loads(zlib.decompressobj().decompress(packed, LIMIT))
        return Envelope(str(body["provider"]), str(body["model"]), dict(body["state"]))
    except (ValueError, TypeError, KeyError, zlib.error):
        return None
