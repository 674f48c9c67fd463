"""Rows for translate/wire and translate/providers: JSON, events, errors, leaked calls, lessons."""

import contextlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tests.linear.growth import (
    LinearRow,
    cut_pieces,
    feed_pieces,
    repeat_bytes,
    repeat_to,
)
from tests.translate.support import GENERIC, provider
from translate import learn_from_refusal, printable, read_failure
from translate.providers.quirks import LEAK_FORMATS, LeakedCallReader
from translate.wire import codec, envelope, sse
from translate.wire.errors import BadReply
from translate.wire.json_steps import StepLoader
from translate.wire.split_pairs import PairJoiner

LEAKY = provider(quirks=sorted(LEAK_FORMATS))


def _read_failure(body: bytes) -> None:
    read_failure("Odd", 500, body)


def _learn(body: bytes) -> None:
    learn_from_refusal(GENERIC, 400, body, {"model": "m", "messages": [], "top_k": 1})


def _load_in_steps(data: bytes) -> None:
    StepLoader(data, sys.maxsize).load_value()


def _split_events(body: bytes) -> None:
    list(sse.split_events(body))


HALVES = b'{"type":"x.delta","delta":"\\udf5e\\ud83c"}'


def _join_pairs(deltas: Iterable[bytes]) -> None:
    joiner = PairJoiner(max_values=1 << 30)
    for delta in deltas:
        joiner.feed(delta)
    joiner.flush()


def _until_refused(feed: Callable[[Iterable[bytes]], object]) -> Callable[[Iterable[bytes]], None]:
    def run(pieces: Iterable[bytes]) -> None:
        with contextlib.suppress(BadReply):
            feed(pieces)

    return run


def _lenient(function: Callable[[Any], object]) -> Callable[[Any], None]:
    def run(text: Any) -> None:
        with contextlib.suppress(ValueError):
            function(text)

    return run


ERROR_UNITS = {
    "<": b"<", "<script": b"<script", "<script>": b"<script>", "<style": b"<style ",
    "comments": b"<!--", "spaces": b" ", "quoted": b'<a b="', "closed": b"</script",
    "tokens": b"max_tokens ", "prompt tokens": b"prompt tokens ", "lists": b"[",
    "objects": b'{"error":',
}  # fmt: skip

ERROR_ROWS = [
    LinearRow(f"error text: {name}", _read_failure, repeat_bytes(unit))
    for name, unit in ERROR_UNITS.items()
]

LEAKS = {
    "a tag and spaces": repeat_to(" ", "<tool_call>"),
    "tags": repeat_to("<tool_call>"),
    "tags and spaces": repeat_to("<tool_call>  "),
    "ends": repeat_to("</tool_call> ", "<tool_call>"),
    "functions": repeat_to("<function=", "<tool_call>", "</tool_call>"),
    "open functions": repeat_to("<function=x>", "<tool_call>", "</tool_call>"),
    "parameters": repeat_to(
        "<parameter=x>", "<tool_call><function=f>", "</function></tool_call>"
    ),
    "parameters and lines": repeat_to(
        "<parameter=x>\n\n", "<tool_call><function=f>", "</function></tool_call>"
    ),
    "DSML and spaces": repeat_to(
        " ", '<｜DSML｜invoke name="f"></｜DSML｜invoke>', "<｜DSML｜"
    ),
    "DSML blocks": repeat_to('<｜DSML｜invoke name="f">'),
    "DSML names": repeat_to('<｜DSML｜invoke name="', end="</｜DSML｜invoke>"),
    "DSML marks": repeat_to("<｜DSML｜"),
    "DSML outer tags": repeat_to("<｜DSML｜function_calls>"),
    "DSML words": repeat_to("a", "<｜DSML｜"),
    "DSML parameters": repeat_to(
        '<｜DSML｜parameter name="a">', '<｜DSML｜invoke name="f">', "</｜DSML｜invoke>"
    ),
    "brackets": repeat_to("[TOOL_CALLS]"),
    "brackets and spaces": repeat_to(" ", "[TOOL_CALLS]", "x"),
    "brackets and a name": repeat_to("a", "[TOOL_CALLS]"),
    "brackets and braces": repeat_to("{", "[TOOL_CALLS]"),
    "brackets and ends": repeat_to("]", "[TOOL_CALLS][", "x"),
    "bracketed lists": repeat_to("[TOOL_CALLS][] x"),
    "white space": repeat_to(" "),
    "bars": repeat_to("<｜"),
}  # fmt: skip


def _leak_reader() -> LeakedCallReader:
    return LeakedCallReader(LEAKY, lambda name: True)


