"""Sessions that continue: the client carries the reasoning, not the relay's memory."""

from pathlib import Path

from tests.codex.conftest import NewCodex
from tests.codex.driver import API_KEY, Mode, Relay
from tests.fake_provider import FakeProvider, ReceivedRequest
from tests.replies import call, say, think


def thoughts(request: ReceivedRequest) -> list[str]:
    return [m["reasoning_content"] for m in request.messages if m.get("reasoning_content")]


def test_resume_after_a_restart_of_the_relay(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    provider.rules.needs_reasoning = True
    provider.reply(think("I must look."), call("exec_command", cmd="echo seen"))
    provider.reply(think("Now I know."), say("Seen."))
    provider.reply(think("Again."), call("exec_command", cmd="echo again"))
    provider.reply(say("Seen again."))
    first_relay = Relay(tmp_path / "one", upstream=provider.url, api_key=provider.key or "")
    client = codex(relay=first_relay)
    run = client.exec("Look.")
    first_relay.stop()
    assert run.text == "Seen."

    second_relay = Relay(tmp_path / "two", upstream=provider.url, api_key=provider.key or "")
    config = client.home / "config.toml"
    config.write_text(config.read_text().replace(first_relay.url, second_relay.url))
    resumed = client.resume(run.thread_id, "Look again.")
    second_relay.stop()
    assert resumed.exit_code == 0
    assert resumed.text == "Seen again."
    last = provider.posted_requests[-1]
    assert [m for m in thoughts(last) if m != "Now I know."] == ["I must look.", "Again."]
    assert any("seen" in output for output in last.outputs)


def test_demonstration_provider_serves_a_turn(codex: NewCodex, tmp_path: Path) -> None:
    """The first steps of a new user: nothing is configured, and there is no account."""
    relay = Relay(tmp_path / "relay")
    try:
        client = codex(Mode.PROXY_KEY, relay=relay)
        hello = client.exec("Hello.", model="demo")
        assert hello.exit_code == 0
        assert hello.error_messages == []
        assert "CODEX_RELAY_UPSTREAM" in hello.text
        run = client.exec(
            'Please call exec_command {"cmd": "echo hi > hi.txt; cat hi.txt"}', model="demo"
        )
        assert run.files == {"hi.txt": "hi\n"}
        assert "hi" in run.text
        scripted = codex(Mode.BASE_URL, relay=relay)  # a model that has tools only in scripts
        run = scripted.exec('call exec_command {"cmd": "echo ho > ho.txt"}', model="gpt-6-astra")
        assert run.files == {"ho.txt": "ho\n"}
    finally:
        relay.stop()


def test_clients_key_goes_to_the_provider_if_none_is_configured(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    relay = Relay(tmp_path / "relay", upstream=provider.url)
    try:
        provider.reply(say("Let in."))
        run = codex(relay=relay, key=provider.key).exec("Hello.")
        assert run.text == "Let in."
        provider.key = None  # accepts any key, or none
        codex(relay=relay).exec("Hello.")  # with an OpenAI key
        assert all(API_KEY not in str(request.headers) for request in provider.requests)
        provider.refusals.clear()
    finally:
        relay.stop()
