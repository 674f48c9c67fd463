"""Masks the credentials of an upstream in all that it sends: head, body and errors.

The stream sees only masked events, and so does whatever shows, saves or translates them.
Built on mitmproxy's private API, like `relay_stream`, which explains it.
"""

from collections.abc import Iterable

from mitmproxy.http import Headers
from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http import _events as wire

from addons.secret_mask import SecretMask
from addons.transport.connections import LastResponseData


class BodyRest(wire.ResponseData):
    """What was held back of a body, decoded and masked."""


class UpstreamMask:
    """The credentials that one stream has sent up, and the masking of what comes back."""

    def __init__(self) -> None:
        self._credentials: set[str] = set()  # of all attempts: values of headers
        self._mask = SecretMask(())

    def add_credentials(self, values: Iterable[str]) -> None:
        """Called as each attempt is sent."""
        self._credentials.update(values)
        self._mask = SecretMask(self._credentials)

    def mask_event(self, event: events.Event) -> list[events.Event]:
        """The event with masks, apart from the pieces of a body; before its end or an error, the
        rest of the body."""
        match event:
            case wire.ResponseHeaders(response=response):
                response.headers.fields = self._mask_fields(response.headers)
                response.data.reason = self._mask.mask_content(response.data.reason)
            case wire.ResponseTrailers(trailers=trailers):
                trailers.fields = self._mask_fields(trailers)
            case wire.ResponseEndOfMessage(stream_id=stream):
                return [*self._rest_of_body(stream), event]
            case wire.ResponseProtocolError(stream_id=stream, message=message, code=code):
                error = wire.ResponseProtocolError(stream, self._mask_text(message), code)
                return [*self._rest_of_body(stream), error]
        return [event]

    def mask_piece(self, event: wire.ResponseData, *, has_rest: bool = False) -> None:
        """Mask a decoded piece of the body. Its end may be held back until the next event.

        `has_rest`: more of the same event is still to be decoded.
        """
        event.data = self._mask.feed(event.data)
        if isinstance(event, LastResponseData) and not has_rest:
            event.data += self._mask.close()

    def mask_events(self, data: bytes) -> bytes:
        """Whole events for the client with masks: they may join what came in pieces."""
        return self._mask.mask_content(data)

    def _rest_of_body(self, stream_id: int) -> list[events.Event]:
        rest = self._mask.close()
        return [BodyRest(stream_id, rest)] if rest else []

    def _mask_fields(self, headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
        # Not a set cookie: it renews one that was sent, and is for the relay's accounts only.
        return tuple(
            (name, value if name.lower() == b"set-cookie" else self._mask.mask_content(value))
            for name, value in headers.fields
        )

    def _mask_text(self, text: str) -> str:
        content = text.encode("utf-8", "surrogateescape")
        return self._mask.mask_content(content).decode("utf-8", "surrogateescape")