LEAK_ROWS = [
    *(
        LinearRow(
            f"leaked calls: {name}", feed_pieces(_leak_reader), cut_pieces(make_text, 1 << 16)
        )
        for name, make_text in LEAKS.items()
    ),
    *(
        LinearRow(
            f"leaked calls in deltas: {name}", feed_pieces(_leak_reader), cut_pieces(LEAKS[name], 4)
        )
        for name in ("a tag and spaces", "DSML marks", "white space", "bars")
    ),
]

STREAMS = {
    "one event": repeat_bytes(b"x", b"data: ", b"\n\n"),
    "an endless line": repeat_bytes(b"x"),
    "short lines": repeat_bytes(b"data: x\n"),
    "short events": repeat_bytes(b"data: x\n\n"),
    "comments": repeat_bytes(b": x\n"),
    "CRLF": repeat_bytes(b"data: x\r\n\r\n"),
    "CR": repeat_bytes(b"\r"),
    "blank lines": repeat_bytes(b"\n"),
    "white space": repeat_bytes(b" "),
    "byte order marks": repeat_bytes(b"\xef\xbb\xbf"),
    "a body": repeat_bytes(b"1,", b"[", b"1]"),
}

SSE_ROWS = [
    LinearRow(
        f"events: {name} in pieces of {length}",
        _until_refused(feed_pieces(sse.SseReader)),
        cut_pieces(make_stream, length),
    )
    for name, make_stream in STREAMS.items()
    for length in (7, 1_000)
]

OTHER_ROWS = [
    *(
        LinearRow(f"recorded stream: {name}", _split_events, make_stream)
        for name, make_stream in STREAMS.items()
    ),
    LinearRow("recorded stream: its first line", sse.is_event_stream, repeat_bytes(b" ")),
    *(
        LinearRow(f"JSON: {name}", _lenient(codec.load_json), repeat_bytes(unit, start))
        for name, start, unit in (
            ("lists", b"", b"["), ("objects", b"", b'{"a":'), ("digits", b"", b"1"),
            ("fraction", b"1.", b"1"), ("exponent", b"1e", b"1"), ("surrogates", b'"', b"\\ud800"),
            ("escapes", b'"', b"\\\\"), ("spaces", b"", b" "), ("names", b"{", b'"a":1,'),
        )
    ),
    *(
        LinearRow(f"JSON in steps: {name}", _lenient(_load_in_steps), make_json)
        for name, make_json in (
            ("a string", repeat_bytes(b"x", b'["', b'"]')),
            ("escapes", repeat_bytes(b"\\n", b'["', b'"]')),
            ("surrogates", repeat_bytes(b"\\udc00", b'["', b'"]')),
            ("characters", repeat_bytes("你".encode(), b'["', b'"]')),
            ("continuations", repeat_bytes(b"\x80", b'["', b'"]')),
            ("empty lists", repeat_bytes(b"[],", b"[", b"1]")),
            ("long strings", repeat_bytes(b'"%b",' % (b"x" * 300_000), b"[", b"1]")),
            ("one key", repeat_bytes(b"x", b'{"', b'": 1}')),
        )
    ),
    LinearRow(
        "halves of pairs in many deltas", _join_pairs, lambda size: [HALVES] * (size // len(HALVES))
    ),
    LinearRow(
        "halves of pairs in one delta",
        _join_pairs,
        lambda size: [b'{"choices":[%b""]}' % (b'"\\ud83c",' * (size // 9))] * 2,
    ),
    LinearRow("JSON written: surrogates", codec.dump_json, repeat_to("\ud800a")),
    LinearRow("JSON string: backslashes", codec.unescape_string, repeat_to("\\q")),
    LinearRow("JSON object: spaces", codec.is_json_object, repeat_to(" ", "{", "}")),
    LinearRow(
        "envelope", envelope.open_envelope, repeat_to("A", envelope.VERSION_TAG)
    ),
    LinearRow("shown text", lambda text: printable(text, len(text)), repeat_to("\x1b[0m")),
    *(
        LinearRow(f"lesson: {name}", _learn, repeat_bytes(unit, b'{"error":{"message":"', b'"}}'))
        for name, unit in (
            ("fields", b"unsupported top_k "), ("reasoning", b"reasoning_content "),
            ("seals", b"encrypted content "), ("words", b"unexpected "), ("quotes", b"'a', "),
        )
    ),
]  # fmt: skip

WIRE_ROWS = [*ERROR_ROWS, *LEAK_ROWS, *SSE_ROWS, *OTHER_ROWS]
