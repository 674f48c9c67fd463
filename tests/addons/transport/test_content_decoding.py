"""Content-encodings, decoded in bounded steps."""

import tracemalloc

import brotli
import pytest
import zstandard

from addons.transport.content_decoding import (
    DECODERS,
    STEP,
    ZSTANDARD_WINDOW,
    BoundedDecoder,
    BrokenEncoding,
    DecodedTooLarge,
    decompress_bounded,
)
from tests.encoders import ENCODERS, raw_deflate

TEXT = "".join(f"{number}, " for number in range(50_000)).encode()
BOMB_SIZE, LIMIT = 100 << 20, 1 << 20
STEPS_IN_MEMORY = 64 << 20  # bytes: what one slice of Zstandard may decode to, and some room
EVERY_ENCODING = pytest.mark.parametrize("encoding", ENCODERS)


@EVERY_ENCODING
def test_content_is_decoded(encoding: str) -> None:
    assert decompress_bounded(ENCODERS[encoding](TEXT), encoding, len(TEXT)) == TEXT
    assert decompress_bounded(ENCODERS[encoding](b""), encoding.upper(), 0) == b""
    assert decompress_bounded(b"", encoding, 0) == b""


def test_deflate_may_lack_the_header_of_zlib() -> None:
    """Some servers leave it out, against RFC 9110, 8.4.1.2."""
    assert decompress_bounded(raw_deflate(TEXT), "deflate", len(TEXT)) == TEXT


def test_identity_is_bounded_too() -> None:
    for name in ("", "identity", "None"):
        assert decompress_bounded(TEXT, name, len(TEXT)) == TEXT
        with pytest.raises(DecodedTooLarge):
            decompress_bounded(TEXT, name, len(TEXT) - 1)


@EVERY_ENCODING
def test_content_is_decoded_at_every_cut(encoding: str) -> None:
    content = ENCODERS[encoding](b"one, two, three, " * 20)
    for cut in range(len(content) + 1):
        decoder = BoundedDecoder(encoding, 1000)
        assert (
            decoder.feed(content[:cut]) + decoder.feed(content[cut:]) == b"one, two, three, " * 20
        )
        assert decoder.close() == b""
    decoder = BoundedDecoder(encoding, 1000)
    pieces = [decoder.feed(content[at : at + 1]) for at in range(len(content))]
    assert b"".join(pieces) == b"one, two, three, " * 20


@EVERY_ENCODING
@pytest.mark.parametrize("size", [STEP - 1, STEP, STEP + 1, STEP + 200, 3 * STEP])
def test_sizes_around_a_step(encoding: str, size: int) -> None:
    content = b"a" * size
    assert decompress_bounded(ENCODERS[encoding](content), encoding, size) == content


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_several_members_are_decoded(encoding: str) -> None:
    content = ENCODERS[encoding](b"one") + ENCODERS[encoding](b"") + ENCODERS[encoding](TEXT)
    assert decompress_bounded(content, encoding, 3 + len(TEXT)) == b"one" + TEXT
    with pytest.raises(DecodedTooLarge):
        decompress_bounded(content, encoding, 2 + len(TEXT))


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 100, b"nonsense"])
def test_what_follows_the_last_member_of_gzip_is_ignored(tail: bytes) -> None:
    assert decompress_bounded(ENCODERS["gzip"](TEXT) + tail, "gzip", len(TEXT)) == TEXT


@EVERY_ENCODING
def test_broken_content_is_reported(encoding: str) -> None:
    with pytest.raises(BrokenEncoding, match=f"broken {encoding}"):
        decompress_bounded(b"\x07nonsense, which is no encoding" * 3, encoding, 10_000)


@pytest.mark.parametrize("encoding", sorted(ENCODERS.keys() - {"zstd"}))
def test_content_that_ends_in_the_middle_is_reported(encoding: str) -> None:
    with pytest.raises(BrokenEncoding, match="ends in the middle"):
        decompress_bounded(ENCODERS[encoding](TEXT)[:-1], encoding, len(TEXT))


def test_unknown_encodings_are_reported() -> None:
    """mitmproxy would also take any codec of Python's, such as `bz2`, which has bombs as well."""
    for encoding in ("bz2", "utf-8", "gzip, gzip", "rot13"):
        with pytest.raises(BrokenEncoding, match="is not one of br, deflate"):
            BoundedDecoder(encoding, 1)


def test_zstandard_may_not_ask_for_a_large_window() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=25)
    encoder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = encoder.compress(TEXT) + encoder.flush()
    assert ZSTANDARD_WINDOW < 1 << 25
    with pytest.raises(BrokenEncoding, match="too much memory"):
        decompress_bounded(content, "zstd", len(TEXT))


@EVERY_ENCODING
def test_a_bomb_takes_little_memory(encoding: str) -> None:
    bomb = ENCODERS[encoding](b"\0" * BOMB_SIZE)
    tracemalloc.start()
    try:
        with pytest.raises(DecodedTooLarge, match=f"larger than {LIMIT} bytes"):
            decompress_bounded(bomb, encoding, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < STEPS_IN_MEMORY
    finally:
        tracemalloc.stop()


@EVERY_ENCODING
def test_a_stream_is_decoded_in_small_steps(encoding: str) -> None:
    decoder = BoundedDecoder(encoding, BOMB_SIZE)
    sizes = [len(step) for step in decoder.decoded_steps(ENCODERS[encoding](b"\0" * (8 << 20)))]
    assert sum(sizes) == 8 << 20
    is_bounded = encoding != "br" or hasattr(brotli.Decompressor, "can_accept_more_data")
    # Brotli rounds up; before 1.2, a block of one byte repeated is one step, of at most 16 MB.
    assert max(sizes) <= (2 * STEP if is_bounded else 1 << 24)


def test_every_decoder_is_tested() -> None:
    assert DECODERS.keys() == ENCODERS.keys() | {"", "identity", "none", "x-gzip"}
