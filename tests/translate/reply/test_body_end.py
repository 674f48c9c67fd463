import pytest

from tests.translate.support import chunk, events_wire, stream
from translate import has_reply_end

TEXT = stream(chunk(content="Hi."), done=False)
WHOLE = b'{"object": "chat.completion", "choices": [{"finish_reason": "stop"}]}'
COMPLETED = {"type": "response.completed", "response": {}}


@pytest.mark.parametrize(
    "body",
    [
        TEXT + b"data: [DONE]\n\n",
        TEXT + stream(chunk("stop"), done=False),
        TEXT + stream(chunk("length"), done=False) + b'data: {"usa',
        events_wire(COMPLETED),
        events_wire({"type": "response.failed", "response": {}}),
        b"\n \n" + WHOLE,
        b'{"object": "response", "status": "incomplete"}',
    ],
)
def test_body_with_the_end_of_a_reply(body: bytes) -> None:
    assert has_reply_end(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n \n",
        b": ping\n\n",
        b"data:\n\n",
        b"data: 7\n\n",
        TEXT,
        TEXT + b"data: [DON",
        WHOLE[:-1],
        b'{"choices": [7, {"finish_reason": null}]}',
        b'{"object": "response", "status": "in_progress"}',
        b"data: {" + b"[" * 100_000 + b"\n\n",
        b"<html>",
    ],
)
def test_body_without_it(body: bytes) -> None:
    assert not has_reply_end(body)


def test_cut_at_every_byte_the_end_shows_only_at_the_end() -> None:
    body = TEXT + stream(chunk("stop"), done=False)
    first = next(size for size in range(len(body) + 1) if has_reply_end(body[:size]))
    assert all(has_reply_end(body[:size]) for size in range(first, len(body)))
    assert first >= len(body) - len(b"\n\n")
    assert not any(has_reply_end(WHOLE[:size]) for size in range(len(WHOLE)))
