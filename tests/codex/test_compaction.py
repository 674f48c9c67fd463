"""Codex compacts a session that has become too long, and continues with the summary."""

import json
from pathlib import Path

import pytest

from tests.codex.conftest import NewCodex
from tests.codex.driver import Mode, Relay
from tests.fake_provider import FakeProvider, ReceivedRequest, text_of
from tests.replies import SILENT, Finish, Part, call, say, think

LIMIT = ("-c", "model_auto_compact_token_limit=140")  # each reply of the provider costs 150
SUMMARY = "## Goal\nPlant the apple tree.\n## Files\ntree.txt: planned."

# Codex sends `compaction_trigger` if it believes that it talks to OpenAI.
REMOTE = pytest.mark.parametrize("mode", [Mode.PROXY_KEY, Mode.PROXY_CHATGPT, Mode.BASE_URL])


def wants_summary(request: ReceivedRequest) -> bool:
    return "write the summary" in request.prompt


def summaries_in(request: ReceivedRequest) -> list[str]:
    texts = [text_of(message) for message in request.messages if message["role"] == "user"]
    return [text for text in texts if text.endswith(SUMMARY)]


def queue_turn(provider: FakeProvider) -> None:
    """A turn with one call, after which Codex compacts."""
    provider.reply(think("Dig first."), call("exec_command", cmd="echo dug"))
    provider.reply(think("I sum up."), say(SUMMARY), when=wants_summary)
    provider.reply(say("Planted."), when=summaries_in)


@REMOTE
def test_session_is_compacted_and_continues(
    mode: Mode, codex: NewCodex, provider: FakeProvider
) -> None:
    queue_turn(provider)
    client = codex(mode)
    run = client.exec("Plant the tree.", *LIMIT)
    assert run.exit_code == 0
    assert run.text == "Planted."
    assert SUMMARY not in str(run.events)  # it is for the model only
    first, compacting, second = provider.posted_requests
    first_length = len(first.messages)
    assert json.dumps(compacting.messages[:first_length]) == json.dumps(first.messages)
    assert json.dumps(compacting.body["tools"]) == json.dumps(first.body["tools"])
    assert compacting.body["tool_choice"] == "none"
    assert [message["role"] for message in compacting.messages[first_length:]] == [
        "assistant", "tool", "user",
    ]  # fmt: skip
    assert second.system == first.system
    assert len(summaries_in(second)) == 1
    assert second.outputs == []

    provider.reply(say("Watered."))
    resumed = client.resume(run.thread_id, "Water it.")
    assert resumed.text == "Watered."
    assert len(summaries_in(provider.posted_requests[-1])) == 1
    assert provider.posted_requests[-1].prompt == "Water it."


def test_summary_survives_a_restart_and_a_change_of_provider(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    queue_turn(provider)
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
    resumed = client.resume(run.thread_id, "Water it.")
    second_relay.stop()
    assert resumed.text == "Watered."
    assert len(summaries_in(provider.posted_requests[-1])) == 1


def test_session_is_compacted_again(codex: NewCodex, provider: FakeProvider) -> None:
    """The second time before the turn; its summary includes the first one."""
    queue_turn(provider)
    client = codex(Mode.PROXY_KEY)
    run = client.exec("Plant the tree.", *LIMIT)
    provider.reply(say(f"Still:\n{SUMMARY}"), when=wants_summary)
    provider.reply(say("Watered."))
    resumed = client.resume(run.thread_id, "Water it.", *LIMIT)
    assert resumed.text == "Watered."
    *_, compacting, last = provider.posted_requests
    assert len(summaries_in(compacting)) == 1
    [summary] = summaries_in(last)
    assert f"Still:\n{SUMMARY}" in summary


@pytest.mark.parametrize(
    ("parts", "tries", "expected"),
    [
        ([think("I cannot.")], 3, "sent an empty summary"),
        ([say("## Goal"), Finish("length")], 1, "did not finish the summary"),
    ],
    ids=["empty", "cut"],
)
def test_failed_summary_is_reported_and_nothing_is_lost(
    parts: list[Part], tries: int, expected: str, codex: NewCodex, provider: FakeProvider
) -> None:
    """Codex retries temporary failures, and reports permanent ones at once."""
    provider.reply(call("exec_command", cmd="echo dug"))
    for _ in range(tries):
        provider.reply(*parts, when=wants_summary)
    client = codex(Mode.PROXY_KEY)
    run = client.exec("Plant the tree.", *LIMIT)
    assert run.exit_code != 0
    assert expected in run.error_messages[-1]
    provider.reply(say("Planted."))
    resumed = client.resume(run.thread_id, "Go on.")
    assert resumed.text == "Planted."
    assert "dug" in provider.posted_requests[-1].outputs[0]


def test_codex_compacts_by_itself_with_a_custom_provider(
    codex: NewCodex, provider: FakeProvider
) -> None:
    """Codex writes the prompt and stores the answer as a message."""
    provider.reply(call("exec_command", cmd="echo dug"))
    provider.reply(say(SUMMARY), when=lambda request: "COMPACTION" in request.prompt)
    provider.reply(say("Planted."), when=summaries_in)
    run = codex(Mode.PROVIDER).exec("Plant the tree.", *LIMIT)
    assert run.exit_code == 0
    assert run.text == "Planted."
    assert provider.posted_requests[1].tools == {}


@pytest.mark.parametrize("mode", [Mode.PROXY_KEY, Mode.PROVIDER])
def test_compaction_needs_no_usage_of_the_provider(
    mode: Mode, codex: NewCodex, provider: FakeProvider
) -> None:
    """Codex counts by the relay's estimate; without one it would never compact."""
    provider.style = SILENT
    provider.reply(call("exec_command", cmd="echo dug"))
    provider.reply(
        say(SUMMARY), when=lambda request: wants_summary(request) or "COMPACTION" in request.prompt
    )
    provider.reply(say("Planted."), when=summaries_in)
    run = codex(mode).exec("Plant the tree.", *LIMIT)
    assert run.exit_code == 0
    assert run.text == "Planted."
    assert len(provider.posted_requests) == 3
    assert run.usage["input_tokens"] > 1000
