"""Defects of MetaFARS/codex-relay 0.5.8 that the real Codex (0.169) ran into, and
what only a real MCP server shows: one test each.
"""

import json
from pathlib import Path

import httpx2
import pytest

from tests.codex.conftest import PIXEL, NewCodex
from tests.codex.driver import Mode, Relay
from tests.codex.test_compaction import LIMIT, queue_turn, summaries_in
from tests.codex.test_tools import CLASSIC_MODEL, CODE_MODEL
from tests.fake_provider import FakeProvider, image_urls, text_of
from tests.replies import SLOPPY, Finish, call, error, pause, say


@pytest.mark.parametrize("model", ["fake-model", CLASSIC_MODEL, CODE_MODEL])
def test_codex_relay_driven_01_base_prompt(
    model: str, codex: NewCodex, provider: FakeProvider
) -> None:
    """Of all instructions, only the last developer message is sent."""
    provider.reply(say("Hello."))
    assert codex().exec("Hello.", model=model).exit_code == 0
    [request] = provider.posted_requests
    assert "Codex" in request.system.partition("\n")[0]
    assert "<permissions instructions>" in request.system
    assert len(request.system) > 10_000


def test_codex_relay_driven_02_tools_of_code_mode(codex: NewCodex, provider: FakeProvider) -> None:
    """The list of tools is empty: the agent cannot act."""
    provider.reply(call("functions__exec", input='text("so it acts");'))
    provider.reply(say("Done."))
    assert codex().exec("Act.", model=CODE_MODEL).exit_code == 0
    first, second = provider.posted_requests
    assert "functions__exec" in first.tools
    assert "so it acts" in second.outputs[0]


def test_codex_relay_driven_03_tool_search(
    mcp: str, codex: NewCodex, provider: FakeProvider
) -> None:
    """The search is dropped, and with it every tool that it would find."""
    provider.reply(call("tool_search", query="add two numbers", limit=4))
    provider.reply(say("Found."))
    assert codex(config=mcp).exec("Look for it.", model=CLASSIC_MODEL).exit_code == 0
    first, second = provider.posted_requests
    assert "tool_search" in first.tools and "mcp__tiny__add" not in first.tools
    assert "mcp__tiny__add" in second.tools


def test_codex_relay_driven_04_chatgpt_mode(codex: NewCodex, provider: FakeProvider) -> None:
    """A body in zstd is a 422, and the refused WebSocket costs seven attempts."""
    provider.reply(say("Hello."))
    run = codex(Mode.PROXY_CHATGPT).exec("Hello.")
    assert (run.exit_code, run.text, run.error_messages) == (0, "Hello.", [])
    assert len(provider.posted_requests) == 1


def test_codex_relay_driven_05_remote_compaction(codex: NewCodex, provider: FakeProvider) -> None:
    """`expected exactly one compaction output item`: the turn fails."""
    queue_turn(provider)
    run = codex(Mode.BASE_URL).exec("Plant the tree.", *LIMIT)
    assert (run.exit_code, run.text) == (0, "Planted.")
    assert len(summaries_in(provider.posted_requests[-1])) == 1


def test_codex_relay_driven_06_pictures_in_outputs(codex: NewCodex, provider: FakeProvider) -> None:
    """Lists of parts go up as JSON in a text, pictures in base64."""
    provider.reply(call("view_image", path="pixel.png"))
    provider.reply(say("A pixel."))
    client = codex()
    (client.work / "pixel.png").write_bytes(PIXEL.read_bytes())
    assert client.exec("Look at pixel.png.").exit_code == 0
    _, second = provider.posted_requests
    assert len([url for message in second.messages for url in image_urls(message)]) == 1
    assert not any("base64" in text_of(message) for message in second.messages)


