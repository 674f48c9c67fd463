"""What every user does, in all four ways to the relay."""

import pytest

from tests.codex.conftest import PIXEL, NewCodex
from tests.codex.driver import Mode
from tests.fake_provider import FakeProvider, images
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
def test_hello(mode: Mode, codex: NewCodex, provider: FakeProvider) -> None:
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
    # The catalog reaches Codex by proxy; a custom provider has none to ask.
    assert run.errors == [] or (not mode.by_proxy and "Model metadata" in run.errors[0])

    [asked] = provider.chats
    assert asked.prompt == "Say hello, please."
    assert asked.body["model"] == "fake-model"
    assert asked.messages[0]["role"] == "system"
    assert "Codex" in asked.system
    assert "exec_command" in asked.tools


@MODES
def test_a_command_writes_a_file(mode: Mode, codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(say("Writing."), call("exec_command", cmd="printf 'a\\nb' > out.txt; echo ok"))
    provider.reply(say("Done."))
    run = codex(mode).exec("Write out.txt.")
    assert run.exit_code == 0
    assert run.files == {"out.txt": "a\nb"}
    [command] = run.items("command_execution")
    assert command["exit_code"] == 0
    assert command["aggregated_output"] == "ok\n"
    assert [item["text"] for item in run.items("agent_message")] == ["Writing.", "Done."]

    _, second = provider.chats
    *_, assistant, tool = second.messages
    assert assistant["content"] == "Writing."
    assert [made["function"]["name"] for made in assistant["tool_calls"]] == ["exec_command"]
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

    _, second = provider.chats
    *_, assistant, first, last = second.messages
    assert assistant["reasoning_content"] == "Both at once."
    answered = [first["tool_call_id"], last["tool_call_id"]]
    assert [made["id"] for made in assistant["tool_calls"]] == answered
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

    first, second = provider.chats
    assert "Begin Patch" in first.tools["apply_patch"]["description"]  # its grammar
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
    assert len(provider.chats[-1].outputs) == 3
    assert run.usage["input_tokens"] == 3 * 120


def test_a_prompt_picture(codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(say("A pixel."))
    run = codex().exec("What is this?", "-i", str(PIXEL))
    assert run.exit_code == 0
    [asked] = provider.chats
    assert any(images(message) for message in asked.messages)
