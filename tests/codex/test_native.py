"""A provider with /responses of its own that knows functions only, before the real Codex."""

from collections.abc import Iterator

import pytest

from tests.codex.conftest import NewCodex
from tests.codex.driver import Relay
from tests.codex.test_turns import PATCH
from tests.fake_provider import FakeProvider, ReceivedRequest
from tests.replies import call, say, think


@pytest.fixture
def native(upstream: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    relay = Relay(
        tmp_path_factory.mktemp("native"),
        upstream=upstream.url,
        api_key=upstream.key or "",
        provider="responses",
    )
    yield relay
    relay.stop()
    assert "Traceback" not in relay.log


def kinds(request: ReceivedRequest) -> list[str]:
    return [item["type"] for item in request.items if item.get("role") not in ("system", "user")]


def test_turn_with_every_kind_of_tool(
    mcp: str, native: Relay, codex: NewCodex, provider: FakeProvider
) -> None:
    provider.reply(
        think("A command and a patch."),
        say("I begin."),
        call("exec_command", cmd="echo hi > hi.txt; cat hi.txt"),
        call("apply_patch", input=PATCH),
    )
    provider.reply(
        think("Now a picture."), call("tool_search", query="add numbers, draw a pixel", limit=8)
    )
    provider.reply(call("mcp__tiny__draw", color="red"), call("mcp__tiny.add", a=2, b=3))
    provider.reply(say("All done."), stream=False)
    client = codex(relay=native, config=mcp)
    (client.work / "poem.txt").write_text("roses are red\nviolets are grey\n")
    run = client.exec("Do it all.", model="gpt-5.5")
    assert run.exit_code == 0
    assert run.text == "All done."
    assert run.usage["input_tokens"] == 480  # four requests, though no total was told
    assert run.files["hi.txt"] == "hi\n"
    assert run.files["poem.txt"] == "roses are red\nviolets are blue\n"
    assert [item["status"] for item in run.items("file_change")] == ["completed"]
    assert {item["tool"] for item in run.items("mcp_tool_call")} == {"draw", "add"}

    assert {request.path for request in provider.posted_requests} == {"/v1/responses"}
    *_, last = provider.posted_requests
    assert kinds(last) == [
        "reasoning", "message", "function_call", "function_call",
        "function_call_output", "function_call_output",
        "reasoning", "function_call", "function_call_output",
        "function_call", "function_call", "function_call_output", "function_call_output",
    ]  # fmt: skip
    thoughts = [item for item in last.items if item["type"] == "reasoning"]
    assert [item["content"][0]["text"] for item in thoughts] == [
        "A command and a patch.",
        "Now a picture.",
    ]
    assert {item["encrypted_content"] for item in thoughts} == {"sealed-here"}
    outputs = [item["output"] for item in last.items if item["type"] == "function_call_output"]
    assert "hi" in outputs[0] and "poem.txt" in outputs[1]
    assert "a red pixel" in outputs[3] and "the sum is 5" in outputs[4]
    pictures = [part for part in last.items[-1]["content"] if part["type"] == "input_image"]
    assert len(pictures) == 1


def test_thinking_survives_a_resume(native: Relay, codex: NewCodex, provider: FakeProvider) -> None:
    provider.reply(think("Remember 7."), say("Noted."))
    provider.reply(say("Seven."))
    client = codex(relay=native)
    first = client.exec("Note 7.")
    assert client.resume(first.thread_id, "What was it?").text == "Seven."
    _, second = provider.posted_requests
    [thought] = [item for item in second.items if item["type"] == "reasoning"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Remember 7."}]