def test_codex_relay_driven_07_output_schema(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    """The schema of the answer is dropped without a report."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    provider.reply(say('{"n": 5}'))
    run = codex().exec("Five?", "--output-schema", str(tmp_path / "schema.json"))
    assert (run.exit_code, run.text) == (0, '{"n": 5}')
    [request] = provider.posted_requests
    assert request.body["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize(
    ("status", "message", "shown"),
    [
        (401, "Your key has expired", "Your key has expired"),
        (404, "No such model", "No such model"),
        (400, "maximum context length is 65536 tokens", "ran out of room"),
        (402, "Insufficient Balance", "uota"),
    ],
)
def test_codex_relay_driven_08_errors(
    status: int, message: str, shown: str, codex: NewCodex, provider: FakeProvider
) -> None:
    """Each 4xx appears as a lost stream, which Codex retries five times."""
    provider.reply(error(status, message))
    run = codex().exec("Hello.")
    assert run.exit_code != 0
    assert shown in " ".join(run.error_messages)
    assert "stream disconnected" not in " ".join(run.error_messages)
    assert len(provider.posted_requests) == 1


def test_codex_relay_driven_09_truncated_replies(codex: NewCodex, provider: FakeProvider) -> None:
    """An answer that is truncated, filtered or missing counts as a success."""
    provider.reply(say("So far and"), Finish("length"))
    assert codex().exec("Hello.").exit_code != 0
    provider.reply(say("So far and"), Finish("content_filter"))  # retried, as are the following
    provider.reply(say("So far and"), Finish(""), style=SLOPPY)  # neither a finish nor [DONE]
    provider.reply()  # nothing at all
    provider.reply(say("A whole answer."))
    run = codex().exec("Hello.")
    assert (run.exit_code, run.text) == (0, "A whole answer.")
    assert len(provider.posted_requests) == 5


def test_codex_relay_driven_10_sloppy_replies(
    codex: NewCodex, provider: FakeProvider, tmp_path: Path
) -> None:
    """JSON instead of a stream, no ids, one turn as two messages, and no heartbeat."""
    relay = Relay(
        tmp_path / "relay", upstream=provider.url, api_key=provider.key or "", heartbeat="1"
    )
    impatient = "stream_idle_timeout_ms = 2500\nstream_max_retries = 0\nrequest_max_retries = 0"
    run_both = say("Both."), call("exec_command", cmd="echo 1"), call("exec_command", cmd="echo 2")
    provider.reply(*run_both, style=SLOPPY, stream=False)
    provider.reply(pause(3.5), say("Done."))
    try:
        run = codex(relay=relay, provider=impatient).exec("Run both.")
    finally:
        relay.stop()
    assert (run.exit_code, run.text) == (0, "Done.")
    assert sorted(i["aggregated_output"] for i in run.items("command_execution")) == ["1\n", "2\n"]
    *_, assistant, _, _ = provider.posted_requests[1].messages
    assert assistant["content"] == "Both." and len(assistant["tool_calls"]) == 2


def test_codex_relay_driven_11_proxy_mode(
    codex: NewCodex, provider: FakeProvider, relay: Relay
) -> None:
    """No proxy mode, no account check, no model list that Codex can read."""
    provider.reply(say("Hello."))
    run = codex(Mode.PROXY_CHATGPT).exec("Hello.", model="fake-model")
    assert (run.exit_code, run.error_messages) == (0, [])  # no warning about missing metadata
    models = httpx2.get(f"{relay.url}/v1/models", trust_env=False).json()
    assert {"fake-model", "gpt-5.5"} <= {model["id"] for model in models["data"]}
    codexs = httpx2.get(f"{relay.url}/v1/models?client_version=1", trust_env=False).json()
    assert {"fake-model", "gpt-5.5"} <= {model["slug"] for model in codexs["models"]}


def test_switchyard_384_live_mcp_server(mcp: str, codex: NewCodex, provider: FakeProvider) -> None:
    """A tool of a namespace is offered, called and answered by a server on stdio."""
    provider.reply(call("mcp__tiny__add", a=2, b=3))
    provider.reply(say("Five."))
    run = codex(config=mcp).exec("What is 2 + 3?")
    assert run.exit_code == 0
    [done] = run.items("mcp_tool_call")
    assert (done["server"], done["tool"], done["status"]) == ("tiny", "add", "completed")
    assert "the sum is 5" in provider.posted_requests[1].outputs[0]
