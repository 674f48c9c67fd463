"""Upstreams that fail: what Codex shows, how often the upstream is asked, and how long it takes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.codex.conftest import NewCodex
from tests.codex.driver import Mode, Relay
from tests.fake_provider import FakeProvider
from tests.replies import CUT, RST, Die, Finish, call, error, pause, say, think

MODES = pytest.mark.parametrize("mode", list(Mode))


@MODES
@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_refusal_is_shown_at_once(
    status: int, mode: Mode, codex: NewCodex, provider: FakeProvider
) -> None:
    """Never as a 401, on which Codex would try to log in again."""
    provider.reply(error(status, "Your key has expired"))
    run = codex(mode).exec("Hello.")
    assert run.exit_code != 0
    assert len(provider.posted_requests) == 1
    message = " ".join(run.error_messages)
    assert "Your key has expired" in message
    assert str(status) in message and "127.0.0.1" in message and "check" in message
    assert run.elapsed < 5


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_busy_upstream_is_retried(status: int, codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(error(status, "busy", retry_after=1))
    provider.reply(say("Here I am."))
    run = codex().exec("Hello.")
    assert run.exit_code == 0
    assert run.text == "Here I am."
    assert "Reconnecting" not in " ".join(run.error_messages)
    first, second = provider.posted_requests
    assert 0.9 < second.received_at - first.received_at < 4
    assert first.raw == second.raw


@pytest.mark.parametrize("status", [500, 502, 504])
def test_lasting_failure_is_shown_in_the_upstreams_words(
    status: int, codex: NewCodex, provider: FakeProvider
) -> None:
    """The relay asks four times and Codex once, instead of "Selected model is at capacity"."""
    for _ in range(4):
        provider.reply(error(status, "The GPU of this server burnt out"))
    run = codex().exec("Hello.")
    assert run.exit_code != 0
    assert "The GPU of this server burnt out" in " ".join(run.error_messages)
    assert "Reconnecting" not in " ".join(run.error_messages)
    assert len(provider.posted_requests) == 4
    assert run.elapsed < 10


@pytest.mark.parametrize("status", [429, 503])
def test_overload_is_shown_in_the_upstreams_words(
    status: int, codex: NewCodex, provider: FakeProvider
) -> None:
    """Codex asks again, as the overload may pass; each time the relay asks four times."""
    for _ in range(8):
        provider.reply(error(status, "No channel has room for you", retry_after=0.1))
    impatient = "stream_max_retries = 1\nrequest_max_retries = 0"
    run = codex(provider=impatient).exec("Hello.")
    assert run.exit_code != 0
    assert "No channel has room for you" in " ".join(run.error_messages)
    assert len(provider.posted_requests) == 8


@pytest.mark.parametrize("death", [CUT, RST], ids=["cut", "reset"])
def test_broken_stream_is_retried(death: Die, codex: NewCodex, provider: FakeProvider) -> None:
    """As the client has seen a part, the relay ends the stream as failed, and Codex retries."""
    provider.reply(say("Half a sen"), pause(0.1), death)
    provider.reply(say("A whole sentence."))
    run = codex().exec("Say a sentence.")
    assert run.exit_code == 0
    assert run.text == "A whole sentence."
    assert len(provider.posted_requests) == 2
    assert run.elapsed < 8


@pytest.mark.parametrize("death", [CUT, RST], ids=["cut", "reset"])
def test_connection_lost_before_the_head_is_retried(
    death: Die, codex: NewCodex, provider: FakeProvider
) -> None:
    provider.reply(death)
    provider.reply(say("Here I am."))
    run = codex().exec("Hello.")
    assert run.text == "Here I am."
    assert "Reconnecting" not in " ".join(run.error_messages)


def test_full_context_is_reported(codex: NewCodex, provider: FakeProvider) -> None:
    message = "This model's maximum context length is 65536 tokens. You requested 70000."
    provider.reply(error(400, message, code="context_length_exceeded"))
    run = codex().exec("Hello.")
    assert run.exit_code != 0
    assert "ran out of room" in " ".join(run.error_messages)
    assert len(provider.posted_requests) == 1


def test_empty_account_is_reported(codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(error(402, "Insufficient Balance", code="insufficient_quota"))
    run = codex().exec("Hello.")
    assert run.exit_code != 0
    assert "uota" in " ".join(run.error_messages)
    assert len(provider.posted_requests) == 1


def test_truncated_reply_is_not_a_success(codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(say("So far and no"), Finish("length"))
    run = codex().exec("Hello.")
    assert run.exit_code != 0
    assert run.text == "So far and no"


def test_thinking_without_an_answer_is_shown_as_the_answer(
    codex: NewCodex, provider: FakeProvider
) -> None:
    """Otherwise Codex would end the turn without a message, or repeat the request six times."""
    provider.reply(think("The tree is an apple tree."))
    client = codex()
    run = client.exec("Which tree?")
    assert run.exit_code == 0
    assert run.text == "The tree is an apple tree."
    provider.reply(say("A pear tree."))
    assert client.resume(run.thread_id, "Look again.").text == "A pear tree."
    assert len(provider.posted_requests) == 2


def test_empty_reply_is_retried(codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply()
    provider.reply(say("Here I am."))
    run = codex().exec("Hello.")
    assert run.exit_code == 0
    assert run.text == "Here I am."
    assert len(provider.posted_requests) == 2


def test_silence_does_not_end_the_turn(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    """Codex gives up after 2.5 s; the upstream is silent for longer, before its head and after."""
    relay = Relay(
        tmp_path / "relay", upstream=provider.url, api_key=provider.key or "", heartbeat="1"
    )
    impatient = "stream_idle_timeout_ms = 2500\nstream_max_retries = 0\nrequest_max_retries = 0"
    provider.reply(call("exec_command", cmd="true"), delay=3.5)
    provider.reply(say("First."), pause(3.5), say(" Last."))
    run = codex(relay=relay, provider=impatient).exec("Hello.")
    relay.stop()
    assert run.exit_code == 0
    assert run.text == "First. Last."
    assert len(provider.posted_requests) == 2


def test_client_that_leaves_cancels_the_request(codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(say("Soon."), pause(30), say("Too late."))
    with pytest.raises(subprocess.TimeoutExpired):
        codex().exec("Hello.", timeout=2)
    [request] = provider.posted_requests
    provider.wait_until(lambda: request.client_left_at is not None, 2)


@pytest.fixture(scope="module")
def small_relay(
    upstream: FakeProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relay]:
    """A relay that takes small requests only."""
    settings = {"upstream": upstream.url, "api_key": upstream.key or "", "max_request": "2KB"}
    relay = Relay(tmp_path_factory.mktemp("small"), **settings)
    yield relay
    relay.stop()


@pytest.mark.parametrize("mode", [Mode.PROXY_CHATGPT, Mode.BASE_URL])
def test_limits_of_the_relay_are_shown_in_its_words(
    mode: Mode, codex: NewCodex, upstream: FakeProvider, small_relay: Relay
) -> None:
    """Codex shows the message, and nothing reaches the upstream."""
    upstream.reset()
    run = codex(mode, relay=small_relay).exec("Hello.")
    assert run.exit_code != 0
    message = " ".join(run.error_messages)
    assert "larger than 2KB (relay_max_request)" in message and "413" in message
    assert upstream.posted_requests == []
