"""Codex compacts a session that has grown too long, and goes on with the summary."""

import json
from pathlib import Path

import pytest

from tests.codex.conftest import NewCodex
from tests.codex.driver import Mode, Relay
from tests.fake_provider import FakeProvider, Request, texts
from tests.replies import SILENT, Finish, Part, call, say, think

LIMIT = ("-c", "model_auto_compact_token_limit=140")  # each reply of the provider costs 150
SUMMARY = "## Goal\nPlant the apple tree.\n## Files\ntree.txt: planned."

# Where Codex takes the other end for OpenAI, it sends `compaction_trigger`.
REMOTE = pytest.mark.parametrize("mode", [Mode.PROXY_KEY, Mode.PROXY_CHATGPT, Mode.BASE_URL])


def wants_summary(request: Request) -> bool:
    return "write the summary" in request.prompt


def summaries(request: Request) -> list[str]:
    said = [texts(message) for message in request.messages if message["role"] == "user"]
    return [text for text in said if text.endswith(SUMMARY)]


def script(provider: FakeProvider) -> None:
    """A turn with one call, after which Codex compacts."""
    provider.reply(think("Dig first."), call("exec_command", cmd="echo dug"))
    provider.reply(think("I sum up."), say(SUMMARY), when=wants_summary)
    provider.reply(say("Planted."), when=summaries)


@REMOTE
def test_session_is_compacted_and_goes_on(
    mode: Mode, codex: NewCodex, provider: FakeProvider
) -> None:
    script(provider)
    client = codex(mode)
    run = client.exec("Plant the tree.", *LIMIT)
    assert run.exit_code == 0
    assert run.text == "Planted."
    assert SUMMARY not in str(run.events)  # it is for the model, and was not said
    first, compacting, second = provider.chats
    known = len(first.messages)
    assert json.dumps(compacting.messages[:known]) == json.dumps(first.messages)
    assert json.dumps(compacting.body["tools"]) == json.dumps(first.body["tools"])
    assert compacting.body["tool_choice"] == "none"
    assert [message["role"] for message in compacting.messages[known:]] == [
        "assistant", "tool", "user",
    ]  # fmt: skip
    assert second.system == first.system
    assert len(summaries(second)) == 1
    assert second.outputs == []

    provider.reply(say("Watered."))
    resumed = client.resume(run.thread, "Water it.")
    assert resumed.text == "Watered."
    assert len(summaries(provider.chats[-1])) == 1
    assert provider.chats[-1].prompt == "Water it."


def test_summary_survives_a_restart_and_a_change_of_provider(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    script(provider)
    where = {"upstream": provider.url, "api_key": provider.key or ""}
    first_relay = Relay(tmp_path / "one", **where)
    client = codex(Mode.BASE_URL, relay=first_relay)
    run = client.exec("Plant the tree.", *LIMIT)
    first_relay.stop()
    assert run.text == "Planted."

    second_relay = Relay(tmp_path / "two", provider="deepseek", **where)
    config = client.home / "config.toml"
    config.write_text(config.read_text().replace(first_relay.url, second_relay.url))
    provider.reply(say("Watered."))
    resumed = client.resume(run.thread, "Water it.")
    second_relay.stop()
    assert resumed.text == "Watered."
    assert len(summaries(provider.chats[-1])) == 1


def test_session_is_compacted_again(codex: NewCodex, provider: FakeProvider) -> None:
    """The second time before the turn; the first summary is among what is summed up."""
    script(provider)
    client = codex(Mode.PROXY_KEY)
    run = client.exec("Plant the tree.", *LIMIT)
    provider.reply(say(f"Still:\n{SUMMARY}"), when=wants_summary)
    provider.reply(say("Watered."))
    resumed = client.resume(run.thread, "Water it.", *LIMIT)
    assert resumed.text == "Watered."
    *_, compacting, last = provider.chats
    assert len(summaries(compacting)) == 1
    [summary] = summaries(last)
    assert f"Still:\n{SUMMARY}" in summary


@pytest.mark.parametrize(
    ("parts", "tries", "said"),
    [
        ([think("I cannot.")], 3, "sent an empty summary"),
        ([say("## Goal"), Finish("length")], 1, "did not finish the summary"),
    ],
    ids=["empty", "cut"],
)
def test_failed_summary_is_told_and_loses_nothing(
    parts: list[Part], tries: int, said: str, codex: NewCodex, provider: FakeProvider
) -> None:
    """What may go better is asked for again, by Codex; what would not is told at once."""
    provider.reply(call("exec_command", cmd="echo dug"))
    for _ in range(tries):
        provider.reply(*parts, when=wants_summary)
    client = codex(Mode.PROXY_KEY)
    run = client.exec("Plant the tree.", *LIMIT)
    assert run.exit_code != 0
    assert said in run.errors[-1]
    provider.reply(say("Planted."))
    resumed = client.resume(run.thread, "Go on.")
    assert resumed.text == "Planted."
    assert "dug" in provider.chats[-1].outputs[0]


def test_custom_provider_compacts_by_itself(codex: NewCodex, provider: FakeProvider) -> None:
    """Codex writes the prompt, and keeps the answer as a message."""
    provider.reply(call("exec_command", cmd="echo dug"))
    provider.reply(say(SUMMARY), when=lambda request: "COMPACTION" in request.prompt)
    provider.reply(say("Planted."), when=summaries)
    run = codex(Mode.PROVIDER).exec("Plant the tree.", *LIMIT)
    assert run.exit_code == 0
    assert run.text == "Planted."
    assert provider.chats[1].tools == {}


@pytest.mark.parametrize("mode", [Mode.PROXY_KEY, Mode.PROVIDER])
def test_compaction_needs_no_usage_of_the_provider(
    mode: Mode, codex: NewCodex, provider: FakeProvider
) -> None:
    """The relay's estimate is what Codex counts by; without one it would never compact."""
    provider.style = SILENT
    provider.reply(call("exec_command", cmd="echo dug"))
    provider.reply(
        say(SUMMARY), when=lambda request: wants_summary(request) or "COMPACTION" in request.prompt
    )
    provider.reply(say("Planted."), when=summaries)
    run = codex(mode).exec("Plant the tree.", *LIMIT)
    assert run.exit_code == 0
    assert run.text == "Planted."
    assert len(provider.chats) == 3
    assert run.usage["input_tokens"] > 1000
