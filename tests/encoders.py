"""The content-encodings that the relay decodes, each with a fast encoder."""

import gzip
import zlib
from collections.abc import Callable, Mapping

import brotli
import zstandard


def raw_deflate(content: bytes) -> bytes:
    return zlib.compress(content, 1, wbits=-zlib.MAX_WBITS)


ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, 1),
    "deflate": lambda content: zlib.compress(content, 1),
    "deflateraw": raw_deflate,
    "br": lambda content: brotli.compress(content, quality=1),
    "zstd": lambda content: zstandard.compress(content, 1),
}
