"""What the fuzzer sends: the golden cases with odd values in odd places, and damaged streams."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.exchanges import UPSTREAMS, FuzzedExchange
from tests.translate.cases import ALL_CASES
from tests.translate.support import Json

HALF = "\ud83d"
DEEP: Any = []
for _ in range(90):
    DEEP = [DEEP]
ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**400, int("9" * 4_000), float("inf"), float("nan"), "",
    " ", "x",
    HALF, "\udf5e", f"a{HALF}", "\x00\x1b[31m\u202e", "a\n\nevent: b\ndata: {}", "[DONE]",
    "null", "{",
    '{"a":1}', [], {}, [None], [[]], {"a": None}, {"type": "text"}, {"type": ["x"]}, DEEP,
    "response.completed", "response.output_text.delta", "function_call", "error", "length",
    "<tool_call>", "<think>", "9" * 5_001, "in_progress", "failed", "url_citation",
    {"type": "url_citation"}, {"type": "x", "id": "x"}, {"type": "output_text", "text": "x"},
]  # fmt: skip
DAMAGES = [
    b"", b"\n", b"\n\n", b"\r", b'"', b"{", b"}", b"\xff", b"\\ud83d", b"data: ", 
    b"data: [DONE]\n\n",
    b"event: x\n", b": c\n\n", b"data: {}\n\n", b'data: {"error":"boom"}\n\n', 
    b"\xef\xbb\xbf", b"\x00",
]  # fmt: skip
REPLIES = sorted({case.reply for case in ALL_CASES if case.reply})
# Of an upstream, by its dialect. Some are of the other one.
DIALECT_REPLIES = {
    "chat": [reply for reply in REPLIES if b'"choices"' in reply],
    "responses": [reply for reply in REPLIES if b'"response.' in reply],
}
REQUESTS = {
    client: [case.request for case in ALL_CASES if case.client == client]
    for client in ("responses", "chat")
}


@st.composite
def fuzzed_exchanges(draw: st.DrawFn) -> FuzzedExchange:
    client = draw(st.sampled_from(["responses", "chat"]))
    request = draw(changed_values(draw(st.sampled_from(REQUESTS[client])), most=2))
    upstream = draw(st.sampled_from(sorted(UPSTREAMS)))
    replies = draw(st.sampled_from([DIALECT_REPLIES[UPSTREAMS[upstream].dialect], REPLIES]))
    return FuzzedExchange(
        client=client,  # type: ignore[arg-type]  # the dialects' names
        upstream=upstream,
        request=json.dumps(request),
        reply=draw(damaged_replies(draw(st.sampled_from(replies)))).decode("latin-1"),
        piece_length=draw(st.sampled_from([1 << 20, 1, 7, 100])),
    )


@st.composite
def damaged_replies(draw: st.DrawFn, reply: bytes) -> bytes:
    """The reply, whose events are changed, left out, repeated or swapped, and then its bytes."""
    blocks = [block for block in reply.split(b"\n\n") if block]
    if draw(st.booleans()):
        position = draw(st.integers(0, len(blocks) - 1))
        blocks[position] = draw(changed_blocks(blocks[position]))
    match draw(st.integers(0, 5)):
        case 0:
            del blocks[draw(st.integers(0, len(blocks) - 1)) :]
        case 1:
            blocks.insert(draw(st.integers(0, len(blocks))), draw(st.sampled_from(blocks)))
        case 2:
            del blocks[draw(st.integers(0, len(blocks) - 1))]
    wire = b"".join(block + b"\n\n" for block in blocks)
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(wire)))
        wire = wire[:at] + draw(st.sampled_from(DAMAGES)) + wire[at + draw(st.integers(0, 3)) :]
    return wire


@st.composite
def changed_blocks(draw: st.DrawFn, block: bytes) -> bytes:
    head, mark, data = block.rpartition(b"data: ")
    try:
        value = json.loads(data)
    except ValueError:
        return block
    changed = draw(changed_values(value, most=3))
    return head + mark + json.dumps(changed).encode()


@st.composite
def changed_values(draw: st.DrawFn, value: Any, most: int) -> Any:
    """The JSON value with up to `most` odd values in it."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(value))
        if places:
            container, key = draw(st.sampled_from(places))
            container[key] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
    return value


def _places(value: Any) -> Iterator[tuple[Json | list[Any], Any]]:
    if isinstance(value, dict):
        yield from ((value, key) for key in value)
        inner = list(value.values())
    else:
        inner = value if isinstance(value, list) else []
        yield from ((value, position) for position in range(len(inner)))
    for element in inner:
        yield from _places(element)
