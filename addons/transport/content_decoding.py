"""Decodes the content-encoding of requests and replies in bounded steps: a few kilobytes of gzip,
deflate, Brotli or Zstandard may stand for gigabytes.

`BoundedDecoder` reads a stream piece by piece, `decompress_bounded` a whole body. Both stop at a
limit of decoded bytes, having taken hardly more memory than that.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Protocol

import brotli  # type: ignore[import-untyped]  # it has no types
import zstandard

STEP = 64 << 10  # bytes that a decoder returns at once, at most
# https://www.rfc-editor.org/rfc/rfc9659: what a decoder must accept, and an encoder may not exceed.
ZSTANDARD_WINDOW = 8 << 20
ZLIB_SLICE, ZSTANDARD_SLICE = 4096, 256  # bytes of input
GZIP_MAGIC = b"\x1f\x8b"
GZIP, ZLIB, RAW_DEFLATE = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
UNBOUNDED_BROTLI_INPUT = 16  # bytes: before Brotli 1.2, its output cannot be limited


class BrokenEncoding(ValueError):
    """The content is not what its content-encoding says, or ends in the middle."""


class DecodedTooLarge(ValueError):
    """The content is larger than the limit when it is decoded."""


class StepDecoder(Protocol):
    """Decodes one encoding, in steps of at most `STEP` bytes."""

    def decode_steps(self, data: bytes) -> Iterator[bytes]:
        """What the next piece of input decodes to. Raises errors of the encoding's library."""

    def is_incomplete(self) -> bool:
        """Whether the input so far needs more to follow."""


class IdentitySteps:
    """No encoding."""

    def decode_steps(self, data: bytes) -> Iterator[bytes]:
        yield data

    def is_incomplete(self) -> bool:
        return False


class ZlibSteps:
    """gzip of one or several members, deflate with the header of zlib, and without."""

    def __init__(self, may_be_raw: bool) -> None:
        self._may_be_raw = may_be_raw
        self._decoder: zlib._Decompress | None = None
        self._head = b""  # input that does not yet show the format

    def decode_steps(self, data: bytes) -> Iterator[bytes]:
        # In slices, as zlib copies the input that it has not yet used at each step.
        for start in range(0, len(data), ZLIB_SLICE):
            yield from self._decode_slice(self._head + data[start : start + ZLIB_SLICE])

    def _decode_slice(self, data: bytes) -> Iterator[bytes]:
        self._head = b""
        while data and (decoder := self._member_decoder(data)):
            step = decoder.decompress(data, STEP)
            while step:
                yield step
                step = b"" if decoder.eof else decoder.decompress(decoder.unconsumed_tail, STEP)
            data = decoder.unused_data

    def _member_decoder(self, data: bytes) -> "zlib._Decompress | None":
        """The decoder of the member that this input belongs to, if there is one."""
        if self._decoder and not self._decoder.eof:
            return self._decoder
        if len(data) < 2:
            self._head = data
            return None
        if self._decoder and not data.startswith(GZIP_MAGIC):
            return None  # what follows the last member is ignored
        self._decoder = zlib.decompressobj(self._window_bits(data))
        return self._decoder

    def _window_bits(self, head: bytes) -> int:
        if head.startswith(GZIP_MAGIC):
            return GZIP
        is_zlib = head[0] & 15 == 8 and (head[0] << 8 | head[1]) % 31 == 0
        return RAW_DEFLATE if self._may_be_raw and not is_zlib else ZLIB

    def is_incomplete(self) -> bool:
        if self._decoder is None:
            return bool(self._head)
        return not self._decoder.eof


