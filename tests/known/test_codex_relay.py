"""The defects of MetaFARS/codex-relay 0.5.8, found by running it: one test each.

Defects of the server rather than of the translation (13, 16, 17, 19, 20) are tested at the real
relay.
"""

import json
import re
from typing import Any

import pytest

from tests.addons.endpoints.calls import answer_with_list, get_path
from tests.addons.exchange.test_addon import (
    ask,
    ask_once,
    completed_text,
    error_of,
    refuses,
    relay,
    says,
)
from tests.addons.proxy import Client, bounded
from tests.known.support import (
    APPLY_PATCH,
    CODE_MODE,
    GRAMMAR,
    PATCH,
    PICTURE,
    PIXEL,
    accepted_body,
    call_delta,
    call_item,
    call_items,
    call_output,
    developer_message,
    function_tool,
    message,
    message_roles,
    names_and_inputs,
    patch_call,
    reply_items,
    tool_names,
    user_message,
)
from tests.translate.support import Json, chunk, reply_events, responses_exchange
from translate import BadRequest


def test_codex_relay_01_instructions_beside_developer_messages() -> None:
    """`instructions` are lost with any developer message."""
    body = accepted_body(
        developer_message("You may write."), user_message(), instructions="You are Codex."
    )
    assert body["messages"][0]["content"] == "You are Codex.\n\nYou may write."
    assert message_roles(body) == ["system", "user"]


def test_codex_relay_02_developer_message_in_mid_conversation() -> None:
    """It is moved to the top, ahead of what the provider has cached."""
    body = accepted_body(
        user_message("One."),
        message("assistant", "Two."),
        developer_message("Now read only."),
        user_message(),
    )
    assert message_roles(body) == ["user", "assistant", "user", "user"]
    assert body["messages"][2]["content"] == "<system>\nNow read only.\n</system>"


def test_codex_relay_03_additional_tools() -> None:
    """Tools that come as an item of the input are dropped: the model has none."""
    item = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [CODE_MODE, function_tool("wait")],
    }
    body = accepted_body(item, user_message(), tools=[])
    assert tool_names(body) == ["functions__exec", "wait"]
    assert message_roles(body) == ["user"]


def test_codex_relay_04_reasoning_on_input() -> None:
    """Reasoning is kept in memory only, so a restart or another relay loses it."""
    thinking, call = chunk(reasoning_content="I look."), call_delta(id="c", name="f")
    items = reply_items("deepseek", thinking, call, chunk("tool_calls"), tools=[function_tool()])
    body = accepted_body(user_message(), *items, call_output("c"), to="deepseek")
    assert body["messages"][1]["reasoning_content"] == "I look."
    unsealed = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Seen elsewhere."}],
    }
    body = accepted_body(user_message(), unsealed, call_item("c"), call_output("c"), to="deepseek")
    assert body["messages"][1]["reasoning_content"] == "Seen elsewhere."


def test_codex_relay_05_picture_in_a_tool_output() -> None:
    """It becomes base64 in the text of the tool message."""
    parts = [{"type": "input_text", "text": "Here."}, PICTURE]
    body = accepted_body(user_message(), call_item("c"), call_output("c", parts))
    _, _, tool, follows = body["messages"]
    assert tool == {"role": "tool", "tool_call_id": "c", "content": "Here."}
    assert follows["content"][1] == {
        "type": "image_url", "image_url": {"url": PICTURE["image_url"]},
    }  # fmt: skip
    assert json.dumps(body).count(PIXEL) == 1


def test_codex_relay_06_input_file() -> None:
    """It is forwarded in the shape of the Responses API, which Chat refuses."""
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}
    item = {"role": "user", "content": [{"type": "input_file", **file}]}
    assert accepted_body(item)["messages"][0]["content"] == [{"type": "file", "file": file}]


def test_codex_relay_07_parameters() -> None:
    """The response format, the tool choice and others are dropped without a report."""
    schema = {"type": "object", "properties": {}}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": False}
    fields: Json = {
        "text": {"format": form, "verbosity": "low"}, "top_p": 0.5, "user": "me",
        "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False,
    }  # fmt: skip
    body = accepted_body(user_message(), to="openrouter", **fields)
    assert body["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": False},
    }  # fmt: skip
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False
    assert (body["top_p"], body["user"], body["verbosity"]) == (0.5, "me", "low")
    dropped = responses_exchange(
        tools=[function_tool()], **fields
    ).dropped  # by a server that accepts neither
    assert dropped == ["text.verbosity", "user"]


