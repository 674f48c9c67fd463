"""Codex's special tools: MCP, code mode, tool search, sub-agents, view_image."""

import base64
import io
import json
from pathlib import Path

import PIL.Image
import pytest

from tests.codex.conftest import PIXEL, NewCodex
from tests.codex.driver import Relay
from tests.fake_provider import FakeProvider, ReceivedRequest, image_urls, text_of
from tests.provider_rules import RULES_OF_PROVIDERS
from tests.replies import Call, call, say

CODE_MODEL, CLASSIC_MODEL = "gpt-6-sol", "gpt-5.5"  # as the installed Codex's own catalog has them


def test_mcp_text_and_picture(mcp: str, codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(
        call("mcp__tiny__add", a=2, b=3),
        call("mcp__tiny__draw", color="red"),
    )
    provider.reply(say("Five, and red."))
    run = codex(config=mcp).exec("Add and draw.")
    assert run.exit_code == 0
    done = {item["tool"]: item for item in run.items("mcp_tool_call")}
    assert done.keys() == {"add", "draw"}
    assert {item["status"] for item in done.values()} == {"completed"}

    first, second = provider.posted_requests
    assert first.tools["mcp__tiny__add"]["parameters"]["required"] == ["a", "b"]
    assert "the sum is 5" in second.outputs[0]
    assert "a red pixel" in second.outputs[1]
    pictures = [url for message in second.messages for url in image_urls(message)]
    assert len(pictures) == 1  # in a user message, as tool messages have none


def test_view_image(codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(call("view_image", path="pixel.png"))
    provider.reply(say("A red pixel."))
    client = codex()
    (client.work / "pixel.png").write_bytes(PIXEL.read_bytes())
    run = client.exec("Look at pixel.png.")
    assert run.exit_code == 0
    _, second = provider.posted_requests
    assert [url[:14] for m in second.messages for url in image_urls(m)] == ["data:image/png"]


def test_view_image_of_a_camera(codex: NewCodex, provider: FakeProvider) -> None:
    """Codex (0.169) scales it down itself; its type is the declared one."""
    provider.reply(call("view_image", path="oven.jpg"))
    provider.reply(say("An oven."))
    client = codex()
    PIL.Image.effect_noise((6000, 4000), 60).save(client.work / "oven.jpg", quality=70)
    run = client.exec("Look at oven.jpg.")
    assert run.exit_code == 0 and run.text == "An oven."
    [url] = [url for message in provider.posted_requests[1].messages for url in image_urls(message)]
    assert max(open_data_url(url).size) <= 2048


def test_picture_in_an_unsupported_format_is_converted(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    """Codex sends WebP unchanged, which llama.cpp cannot read. Its bytes never change."""
    provider.rules = RULES_OF_PROVIDERS["llamacpp"]
    provider.reply(call("view_image", path="oven.webp"))
    provider.reply(call("exec_command", cmd="true"))
    provider.reply(say("An oven."))
    key = provider.key or ""
    relay = Relay(tmp_path / "relay", upstream=provider.url, api_key=key, provider="llamacpp")
    try:
        client = codex(relay=relay)
        PIL.Image.new("RGB", (60, 40), "red").save(client.work / "oven.webp")
        run = client.exec("Look at oven.webp.")
    finally:
        relay.stop()
    assert run.exit_code == 0 and run.text == "An oven."
    second, third = (
        [u for m in chat.messages for u in image_urls(m)] for chat in provider.posted_requests[1:]
    )
    assert second == third
    [url] = second
    assert open_data_url(url).format == "PNG" and open_data_url(url).size == (60, 40)


def open_data_url(url: str) -> PIL.Image.Image:
    """The picture of a data: URL, whose type it must have."""
    head, _, data = url.partition(",")
    image = PIL.Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == f"data:{image.get_format_mimetype()};base64"
    return image


PATCH = """*** Begin Patch
*** Update File: tree.txt
@@
-an apple tree
+a pear tree
*** Add File: new.txt
+"new"
*** End Patch
"""


@pytest.mark.parametrize(
    "written",
    [
        f"```diff\n{PATCH}```",
        f"apply_patch <<'EOF'\n{PATCH}EOF\n",
        json.dumps({"command": ["apply_patch", PATCH]}),
        PATCH.replace("\n", "\\n"),
        PATCH.replace(" Patch\n", " Patch ***\n"),
        f"Here is the patch:\n\n{PATCH}\nDone.",
        PATCH.removesuffix("*** End Patch\n"),
        PATCH,
    ],
    ids=["fence", "heredoc", "command", "escaped", "stars", "prose", "open", "bare"],
)
def test_apply_patch_is_mended(written: str, codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(call("apply_patch", input=written))
    provider.reply(say("Done."))
    client = codex()
    (client.work / "tree.txt").write_text("an apple tree\n")
    run = client.exec("Make it a pear tree.", model=CLASSIC_MODEL)
    assert run.exit_code == 0
    assert run.files == {"tree.txt": "a pear tree\n", "new.txt": '"new"\n'}
    assert [item["status"] for item in run.items("file_change")] == ["completed"]
    assert len(provider.posted_requests) == 2


def test_patch_that_cannot_be_mended_is_refused_by_codex(
    codex: NewCodex, provider: FakeProvider
) -> None:
    provider.reply(call("apply_patch", input="Please change the tree."))
    provider.reply(say("I cannot."))
    run = codex().exec("Make it a pear tree.", model=CLASSIC_MODEL)
    assert run.exit_code == 0 and run.files == {}
    assert "*** Begin Patch" in provider.posted_requests[1].outputs[0]


def test_code_mode(codex: NewCodex, provider: FakeProvider) -> None:
    """Tools come in `additional_tools`; a command is JavaScript that calls exec_command."""
    script = (
        'const r = await tools.exec_command({cmd: "echo hi > js.txt; cat js.txt"}); text(r.output);'
    )
    provider.reply(call("functions__exec", input=script))
    provider.reply(say("Done."))
    run = codex().exec("Write js.txt.", model=CODE_MODEL)
    assert run.exit_code == 0
    assert run.files == {"js.txt": "hi\n"}
    assert run.text == "Done."
    first, second = provider.posted_requests
    assert {"functions__exec", "functions__wait", "clock__sleep"} <= first.tools.keys()
    assert "hi" in second.outputs[0]


def test_tool_search(mcp: str, codex: NewCodex, provider: FakeProvider) -> None:
    """Deferred tools are searched for, declared from then on, and called."""
    provider.reply(call("tool_search", query="add two numbers", limit=4))
    provider.reply(call("mcp__tiny__add", a=20, b=3))
    provider.reply(say("23"))
    run = codex(config=mcp).exec("What is 20 + 3?", model=CLASSIC_MODEL)
    assert run.exit_code == 0
    assert [item["tool"] for item in run.items("mcp_tool_call")] == ["add"]
    first, second, third = provider.posted_requests
    assert "mcp__tiny__add" not in first.tools
    assert "mcp__tiny__add" in second.tools
    assert "the sum is 23" in third.outputs[-1]


def test_sub_agent(codex: NewCodex, provider: FakeProvider) -> None:
    """A sub-agent of a classic model has its own thread, and its answer comes back."""

    def by_child(request: ReceivedRequest) -> bool:
        return request.prompt == "Find the word."

    def by_parent(request: ReceivedRequest) -> bool:
        return not by_child(request)

    def wait(request: ReceivedRequest) -> Call:
        child = json.loads(request.outputs[0])["agent_id"]
        return call("multi_agent_v1__wait_agent", targets=[child], timeout_ms=10_000)

    provider.reply(call("multi_agent_v1__spawn_agent", message="Find the word."), when=by_parent)
    provider.reply(say("The word is xyzzy."), when=by_child)
    provider.reply(wait, when=by_parent)
    provider.reply(say("It is xyzzy."), when=by_parent)
    run = codex().exec("Ask a sub-agent.")
    assert run.exit_code == 0
    assert run.text == "It is xyzzy."
    assert "The word is xyzzy." in provider.posted_requests[-1].outputs[-1]


def test_code_mode_sub_agent(codex: NewCodex, provider: FakeProvider) -> None:
    """Task and answer are `agent_message` items; all of their text arrives."""

    def by_child(request: ReceivedRequest) -> bool:
        return "find-the-word" in "".join(map(text_of, request.messages[-2:])) and (
            "You are the parent" not in "".join(map(text_of, request.messages))
        )

    def by_parent(request: ReceivedRequest) -> bool:
        return not by_child(request)

    provider.reply(
        call(
            "collaboration__spawn_agent",
            message="find-the-word",
            task_name="seeker",
            fork_turns="none",
        ),
        when=by_parent,
    )
    provider.reply(say("The word is xyzzy."), when=by_child)
    provider.reply(call("collaboration__wait_agent", timeout_ms=10_000), when=by_parent)
    provider.reply(say("It is xyzzy."), when=by_parent)
    run = codex().exec("You are the parent. Ask a sub-agent.", model=CODE_MODEL)
    assert run.exit_code == 0
    assert run.text == "It is xyzzy."
    texts = "".join(map(text_of, provider.posted_requests[-1].messages))
    assert "The word is xyzzy." in texts
