"""Judges over recorded replies: a model that did something else is never a refusal."""

import pytest

from scripts.cli.probe import judges
from scripts.cli.probe.chat_reply import ChatCall, ChatReply, RecordedReply
from tests.translate.wire.test_errors import OVERFLOWS

CALL = ChatCall("a", "look_up", "{}")


def reply(text: str = "", *calls: ChatCall, finish: str = "stop") -> ChatReply:
    return ChatReply(RecordedReply(200), text=text, calls=calls, finish=finish)


@pytest.mark.parametrize(
    ("judge", "answer", "verdict"),
    [
        (judges.judge_text, reply("ready"), "seen"),
        (judges.judge_text, reply(" "), "not seen"),
        (judges.judge_call, reply("", CALL), "seen"),
        (judges.judge_call, reply("It rains."), "not seen"),
        (judges.judge_call, reply("", finish="length"), "not seen"),
        (judges.judge_two_calls, reply("", CALL, CALL), "seen"),
        (judges.judge_two_calls, reply("", CALL), "not seen"),
        (judges.judge_no_call, reply("No tool."), "seen"),
        (judges.judge_no_call, reply("", CALL), "ignored"),
        (judges.judge_forced_call, reply("", CALL), "seen"),
        (judges.judge_forced_call, reply("Hello."), "ignored"),
        (judges.judge_forced_call, reply("", finish="length"), "not seen"),
        (judges.judge_word("walnut"), reply("Walnut."), "seen"),
        (judges.judge_word("walnut"), reply("No idea."), "not seen"),
        (judges.judge_stop, reply("1 2 3 4 "), "seen"),
        (judges.judge_stop, reply("1 2 3 4 5 6 7"), "ignored"),
        (judges.judge_stop, reply("one two"), "not seen"),
        (judges.judge_json, reply('{"town": "Oslo"}'), "seen"),
        (judges.judge_json, reply("Oslo"), "not seen"),
        (judges.judge_schema, reply('{"code": "k7"}'), "seen"),
        (judges.judge_schema, reply('{"town": "Oslo"}'), "ignored"),
        (judges.judge_schema, reply("```json"), "not seen"),
        (judges.judge_colours, reply("Blue, Yellow"), "seen"),
        (judges.judge_colours, reply("I see no picture."), "not seen"),
    ],
)
def test_verdict(judge: judges.Judge, answer: ChatReply, verdict: str) -> None:
    assert judge(answer)[0] == verdict


def test_end_at_the_limit_is_named() -> None:
    verdict, evidence = judges.judge_call(reply("I will", finish="length"))
    assert (verdict, evidence) == ("not seen", "the reply ended at the probe's limit of tokens")


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("deepseek", 131_072),
        ("openrouter", 32_768),
        ("mistral", 128_000),
        ("lmstudio", 32_768),
        ("vllm", 128_000),
        ("fireworks", 32_767),
        ("openai", None),
        ("minimax", None),
        ("ollama", None),
    ],
)
def test_window_is_read_from_the_words_of_an_overflow(name: str, tokens: int | None) -> None:
    assert judges.find_context_window(OVERFLOWS[name]) == tokens


@pytest.mark.parametrize(
    "words",
    [
        "max_tokens is too large: 100000000. This model supports at most 16384 completion tokens.",
        "max_tokens must be at most 8192",
        "invalid params, context window exceeds limit (2013)",
        "You exceeded your context quota. Try again in 2000 s",
    ],
)
def test_other_limits_are_no_window(words: str) -> None:
    assert judges.find_context_window(words) is None