def test_codex_relay_08_grammar_of_custom_tools() -> None:
    """The grammar is dropped, and only its own key is unwrapped: JSON lands in the patch."""
    body = accepted_body(user_message(), tools=[APPLY_PATCH])
    assert GRAMMAR in body["tools"][0]["function"]["description"]
    for arguments in (*(json.dumps({key: PATCH}) for key in ("input", "patch", "x")), PATCH):
        assert patch_call(arguments)["input"] == PATCH


def test_codex_relay_09_illegal_names() -> None:
    """Names that are too long or have illegal characters are forwarded unchanged."""
    long = "read. " + "x" * 100
    by = responses_exchange(tools=[function_tool(long), function_tool(long + "y")])
    first, second = tool_names(json.loads(by.body))
    assert first != second
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in (first, second))
    [item] = call_items(call_delta(id="c", name=second, arguments="{}"), by=by)
    assert item["name"] == long + "y"


def test_codex_relay_10_orphans() -> None:
    """Outputs without a call and calls without an output are forwarded: a 400."""
    body = accepted_body(call_output("gone", "lost"), call_item("c"), user_message())
    assert message_roles(body) == ["user", "assistant", "tool", "user"]
    assert "gone" in body["messages"][0]["content"] and "lost" in body["messages"][0]["content"]
    assert body["messages"][2] == {
        "role": "tool", "tool_call_id": "c", "content": "[no output: the call was not completed]",
    }  # fmt: skip


@pytest.mark.parametrize(
    "chunks",
    [
        [call_delta(None, id="c", name="f", arguments='{"a"'), call_delta(None, arguments=":1}")],
        [call_delta(id="", name="f", arguments='{"a":1}')],
        [call_delta(id="c", name="f", arguments={"a": 1})],
        [{"choices": None}, call_delta(id="c", name="f", arguments='{"a":1}')],
        [
            call_delta(id="c", name="f", arguments='{"a"'),
            call_delta(id="c", name="f", arguments=":1}"),
        ],
    ],
    ids=["no index", "empty id", "object arguments", "null choices", "name repeated"],
)
def test_codex_relay_11_odd_deltas(chunks: list[Json]) -> None:
    """Each of these fails the whole turn."""
    [item] = call_items(*chunks)
    assert names_and_inputs([item]) == [("f", {"a": 1})]
    assert item["call_id"]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_output_tokens"), ("content_filter", "content_filter")],
)
def test_codex_relay_12_endings(finish: str, reason: str) -> None:
    """A reply that was cut short is reported as completed."""
    response = reply_events(chunk(content="So far"), chunk(finish))[-1]["response"]
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": reason}


@bounded
async def test_codex_relay_13_errors() -> None:
    """Every 4xx is a 200 with code "400" and JSON in its text; Retry-After is lost."""
    no = b'{"error": {"message": "no", "code": "nope"}}'
    body = json.dumps({"model": "gpt-5.5", "input": "Hello."}).encode()
    async with relay(refuses(401, no)) as (_, port), Client.connect(port) as client:
        codex = {"originator": "codex_exec", "user_agent": "codex_exec/0.169.0"}
        answer = await client.ask("/v1/responses", body, host="localhost", **codex)
    assert answer.status == 400
    assert error_of(answer)["code"] == "invalid_prompt"
    assert error_of(answer)["message"].endswith(
        "answered 401: no [nope] (no key was sent; set CODEX_RELAY_API_KEY or relay_api_key)"
    )
    async with relay(refuses(429, no, retry_after="7"), relay_retries="0") as (_, port):
        answer = await ask_once(port)
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert error_of(answer)["code"] == "rate_limit_exceeded"