class BrotliSteps:
    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()
        self._has_input = False
        try:
            self._decoder.process(b"", output_buffer_limit=STEP)
        except TypeError:
            self._limited = False
        else:
            self._limited = True

    def decode_steps(self, data: bytes) -> Iterator[bytes]:
        self._has_input = self._has_input or bool(data)
        if not self._limited:
            for start in range(0, len(data), UNBOUNDED_BROTLI_INPUT):
                yield self._decoder.process(data[start : start + UNBOUNDED_BROTLI_INPUT])
            return
        step = self._decoder.process(data, output_buffer_limit=STEP)
        while step or not self._decoder.can_accept_more_data():
            yield step
            step = self._decoder.process(b"", output_buffer_limit=STEP)

    def is_incomplete(self) -> bool:
        return self._has_input and not self._decoder.is_finished()


class ZstandardSteps:
    """Zstandard, of one or several frames. Its library does not tell whether the last one ended."""

    def __init__(self) -> None:
        self._output: list[bytes] = []
        decoder = zstandard.ZstdDecompressor(max_window_size=ZSTANDARD_WINDOW)
        sink: Any = SimpleNamespace(write=self._take_step)  # of a file, the library needs this
        self._writer = decoder.stream_writer(sink, write_size=STEP, closefd=False)

    def _take_step(self, data: bytes) -> int:
        self._output.append(bytes(data))
        return len(data)

    def decode_steps(self, data: bytes) -> Iterator[bytes]:
        # Four bytes stand for 128 KB at most, so that the output of each slice is bounded.
        for start in range(0, len(data), ZSTANDARD_SLICE):
            self._writer.write(data[start : start + ZSTANDARD_SLICE])
            steps, self._output = self._output, []
            yield from steps

    def is_incomplete(self) -> bool:
        return False


# content-encoding → its decoder
DECODERS: Mapping[str, Callable[[], StepDecoder]] = {
    "": IdentitySteps,
    "identity": IdentitySteps,
    "none": IdentitySteps,
    "gzip": lambda: ZlibSteps(may_be_raw=False),
    "x-gzip": lambda: ZlibSteps(may_be_raw=False),
    "deflate": lambda: ZlibSteps(may_be_raw=True),
    "deflateraw": lambda: ZlibSteps(may_be_raw=True),
    "br": BrotliSteps,
    "zstd": ZstandardSteps,
}
LIBRARY_ERRORS = (zlib.error, brotli.error, zstandard.ZstdError)


class BoundedDecoder:
    """Decodes a stream in this content-encoding, up to `limit` decoded bytes.

    Raises BrokenEncoding for an encoding that it does not know.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding, self._limit, self._size = encoding.strip().lower(), limit, 0
        if self._encoding not in DECODERS:
            known = ", ".join(sorted(filter(None, DECODERS)))
            raise BrokenEncoding(f"the content-encoding {encoding!r} is not one of {known}")
        self._decoder = DECODERS[self._encoding]()

    def feed(self, data: bytes) -> bytes:
        """What the next piece decodes to. Raises BrokenEncoding and DecodedTooLarge."""
        return b"".join(self.decoded_steps(data))

    def decoded_steps(self, data: bytes) -> Iterator[bytes]:
        """The same in small steps, for a reader that may stop early."""
        try:
            for step in self._decoder.decode_steps(data):
                self._size += len(step)
                if self._size > self._limit:
                    raise DecodedTooLarge(f"larger than {self._limit} bytes when it is decoded")
                yield step
        except LIBRARY_ERRORS as error:
            raise BrokenEncoding(f"broken {self._encoding}: {error}") from None

    def close(self) -> bytes:
        """Raises BrokenEncoding if the stream ends in the middle; there is nothing to return."""
        if self._decoder.is_incomplete():
            raise BrokenEncoding(f"broken {self._encoding}: it ends in the middle")
        return b""


def decompress_bounded(content: bytes, encoding: str, limit: int) -> bytes:
    """A whole body without its content-encoding. Raises BrokenEncoding and DecodedTooLarge."""
    decoder = BoundedDecoder(encoding, limit)
    decoded = decoder.feed(content)
    return decoded + decoder.close()
