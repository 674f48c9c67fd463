"""Recorded replies of every style, refusals and failures."""

import json

import pytest

from scripts.cli.probe.chat_reply import (
    ChatReply,
    RecordedReply,
    read_chat_reply,
    stream_comments,
)
from tests.replies import (
    DEEPSEEK,
    STYLES,
    Reply,
    Style,
    call,
    completion,
    say,
    stream,
    think,
)

PARTS = (
    think("Two towns."),
    say("I look."),
    call("look_up", town="Oslo"),
    call("look_up", town="Lima"),
)


def streamed(style: Style) -> RecordedReply:
    steps = stream("m", Reply(PARTS, style), True)
    return RecordedReply(200, b"".join(step for step in steps if isinstance(step, bytes)))


@pytest.mark.parametrize("name", STYLES)
def test_reply_of_each_style_is_read_streamed_and_whole(name: str) -> None:
    style = STYLES[name]
    whole = RecordedReply(200, json.dumps(completion("m", Reply(PARTS, style))).encode())
    for recorded in (streamed(style), whole):
        reply = read_chat_reply(recorded)
        assert (reply.refusal, reply.failure) == ("", "")
        assert reply.text == "I look."
        assert [json.loads(each.arguments) for each in reply.calls] == [
            {"town": "Oslo"},
            {"town": "Lima"},
        ]
        if recorded is not whole or not style.list_content:  # the fake's whole body lacks it
            assert bool(reply.reasoning) is (style.reasoning != "none")
        assert reply.finish == ("stop" if style.stop_with_calls else "tool_calls")
        assert reply.tokens == 150


@pytest.mark.parametrize(
    ("status", "body", "field", "words"),
    [
        (400, '{"error": {"message": "no seed"}}', "refusal", "400: no seed"),
        (422, '{"detail": [{"loc": ["body", "n"], "msg": "extra"}]}', "refusal", "422: body.n: ex"),
        (404, '{"error": "No endpoints found that support images"}', "refusal", "404: No end"),
        (400, '{"error": {"message": "Insufficient balance"}}', "failure", "400: Insufficient"),
        (401, '{"error": {"message": "bad key"}}', "failure", "401: bad key"),
        (429, "{}", "failure", "429: "),
        (500, "<html><b>Oops</b></html>", "failure", "500: Oops"),
        (200, "<html>Log in</html>", "failure", "200, but no reply of Chat Completions: Log in"),
        (200, '{"error": {"message": "unknown field x"}}', "refusal", "200 with an error: unkn"),
        (200, 'data: {"error": {"message": "down"}}\n\n', "failure", "200 with an error: down"),
        (
            200,
            '{"base_resp": {"status_code": 2013, "status_msg": "invalid params, role"}}',
            "refusal",
            "200 with an error: invalid params, role",
        ),
        (200, 'data: {"choices": 5}\n\n', "failure", "200, but no reply"),
        (200, 'data: {"choices": [{"delta": {}}, [1]]}\n\n', "failure", "200, but no reply"),
        (200, 'data: {"choices": [{"delta": 1}]}\n\n', "failure", "200, but no reply"),
        (200, '{"choices": [{"message": {}, "finish_reason": 1}]}', "failure", "200, but no reply"),
        (
            200,
            '{"choices": [{"message": {"tool_calls": [{"id": [1]}]}}]}',
            "failure",
            "200, but no reply",
        ),
        (200, "data: [DONE]\n\n", "failure", "200, but no reply"),
        (200, "", "failure", "200, but no reply"),
        (200, "[]", "failure", "200, but no reply"),
    ],
)
def test_reply_without_an_answer_is_refused_or_failed(
    status: int, body: str, field: str, words: str
) -> None:
    reply = read_chat_reply(RecordedReply(status, body.encode()))
    assert getattr(reply, field).startswith(words)
    assert not reply.is_accepted and bool(reply.refusal) != bool(reply.failure)


def test_pictures_are_cut_from_evidence() -> None:
    body = b'{"error": {"message": "bad image: data:image/gif;base64,R0lGODdhQABAAIEA"}}'
    reply = read_chat_reply(RecordedReply(400, body))
    assert reply.words == "400: bad image: data:image/gif;base64,…"


def test_connection_that_failed_is_a_failure() -> None:
    assert read_chat_reply(RecordedReply(fault="nothing listens")).failure == "nothing listens"


def test_thinking_goes_back_in_the_form_in_which_it_came() -> None:
    reply = ChatReply(RecordedReply(), text="Yes.")
    assert reply.assistant_message({"reasoning": "Hm."}) == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning": "Hm.",
    }
    assert reply.assistant_message({"<think>": "Hm."})["content"] == "<think>Hm.</think>Yes."
    part = {"type": "thinking", "thinking": []}
    assert reply.assistant_message({"parts": [part]})["content"] == [
        part,
        {"type": "text", "text": "Yes."},
    ]


def test_keep_alives_are_counted() -> None:
    assert stream_comments(streamed(DEEPSEEK).body + b": wait\n\n") == 2
