"""The defects of MetaFARS/codex-relay 0.5.8, found by running it: one test each.

Where it is a server that errs, and not a translator (13, 16, 17, 19, 20), the real relay is asked.
"""

import json
import re
from typing import Any

import pytest

from tests.addons.endpoints.test_codex_calls import get, lists
from tests.addons.exchange.test_addon import answered, ask, error_of, refuses, relay, said, says
from tests.addons.proxy import Client, bounded
from tests.known.support import (
    APPLY_PATCH,
    CODE_MODE,
    GRAMMAR,
    PATCH,
    PICTURE,
    PIXEL,
    accepted,
    brief,
    call,
    called,
    called_custom,
    delta,
    developer,
    function,
    message,
    names,
    out,
    reply_of,
    roles,
    user,
)
from tests.translate.support import Json, carry, chunk, replied
from translate import BadRequest


def test_codex_relay_01_instructions_beside_developer_messages() -> None:
    """`instructions` are lost with any developer message."""
    body = accepted(developer("You may write."), user(), instructions="You are Codex.")
    assert body["messages"][0]["content"] == "You are Codex.\n\nYou may write."
    assert roles(body) == ["system", "user"]


def test_codex_relay_02_developer_message_in_mid_conversation() -> None:
    """It is hoisted to the top, out of its place and ahead of what the provider has cached."""
    body = accepted(user("One."), message("assistant", "Two."), developer("Now read only."), user())
    assert roles(body) == ["user", "assistant", "user", "user"]
    assert body["messages"][2]["content"] == "<system>\nNow read only.\n</system>"


def test_codex_relay_03_additional_tools() -> None:
    """Tools that come as an item of the input are dropped: the model has none."""
    item = {"type": "additional_tools", "role": "developer", "tools": [CODE_MODE, function("wait")]}
    body = accepted(item, user(), tools=[])
    assert names(body) == ["functions__exec", "wait"]
    assert roles(body) == ["user"]


def test_codex_relay_04_reasoning_on_input() -> None:
    """Thinking is kept in memory only: after a restart, or of another relay, it is missing."""
    items = reply_of("deepseek", chunk(reasoning_content="I look."), delta(id="c", name="f"),
                     chunk("tool_calls"), tools=[function()])  # fmt: skip
    body = accepted(user(), *items, out("c"), to="deepseek")
    assert body["messages"][1]["reasoning_content"] == "I look."
    plain = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Seen elsewhere."}]}
    body = accepted(user(), plain, call("c"), out("c"), to="deepseek")
    assert body["messages"][1]["reasoning_content"] == "Seen elsewhere."


def test_codex_relay_05_picture_in_a_tool_output() -> None:
    """It becomes base64 in the text of the tool message."""
    parts = [{"type": "input_text", "text": "Here."}, PICTURE]
    body = accepted(user(), call("c"), out("c", parts))
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
    assert accepted(item)["messages"][0]["content"] == [{"type": "file", "file": file}]


def test_codex_relay_07_parameters() -> None:
    """The form of the answer, the tool's choice and more are dropped without a word."""
    schema = {"type": "object", "properties": {}}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": False}
    asked: Json = {
        "text": {"format": form, "verbosity": "low"}, "top_p": 0.5, "user": "me",
        "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False,
    }  # fmt: skip
    body = accepted(user(), to="openrouter", **asked)
    assert body["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": False},
    }  # fmt: skip
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False
    assert (body["top_p"], body["user"], body["verbosity"]) == (0.5, "me", "low")
    unheard = carry(tools=[function()], **asked).dropped  # of a server that takes neither
    assert unheard == ["text.verbosity", "user"]


def test_codex_relay_08_grammar_of_custom_tools() -> None:
    """The grammar is dropped, and only its own key is unwrapped: JSON lands in the patch."""
    body = accepted(user(), tools=[APPLY_PATCH])
    assert GRAMMAR in body["tools"][0]["function"]["description"]
    for arguments in (*(json.dumps({key: PATCH}) for key in ("input", "patch", "x")), PATCH):
        assert called_custom(arguments)["input"] == PATCH


def test_codex_relay_09_illegal_names() -> None:
    """Names that are too long, or hold what Chat does not take, are forwarded as they are."""
    long = "read. " + "x" * 100
    by = carry(tools=[function(long), function(long + "y")])
    one, two = names(json.loads(by.body))
    assert one != two
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in (one, two))
    [item] = called(delta(id="c", name=two, arguments="{}"), by=by)
    assert item["name"] == long + "y"


def test_codex_relay_10_orphans() -> None:
    """Outputs without a call and calls without an output are forwarded: a 400."""
    body = accepted(out("gone", "lost"), call("c"), user())
    assert roles(body) == ["user", "assistant", "tool", "user"]
    assert "gone" in body["messages"][0]["content"] and "lost" in body["messages"][0]["content"]
    assert body["messages"][2] == {
        "role": "tool", "tool_call_id": "c", "content": "[no output: the call was not completed]",
    }  # fmt: skip


