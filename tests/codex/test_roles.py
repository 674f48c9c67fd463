"""The real Codex's sub-agents and summaries on models of their own, and two providers at once."""

import json
from pathlib import Path

from tests.codex.conftest import NewCodex
from tests.codex.driver import Mode, Relay
from tests.fake_provider import FakeProvider, Request
from tests.replies import Call, call, say


def test_sub_agents_have_a_model_of_their_own(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    def by_child(request: Request) -> bool:
        return request.prompt == "Find the word."

    def wait(request: Request) -> Call:
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
    models = {by_child(chat): chat.body["model"] for chat in provider.chats}
    assert models == {False: "fake-model", True: "small-model"}


def test_a_model_of_another_provider(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    """By proxy, with the name that Codex's own picker shows."""
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
    assert not [error for error in run.errors if "metadata" in error]
    assert {chat.body["model"] for chat in provider.chats} == {"fake-model"}
