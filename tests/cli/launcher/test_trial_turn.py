import json
from typing import Any

import pytest

from scripts.cli.commands.try_prompt import try_prompt
from scripts.cli.errors import CommandFailed
from scripts.cli.launcher.trial_turn import (
    TrialTurn,
    add_cost,
    cost_text,
    read_events,
    turn_summary,
)
from scripts.cli.launcher.used_relay import UsedRelay
from scripts.cli.running_relay import RunningRelay
from tests.cli.launcher.user import User
from tests.codex.driver import Relay
from tests.fake_provider import FakeProvider
from tests.replies import error, say, think

DEEPSEEK_RELAY = UsedRelay(
    running=RunningRelay(1, {}),
    key="",
    log="",
    provider_name="deepseek",
    provider="DeepSeek",
    upstream="https://api.deepseek.com/v1",
    model="",
    is_own=False,
)
USAGE = {
    "input_tokens": 12_345,
    "input_tokens_details": {"cached_tokens": 10},
    "output_tokens": 67,
}


def test_a_question(user: User, relay: Relay, provider: FakeProvider) -> None:
    provider.reply(think("Let me think."), say("Hello \x1b[31mred\nworld."))
    done = user.run("try", "--port", str(relay.port), "--model", "any-model", "-", text="Say hello")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Hello [31mred\nworld.\n"  # the model cannot colour the terminal
    thinking, summary = done.stderr.splitlines()
    assert thinking == "Let me think."
    assert "s to the first token · " in summary
    assert " · price unknown · fake-model · asked for " in summary
    assert "asked for any-model" in summary
    [request] = provider.posted_requests
    assert request.prompt == "Say hello"


def test_a_question_in_json(user: User, relay: Relay, provider: FakeProvider) -> None:
    provider.reply(say("Hello."))
    done = user.run("try", "--port", str(relay.port), "--json", "Say hello")
    assert (done.returncode, done.stderr) == (0, "")
    turn = json.loads(done.stdout)
    assert turn["text"] == "Hello."
    assert turn["status"] == "completed"
    assert turn["model"] == turn["asked_model"] == "fake-model"
    assert turn["usage"]["total_tokens"] > 0
    assert 0 < turn["first_token_seconds"] <= turn["seconds"]


def test_a_provider_that_refuses(user: User, relay: Relay, provider: FakeProvider) -> None:
    provider.reply(error(400, "this model is retired"))
    done = user.run("try", "--port", str(relay.port), "Say hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert "this model is retired" in done.stderr


def test_an_empty_question() -> None:
    with pytest.raises(CommandFailed, match="the question is empty"):
        try_prompt(" ")


@pytest.mark.parametrize(
    ("provider", "model", "words"),
    [
        ("deepseek", "deepseek-chat", "$0.00"),
        ("chatgpt", "gpt-5.5", "≈$0.0"),
        ("kimi", "no-such-model", "price unknown"),
        ("unheard-of", "deepseek-chat", "price unknown"),
    ],
)
def test_cost(provider: str, model: str, words: str) -> None:
    turn = TrialTurn("x", provider=provider, model=model, response={"usage": USAGE})
    add_cost(turn, DEEPSEEK_RELAY)
    assert cost_text(turn).startswith(words)


def test_summary() -> None:
    turn = TrialTurn(
        "gpt-5.5",
        provider="deepseek",
        model="deepseek-chat",
        dropped="tools[web_search]",
        first_token=0.4,
        seconds=1.234,
        response={"status": "completed", "usage": USAGE},
        dollars=0.0123,
    )
    assert turn_summary(turn) == (
        "0.40 s to the first token · 1.23 s in all · 12.3k tokens in · 67 out · $0.0123"
        " · deepseek-chat at deepseek · asked for gpt-5.5 · dropped tools[web_search]"
    )


def test_events_are_read_from_any_pieces() -> None:
    stream = b'data: {"type": "a"}\n\ndata: [DONE]\n\ndata: 7\n\ndata: {"type": "b"}'
    expected: list[dict[str, Any]] = [{"type": "a"}, {"type": "b"}]
    for size in (1, 5, len(stream)):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert list(read_events(pieces)) == expected
