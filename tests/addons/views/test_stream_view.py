"""The view `Stream`: the reply so far, and its events by time."""

import pytest

from addons.views.stream_parsing import ArrivalTimes, parse_stream
from addons.views.stream_view import stream_steps
from addons.views.text import join_page
from addons.views.turn_view import reply_page
from tests.addons.views.support import IMAGE_PART, SEALED_DETAIL, stream_text
from tests.translate.cases import ALL_CASES, Case
from tests.translate.support import chunk
from tests.translate.support import stream as chat
from translate.reply.responses_to_chat import fold_chunks

SOURCE = {"url": "https://example.org", "title": "Example", "start_index": 0, "end_index": 2}


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_replies_of_every_case_are_readable(case: Case) -> None:
    client = case.path / "client.sse"
    for body in filter(None, (case.reply, client.read_bytes() if client.exists() else b"")):
        for page in (stream_text(body), join_page(reply_page(body, {}))):
            compact_page = "".join(page.split())  # long lines are broken at spaces
            for text in finished_texts(body):
                assert "".join(text.split()) in compact_page


def finished_texts(body: bytes) -> set[str]:
    """The finished texts of a Responses stream, or the texts of one of our Chat streams."""
    values = [event.json_value for event in parse_stream(body)]
    values = [value for value in values if isinstance(value, dict)]
    chunks = [value for value in values if value.get("id") == "chatcmpl-case"]
    message = fold_chunks(chunks)["choices"][0]["message"] if chunks else {}
    calls = [call[call["type"]] for call in message.get("tool_calls") or ()]
    sources = [row["url_citation"]["url"] for row in message.get("annotations") or ()]
    done = (value for value in values if value.get("type") == "response.output_text.done")
    texts = [str(value["text"]) for value in done]
    texts += [message.get(name) for name in ("content", "reasoning_content", "refusal")]
    texts += [call.get(name) for call in calls for name in ("name", "input")]
    return {text.strip() for text in (*texts, *sources) if text}


def test_chat_stream_in_a_few_lines() -> None:
    call = {"index": 0, "id": "b", "type": "custom", "custom": {"name": "note", "input": ""}}
    rest = [{"index": 0, "custom": {"input": "one\n"}}, {"index": 0, "custom": {"input": "two"}}]
    body = b": keep-alive\n\n: keep-alive\n\n" + chat(
        chunk(role="assistant", reasoning_content="Hm."),
        chunk(reasoning_details=[SEALED_DETAIL]),
        chunk(content="Look: "),
        chunk(content="rye."),
        chunk(annotations=[{"type": "url_citation", "url_citation": SOURCE}]),
        chunk(images=[IMAGE_PART]),
        *(chunk(tool_calls=[piece]) for piece in (call, *rest)),
        chunk("tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}},
    )
    assert (
        stream_text(body)
        == """\
tool_calls · 5 in · 3 out · 14 events

━━ 0 · reasoning of assistant · sealed by us for gpt-5.5 (account)
First I look.

━━ 0 · assistant
Look: rye.

━━ 0 · call of note · b
one
two

━━ 0 · annotations of assistant
[source: Example, https://example.org]

━━ 0 · images of assistant
[image: image/png, 1×1 pixels, 70 B]

━━ events, by the time since the request went up
                     comment  keep-alive × 2
                     delta.reasoning_content  "Hm."
                     delta.reasoning_details  "[sealed by us for gpt-5.5 (account), 135 B]"
                     delta.content × 2  "Look: rye."
                     delta.annotations  "[source: Example, https://example.org]"
                     delta.images  "[image: image/png, 1×1 pixels, 70 B]"
                     delta.tool_calls[0]  note · b
                     delta.tool_calls[0] × 2  "one⏎two"
                     finish_reason  tool_calls
                     usage  5 in · 3 out
                     [DONE]"""
    )


def test_deprecated_function_call() -> None:
    pieces = [{"name": "old", "arguments": ""}, {"arguments": '{"a"'}, {"arguments": ": 1}"}]
    text = stream_text(chat(*(chunk(function_call=row) for row in pieces), chunk("function_call")))
    assert text.startswith("function_call · 5 events\n\n━━ 0 · call of old\na: 1\n")
    assert 'delta.function_call × 2  "{"a": 1}"' in text


def test_end_without_a_text_and_end_with_an_error() -> None:
    assert stream_text(chat(chunk("stop"))).startswith("stop · 2 ")
    error = {"error": {"message": "It broke.", "type": "server_error"}}
    text = stream_text(chat(chunk(content="Wel"), error, done=False))
    assert text.startswith("not finished · 2 events")
    assert "━━ 0 · error\nIt broke." in text


def test_runs_of_deltas_are_one_line_with_their_times() -> None:
    contents = [chunk(content=text) for text in ("A", "B\n", "C")]
    start = [chunk(role="assistant", content=""), chunk(reasoning_content="Hm")]
    chunks = [*start, *contents, chunk("stop")]
    body = chat(*chunks)
    ends = [event.end_offset for event in parse_stream(body)]
    times = ArrivalTimes([[100 * n, end] for n, end in enumerate([0, *ends])])
    assert [step.to_line() for step in stream_steps(parse_stream(body), times)] == [
        "+0.00 s              an empty chunk",
        '+0.10 s              delta.reasoning_content  "Hm"',
        '+0.20 s … +0.40 s    delta.content × 3  "AB⏎C"',
        "+0.50 s              finish_reason  stop",
        "+0.60 s              [DONE]",
    ]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'data: {"type": "response.output_text.delta", "delta": "Hi"}',
         'response.output_text.delta  "Hi"'),
        (b'data: {"type": "response.x.done", "text": "Hi"}', "response.x.done"),
        (b'data: {"type": "error", "code": 7}', 'error  {"code":7}'),
        (b'data: {"type": "response.failed", "response": {"error": {"code": "x"}}}',
         'response.failed  {"code":"x"}'),
        (b"data: <html>", "not JSON  <html>"),
        (b"data: [1]", "other  [1]"),
        (b'{"error": "late"}', 'error  "late"'),
        (b'{"odd": 1}', 'other  {"odd":1}'),
    ],
)  # fmt: skip
def test_lines_of_other_events(event: bytes, expected: str) -> None:
    [step] = stream_steps(parse_stream(event), ArrivalTimes(()))
    assert step.to_line().strip() == expected


def test_record_stands_above_the_reply() -> None:
    record = {"first_byte": 0.5, "first_token": 0.81, "tokens_per_second": 44.5, "seconds": 2.1,
              "notes": ["again after 429"], "dropped": ["seed"]}  # fmt: skip
    usage = {"choices": [], "usage": {"prompt_tokens": 12300, "completion_tokens": 5}}
    text = stream_text(chat(chunk(content="Hello"), chunk("stop"), usage), [[500, 0]], record)
    assert text.startswith(
        "stop · 12.3k in · 5 out · 4 events\n"
        "first byte 0.50 s · first token 0.81 s · 44.5 tokens/s · 2.10 s in all\n"
        "dropped: seed\nnote: again after 429\n\n━━ 0 · assistant\nHello\n"
    )


def test_growing_stream_is_not_finished() -> None:
    text = stream_text(chat(chunk(content="Hel"), done=False) + b'data: {"choi')
    assert text.startswith("not finished · 2 events") and "Hel" in text
