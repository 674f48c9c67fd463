"""Sub-agents and summaries of the real Codex on other models, and two providers at once."""

import json
from pathlib import Path

from tests.codex.conftest import NewCodex
from tests.codex.driver import Mode, Relay
from tests.fake_provider import FakeProvider, ReceivedRequest
from tests.replies import Call, call, say


def test_sub_agents_have_a_model_of_their_own(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    def by_child(request: ReceivedRequest) -> bool:
        return request.prompt == "Find the word."

    def wait(request: ReceivedRequest) -> Call:
        child = json.loads(request.outputs[0])["agent_id"]
        return call("multi_agent_v1__wait_agent", targets=[child], timeout_ms=10_000)

    provider.reply(
        call("multi_agent_v1__spawn_agent", message="Find the word."),
        when=lambda request: not by_child(request),
    )
    provider.reply(say("The word is xyzzy."), when=by_child)
    provider.reply(wait, when=lambda request: not by_child(request))
    provider.reply(say("It is xyzzy."), when=lambda request: not by_child(request))
    relay = Relay(
        tmp_path / "roles",
        upstream=provider.url,
        api_key=provider.key or "",
        role_map="subagent:small-model",
    )
    try:
        run = codex(relay=relay).exec("Ask a sub-agent.")
    finally:
        relay.stop()
    assert run.exit_code == 0 and run.text == "It is xyzzy."
    models = {by_child(chat): chat.body["model"] for chat in provider.posted_requests}
    assert models == {False: "fake-model", True: "small-model"}


def test_model_of_another_provider_is_used_by_its_full_name(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    """By proxy, with the name that Codex's picker shows."""
    file = tmp_path / "relay.toml"
    file.write_text(
        f"[providers.box]\nbase_urls = ['{provider.url}']\nkey_env = ['CODEX_RELAY_API_KEY']\n"
    )
    relay = Relay(
        tmp_path / "relay",
        config=str(file),
        upstream="http://127.0.0.1:9/v1",
        api_key=provider.key or "",
    )
    provider.reply(call("exec_command", cmd="echo hello > hello.txt"))
    provider.reply(say("Done."))
    try:
        run = codex(Mode.PROXY_CHATGPT, relay=relay).exec("Greet.", model="box/fake-model")
    finally:
        relay.stop()
    assert run.exit_code == 0 and run.text == "Done."
    assert run.files == {"hello.txt": "hello\n"}
    assert not [error for error in run.error_messages if "metadata" in error]
    assert {chat.body["model"] for chat in provider.posted_requests} == {"fake-model"}