@pytest.mark.parametrize(
    "chunks",
    [
        [delta(None, id="c", name="f", arguments='{"a"'), delta(None, arguments=":1}")],
        [delta(id="", name="f", arguments='{"a":1}')],
        [delta(id="c", name="f", arguments={"a": 1})],
        [{"choices": None}, delta(id="c", name="f", arguments='{"a":1}')],
        [delta(id="c", name="f", arguments='{"a"'), delta(id="c", name="f", arguments=":1}")],
    ],
    ids=["no index", "empty id", "object arguments", "null choices", "name repeated"],
)
def test_codex_relay_11_odd_deltas(chunks: list[Json]) -> None:
    """Each of these fails the whole turn."""
    [item] = called(*chunks)
    assert brief([item]) == [("f", {"a": 1})]
    assert item["call_id"]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_output_tokens"), ("content_filter", "content_filter")],
)
def test_codex_relay_12_endings(finish: str, reason: str) -> None:
    """A reply that was cut short is reported as completed."""
    response = replied(chunk(content="So far"), chunk(finish))[-1]["response"]
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": reason}


@bounded
async def test_codex_relay_13_errors() -> None:
    """Every 4xx is a 200 with code "400" and JSON in its text; Retry-After is lost."""
    no = b'{"error": {"message": "no", "code": "nope"}}'
    async with relay(refuses(401, no)) as (_, port):
        answer = await answered(port)
    assert answer.status == 400
    assert error_of(answer)["code"] == "invalid_prompt"
    assert error_of(answer)["message"].endswith(
        "answered 401: no [nope] (check the key or the login)"
    )
    async with relay(refuses(429, no, retry_after="7"), relay_retries="0") as (_, port):
        answer = await answered(port)
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert error_of(answer)["code"] == "rate_limit_exceeded"


def test_codex_relay_14_usage() -> None:
    """Tokens of thinking are not told; nothing is told where the provider tells nothing."""
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14,
             "completion_tokens_details": {"reasoning_tokens": 3}}  # fmt: skip
    told = replied(chunk(content="Hi."), chunk("stop"), {"choices": [], "usage": usage})
    made = told[-1]["response"]["usage"]
    assert made["output_tokens_details"] == {"reasoning_tokens": 3}
    made = replied(chunk(content="Hi."), chunk("stop"))[-1]["response"]["usage"]
    assert made["estimated"] is True
    assert made["input_tokens"] > 0 and made["output_tokens"] > 0


def test_codex_relay_15_unknown_previous_response() -> None:
    """It is accepted, and the model is asked without the conversation."""
    with pytest.raises(BadRequest) as told:
        carry(previous_response_id="resp_gone")
    assert told.value.code == "previous_response_not_found"
    assert told.value.param == "previous_response_id"


@bounded
async def test_codex_relay_16_paths() -> None:
    """/responses, /v1/responses/compact, /health and / are 404; an upgrade is 405."""
    async with relay(says("A summary.")) as (_, port), Client.connect(port) as client:
        assert said(await ask(client, "/responses")) == "A summary."
        compacted = await client.ask("/v1/responses/compact", b'{"model": "m", "input": "Hello."}')
        assert compacted.status == 200
        assert json.loads(compacted.body)["output"][-1]["type"] == "compaction"
        assert (await get(client, "/health")).status == 200
        assert (await get(client, "/")).status == 200
        upgrade = {"upgrade": "websocket", "connection": "upgrade", "sec_websocket_version": "13"}
        assert (await get(client, "/v1/responses", **upgrade)).status == 426


@bounded
async def test_codex_relay_17_catalog() -> None:
    """The entries of `models` lack what Codex reads of them."""
    listed = b'{"data": [{"id": "m", "context_length": 64000}]}'
    handler = lists(listed)
    async with relay(handler) as (_, port), Client.connect(port) as client:
        answer = await get(client, "/v1/models?client_version=0.169.0")
    [model] = json.loads(answer.body)["models"]
    assert (model["slug"], model["display_name"], model["context_window"]) == ("m", "m", 64000)
    assert model["apply_patch_tool_type"] == "freeform"
    assert model["base_instructions"]


def signed(id: str) -> dict[str, Any]:
    return {"id": id, "extra_content": {"google": {"thought_signature": "sig"}}}


def test_codex_relay_18_details_and_signatures() -> None:
    """`reasoning_details` and Gemini's signatures are lost, which those providers refuse."""
    details = [{"type": "reasoning.encrypted", "data": "sealed", "index": 0}]
    items = reply_of("openrouter", chunk(reasoning_details=details), delta(id="c", name="f"),
                     chunk("tool_calls"), tools=[function()])  # fmt: skip
    body = accepted(user(), *items, out("c"), to="openrouter")
    assert body["messages"][1]["reasoning_details"] == details
    items = reply_of("gemini", delta(**signed("c"), name="f", arguments="{}"),
                     chunk("stop"), tools=[function()])  # fmt: skip
    body = accepted(user(), *items, out("c"), to="gemini")
    [made] = body["messages"][1]["tool_calls"]
    assert made["extra_content"] == signed("c")["extra_content"]


@bounded
async def test_codex_relay_19_authorization() -> None:
    """Whoever reaches the port spends its owner's money."""
    async with relay(says(), relay_client_key="mine") as (above, port):
        async with Client.connect(port) as client:
            assert (await ask(client)).status == 401
            wrong = await client.ask("/v1/responses", b"{}", authorization="Bearer other")
            assert wrong.status == 401
        assert above.seen == []


@bounded
async def test_codex_relay_20_retries() -> None:
    """A passing 429 or 5xx ends the turn, or sets Codex to count its own five attempts."""
    soon = {"retry_after": "0.01"}
    async with relay(refuses(429, **soon), refuses(503, **soon), says()) as (above, port):
        assert said(await answered(port)) == "Hi."
    assert len({request.body for request in above.seen}) == 1
    assert len(above.seen) == 3