def test_codex_relay_14_usage() -> None:
    """Reasoning tokens are missing, and all usage is where the provider reports none."""
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14,
             "completion_tokens_details": {"reasoning_tokens": 3}}  # fmt: skip
    events = reply_events(chunk(content="Hi."), chunk("stop"), {"choices": [], "usage": usage})
    usage_sent = events[-1]["response"]["usage"]
    assert usage_sent["output_tokens_details"] == {"reasoning_tokens": 3}
    usage_sent = reply_events(chunk(content="Hi."), chunk("stop"))[-1]["response"]["usage"]
    assert usage_sent["estimated"] is True
    assert usage_sent["input_tokens"] > 0 and usage_sent["output_tokens"] > 0


def test_codex_relay_15_unknown_previous_response() -> None:
    """It is accepted, and the model is asked without the conversation."""
    with pytest.raises(BadRequest) as refusal:
        responses_exchange(previous_response_id="resp_gone")
    assert refusal.value.code == "previous_response_not_found"
    assert refusal.value.param == "previous_response_id"


@bounded
async def test_codex_relay_16_paths() -> None:
    """/responses, /v1/responses/compact, /health and / are 404; an upgrade is 405."""
    async with relay(says("A summary.")) as (_, port), Client.connect(port) as client:
        assert completed_text(await ask(client, "/responses")) == "A summary."
        compacted = await client.ask("/v1/responses/compact", b'{"model": "m", "input": "Hello."}')
        assert compacted.status == 200
        assert json.loads(compacted.body)["output"][-1]["type"] == "compaction"
        assert (await get_path(client, "/health")).status == 200
        assert (await get_path(client, "/")).status == 200
        upgrade = {"upgrade": "websocket", "connection": "upgrade", "sec_websocket_version": "13"}
        assert (await get_path(client, "/v1/responses", **upgrade)).status == 426


@bounded
async def test_codex_relay_17_catalog() -> None:
    """The entries of `models` lack what Codex reads of them."""
    model_list = b'{"data": [{"id": "m", "context_length": 64000}]}'
    handler = answer_with_list(model_list)
    async with relay(handler) as (_, port), Client.connect(port) as client:
        answer = await get_path(client, "/v1/models?client_version=0.169.0")
    [model] = json.loads(answer.body)["models"]
    assert (model["slug"], model["display_name"], model["context_window"]) == ("m", "m", 64000)
    assert model["apply_patch_tool_type"] == "freeform"
    assert model["base_instructions"]


def signed_call(id: str) -> dict[str, Any]:
    return {"id": id, "extra_content": {"google": {"thought_signature": "sig"}}}


def test_codex_relay_18_details_and_signatures() -> None:
    """`reasoning_details` and Gemini's signatures are lost, which those providers refuse."""
    details = [{"type": "reasoning.encrypted", "data": "sealed", "index": 0}]
    thinking, call = chunk(reasoning_details=details), call_delta(id="c", name="f")
    items = reply_items("openrouter", thinking, call, chunk("tool_calls"), tools=[function_tool()])
    body = accepted_body(user_message(), *items, call_output("c"), to="openrouter")
    assert body["messages"][1]["reasoning_details"] == details
    items = reply_items("gemini", call_delta(**signed_call("c"), name="f", arguments="{}"),
                     chunk("stop"), tools=[function_tool()])  # fmt: skip
    body = accepted_body(user_message(), *items, call_output("c"), to="gemini")
    [call_sent] = body["messages"][1]["tool_calls"]
    assert call_sent["extra_content"] == signed_call("c")["extra_content"]


@bounded
async def test_codex_relay_19_authorization() -> None:
    """Anybody who reaches the port can use its owner's key."""
    async with relay(says(), relay_client_key="mine") as (above, port):
        async with Client.connect(port) as client:
            assert (await ask(client)).status == 401
            wrong = await client.ask("/v1/responses", b"{}", authorization="Bearer other")
            assert wrong.status == 401
        assert above.seen == []


@bounded
async def test_codex_relay_20_retries() -> None:
    """A temporary 429 or 5xx ends the turn, or makes Codex use its own five attempts."""
    soon = {"retry_after": "0.01"}
    async with relay(refuses(429, **soon), refuses(503, **soon), says()) as (above, port):
        assert completed_text(await ask_once(port)) == "Hi."
    assert len({request.body for request in above.seen}) == 1
    assert len(above.seen) == 3
