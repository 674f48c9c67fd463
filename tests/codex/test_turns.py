"""Everyday turns, in all four modes of reaching the relay."""

import pytest

from tests.codex.conftest import PIXEL, NewCodex
from tests.codex.driver import Mode
from tests.fake_provider import FakeProvider, image_urls
from tests.replies import KIMI, STYLES, USAGE, Style, call, say, think

MODES = pytest.mark.parametrize("mode", list(Mode))

PATCH = """\
*** Begin Patch
*** Update File: poem.txt
@@
 roses are red
-violets are grey
+violets are blue
*** Add File: notes/new.txt
+a "quoted" line
+	tabs and \\backslashes stay
*** End Patch
"""


@MODES
def test_greeting_is_answered(mode: Mode, codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(think("A greeting."), say("Hello, wörld!"))
    run = codex(mode).exec("Say hello, please.")
    assert run.exit_code == 0
    assert run.text == "Hello, wörld!"
    assert [item["text"] for item in run.items("reasoning")] == ["A greeting."]
    assert run.usage["input_tokens"] == USAGE["prompt_tokens"]
    assert run.usage["cached_input_tokens"] == 100
    assert run.usage["output_tokens"] == USAGE["completion_tokens"]
    assert run.usage["reasoning_output_tokens"] == 10
    assert run.elapsed < 8
    # Codex gets the catalog by proxy only; it asks no custom provider for one.
    assert run.error_messages == [] or (
        not mode.by_proxy and "Model metadata" in run.error_messages[0]
    )

    [request] = provider.posted_requests
    assert request.prompt == "Say hello, please."
    assert request.body["model"] == "fake-model"
    assert request.messages[0]["role"] == "system"
    assert "Codex" in request.system
    assert "exec_command" in request.tools


@MODES
def test_command_writes_a_file(mode: Mode, codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(say("Writing."), call("exec_command", cmd="printf 'a\\nb' > out.txt; echo ok"))
    provider.reply(say("Done."))
    run = codex(mode).exec("Write out.txt.")
    assert run.exit_code == 0
    assert run.files == {"out.txt": "a\nb"}
    [command] = run.items("command_execution")
    assert command["exit_code"] == 0
    assert command["aggregated_output"] == "ok\n"
    assert [item["text"] for item in run.items("agent_message")] == ["Writing.", "Done."]

    _, second = provider.posted_requests
    *_, assistant, tool = second.messages
    assert assistant["content"] == "Writing."
    assert [call_sent["function"]["name"] for call_sent in assistant["tool_calls"]] == [
        "exec_command"
    ]
    assert tool["tool_call_id"] == assistant["tool_calls"][0]["id"]
    assert "ok" in second.outputs[0]


@MODES
def test_parallel_commands(mode: Mode, codex: NewCodex, provider: FakeProvider) -> None:
    """Two commands that wait for each other: they end only if both run at once."""
    wait = "for i in $(seq 100); do [ -e {0} ] && break; sleep 0.05; done; [ -e {0} ] && echo {1}"
    provider.reply(
        think("Both at once."),
        call("exec_command", cmd="touch one; " + wait.format("two", "first")),
        call("exec_command", cmd="touch two; " + wait.format("one", "second")),
        style=KIMI,
    )
    provider.reply(say("Done."))
    run = codex(mode).exec("Do both.")
    assert run.exit_code == 0
    assert [item["exit_code"] for item in run.items("command_execution")] == [0, 0]

    _, second = provider.posted_requests
    *_, assistant, first, last = second.messages
    assert assistant["reasoning_content"] == "Both at once."
    answered = [first["tool_call_id"], last["tool_call_id"]]
    assert [call_sent["id"] for call_sent in assistant["tool_calls"]] == answered
    assert "first" in second.outputs[0]
    assert "second" in second.outputs[1]


@MODES
def test_apply_patch(mode: Mode, codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(call("apply_patch", input=PATCH))
    provider.reply(say("Patched."))
    client = codex(mode)
    (client.work / "poem.txt").write_text("roses are red\nviolets are grey\n")
    run = client.exec("Fix the poem.", model="gpt-5.5")
    assert run.exit_code == 0
    assert run.files == {
        "poem.txt": "roses are red\nviolets are blue\n",
        "notes/new.txt": 'a "quoted" line\n\ttabs and \\backslashes stay\n',
    }
    [change] = run.items("file_change")
    assert change["status"] == "completed"

    first, second = provider.posted_requests
    assert "Begin Patch" in first.tools["apply_patch"]["description"]  # from its grammar
    assert second.messages[-2]["tool_calls"][0]["function"]["name"] == "apply_patch"
    assert "poem.txt" in second.outputs[0]


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_every_provider_style(style: Style, codex: NewCodex, provider: FakeProvider) -> None:
    provider.style = style
    provider.reply(
        think("Two steps, in one go."),
        say("I look."),
        call("exec_command", cmd="echo one"),
        call("exec_command", cmd="echo two"),
    )
    provider.reply(think("And a third."), call("exec_command", cmd="echo three"), compress=True)
    provider.reply(say("One, two, three."), stream=False)
    run = codex().exec("Count.")
    assert run.exit_code == 0
    assert run.text == "One, two, three."
    outputs = [item["aggregated_output"] for item in run.items("command_execution")]
    assert sorted(outputs) == ["one\n", "three\n", "two\n"]
    thoughts = "".join(item["text"] for item in run.items("reasoning"))
    expected = "" if style.reasoning == "none" else "Two steps, in one go.And a third."
    assert thoughts == expected
    assert len(provider.posted_requests[-1].outputs) == 3
    assert run.usage["input_tokens"] == 3 * 120


def test_image_of_the_prompt_reaches_the_provider(codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(say("A pixel."))
    run = codex().exec("What is this?", "-i", str(PIXEL))
    assert run.exit_code == 0
    [request] = provider.posted_requests
    assert any(image_urls(message) for message in request.messages)
