"""The fake ChatGPT backend itself: what it refuses, and that the SDK reads what it sends."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.backend_replies import seal
from tests.fake_backend import (
    ACCOUNT,
    TOKEN,
    FakeBackend,
    burst,
    overloaded,
    running,
    spent,
    usage_limit,
    window,
)
from tests.replies import CUT, Finish, Part, call, custom, picture, say, think
from translate import Way, exchange, providers

ASKED = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "ls", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
THOUGHT = {
    "type": "reasoning", "id": "rs_1", "summary": [],
    "encrypted_content": seal(ACCOUNT, "rs_1", "hm"),
}  # fmt: skip
LS = {"type": "function", "name": "ls", "parameters": {"type": "object"}}
GOOD: dict[str, Any] = {
    "model": "gpt-5.5",
    "instructions": "Be.",
    "input": [ASKED, THOUGHT, CALL, OUTPUT],
    "tools": [LS, {"type": "custom", "name": "exec"}, {"type": "web_search"}],
    "tool_choice": {"type": "function", "name": "ls"},
    "include": ["reasoning.encrypted_content"],
    "service_tier": "priority",
    "store": False,
    "stream": True,
}
HEADERS = {
    "authorization": f"Bearer {TOKEN}",
    "chatgpt-account-id": ACCOUNT,
    "content-type": "application/json",
    "accept": "text/event-stream",
    "originator": "codex-relay",
    "user-agent": "codex-relay/1.0",
    "session_id": "s-1",
    "x-codex-window-id": "w-1",
}


def said(*items: Any) -> dict[str, Any]:
    return {"input": [ASKED, *items]}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


UNSUPPORTED = (
    "temperature", "top_p", "max_output_tokens", "presence_penalty", "frequency_penalty", "seed",
    "metadata", "top_logprobs", "truncation", "context_management", "prompt_cache_retention",
    "safety_identifier", "stream_options", "user", "previous_response_id", "generate", "stop",
)  # fmt: skip
LONG = {**CALL, "call_id": "c" * 65}, {**OUTPUT, "call_id": "c" * 65}
BAD: list[tuple[dict[str, Any], str]] = [
    *((GOOD | {name: 1}, f"Unsupported parameter: {name}") for name in UNSUPPORTED),
    (without("store"), "Store must be"),
    (GOOD | {"store": True}, "Store must be"),
    (GOOD | {"stream": False}, "Stream must be"),
    (GOOD | {"input": "hi"}, "Input must be a list"),
    (without("instructions"), "Instructions are required"),
    (GOOD | {"model": ""}, "Model"),
    (GOOD | {"include": "x"}, "Invalid type for 'include'"),
    (GOOD | {"service_tier": "fast"}, "Unsupported service_tier"),
    (GOOD | {"prompt_cache_key": "k" * 65}, "Invalid 'prompt_cache_key'"),
    (GOOD | {"tools": [LS, LS]}, "Tool names must be unique"),
    (GOOD | {"tools": [{"type": "mcp"}]}, "Unsupported tool type"),
    (GOOD | {"tools": [{**LS, "name": "a.b"}]}, "Invalid 'tools[0].name'"),
    (GOOD | {"tools": [{**LS, "parameters": {}}]}, "Invalid schema"),
    (GOOD | {"tool_choice": {"type": "function", "name": "rm"}}, "Tool choice"),
    (GOOD | {"tool_choice": {"type": "image_generation"}}, "Tool choice"),
    (GOOD | {"text": {"format": {"type": "json_schema", "schema": {}}}}, "Missing required"),
    (GOOD | said({"type": "item_reference", "id": "x"}), "Invalid value: 'item_reference'"),
    (GOOD | said({"role": "system", "content": "x"}), "System messages"),
    (GOOD | said({"role": "tool", "content": "x"}), "Invalid value: 'tool'"),
    (GOOD | said({"role": "user", "content": []}), "Invalid 'input[1].content'"),
    (GOOD | said({**ASKED, "role": "assistant"}), "Invalid value: 'input_text'"),
    (GOOD | said({**ASKED, "id": "item_1"}), "Invalid 'input[1].id'"),
    (GOOD | said({**CALL, "id": "call_1"}, OUTPUT), "Invalid 'input[1].id'"),
    (GOOD | said({**ASKED, "content": [{"type": "input_image", "image_url": "x"}]}), "Invalid"),
    (
        GOOD | said({**ASKED, "content": [{**ASKED["content"][0], "prompt_cache_breakpoint": 1}]}),  # type: ignore[dict-item]  # of mixed values
        "Unsupported parameter: prompt_cache_breakpoint",
    ),
    (GOOD | said(*LONG), "Invalid 'input[1].call_id'"),
    (GOOD | said({**CALL, "arguments": ""}, OUTPUT), "Missing required parameter: 'input[1].arg"),
    (GOOD | said({**CALL, "type": "custom_tool_call", "id": "ctc_1"}, OUTPUT), "Missing"),
    (GOOD | said(CALL), "No tool output found"),
    (GOOD | said(OUTPUT), "No tool call found"),
    (GOOD | said(CALL, {**OUTPUT, "type": "custom_tool_call_output"}), "No tool call found"),
    (GOOD | said(CALL, {**OUTPUT, "output": None}), "Missing required parameter: 'input[2]"),
    (GOOD | said({**THOUGHT, "encrypted_content": None}), "Item with id 'rs_1' not found"),
    (GOOD | said({**THOUGHT, "encrypted_content": "gAAAAother"}), "The encrypted content"),
    (GOOD | said({**THOUGHT, "id": "rs_2"}), "The encrypted content"),
    (GOOD | said({"type": "compaction", "encrypted_content": "x"}), "The encrypted content"),
    (GOOD | said({**THOUGHT, "summary": None}), "Missing required parameter: 'input[1].summary'"),
]


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with running() as backend:
        yield backend


def ask(
    backend: FakeBackend, body: Any = GOOD, path: str = "/codex/responses", **change: str | None
) -> httpx2.Response:
    more = {name.replace("_", "-"): value for name, value in change.items()}
    headers = {k: v for k, v in {**HEADERS, **more}.items() if v is not None}
    with httpx2.Client(trust_env=False, headers={}) as client:
        client.headers.clear()
        return client.post(backend.url + path, content=json.dumps(body), headers=headers)


def get(backend: FakeBackend, path: str, **more: str) -> httpx2.Response:
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in more.items()}}
    with httpx2.Client(trust_env=False) as client:
        return client.get(backend.url + path, headers=headers)


def events(reply: httpx2.Response) -> list[dict[str, Any]]:
    lines = (line for line in reply.text.splitlines() if line.startswith("data: "))
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize(("body", "fault"), BAD, ids=[fault for _, fault in BAD])
def test_a_fault_is_refused_as_the_service_does(
    body: dict[str, Any], fault: str, backend: FakeBackend
) -> None:
    reply = ask(backend, body)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(fault)
    assert [said.startswith(fault) for said in backend.refusals] == [True]
    backend.refusals.clear()


@pytest.mark.parametrize(
    "change",
    [
        {"originator": None},
        {"originator": "codex_cli_rs"},
        {"chatgpt_account_id": None},
        {"chatgpt_account_id": "account-0002"},
        {"accept": "application/json"},
        {"content_type": "text/plain"},
        {"user_agent": "OpenAI/Python 2.0"},
        {"user_agent": "python-httpx2/2.0"},
        {"user_agent": "codex_exec/0.169.0"},
        {"x_stainless_lang": "python"},
        {"cookie": "__cf_bm=of-account-0002"},
        {"x_codex_turn_state": "invented"},
    ],
    ids=str,
)
def test_headers_that_the_service_refuses(
    change: dict[str, str | None], backend: FakeBackend
) -> None:
    assert ask(backend, **change).status_code == 400
    assert len(backend.refusals) == 1
    backend.refusals.clear()


def test_an_unknown_token_is_a_401_that_no_test_fails_for(backend: FakeBackend) -> None:
    for token in ("Bearer other", f"Basic {TOKEN}"):
        reply = ask(backend, authorization=token)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "token_expired")
        assert "set-cookie" not in reply.headers
    assert len(backend.turns) == 2


PARTS: tuple[Part, ...] = (
    think("Hm, well."), say("Hello there"), call("ls", a=1), custom("exec", "text(1)\n"),
    picture("iVBORw0KGgo="),
)  # fmt: skip


def test_the_sdk_reads_its_stream_and_it_takes_back_what_it_said(backend: FakeBackend) -> None:
    backend.reply(*PARTS)
    reply = ask(backend)
    first, *rest = events(reply)
    assert (first["type"], first["rate_limits"]["primary"]) == ("codex.rate_limits", window(12))
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in rest:
        adapter.validate_python(event)
    assert [event["sequence_number"] for event in rest] == list(range(len(rest)))
    made = rest[-1]["response"]["output"]
    kinds = ["reasoning", "message", "function_call", "custom_tool_call", "image_generation_call"]
    assert [item["type"] for item in made] == kinds
    outputs = [
        {**OUTPUT, "call_id": made[2]["call_id"]},
        {**OUTPUT, "type": "custom_tool_call_output", "call_id": made[3]["call_id"]},
    ]
    backend.reply(say("Done"), Finish("max_output_tokens"))
    state = reply.headers["x-codex-turn-state"]
    cookie = reply.headers["set-cookie"].partition(";")[0]
    again = ask(backend, GOOD | said(*made, *outputs), x_codex_turn_state=state, cookie=cookie)
    assert events(again)[-1]["type"] == "response.incomplete"
    assert again.headers["x-codex-turn-state"] == state
    backend.accounts["other"] = "account-0002"
    theirs = {"authorization": "Bearer other", "chatgpt_account_id": "account-0002"}
    assert "could not be verified" in ask(backend, GOOD | said(made[0]), **theirs).text
    backend.refusals.clear()


def test_a_loop_of_ours_is_taken_word_for_word(backend: FakeBackend) -> None:
    """What the translation sends, thinking and custom calls given back included."""
    table = (Path(__file__).parents[1] / "translate/providers/providers.toml").read_text()
    way = Way(provider=providers(table)["chatgpt"], model="gpt-5.5", id="resp_1", now=1)
    asked: list[Any] = [{"role": "user", "content": "List the files."}]
    tools = [{"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}]
    body = {"model": "codex", "messages": asked, "tools": [*tools, EXEC], "temperature": 0.5}
    backend.reply(think("Hm."), call("ls", a=1), custom("exec", "text(1)\n"))
    backend.reply(say("Done."))
    for number in range(2):
        made = exchange(body, client="chat", way=way)
        reply = ask(backend, json.loads(made.body), **made.headers)
        message = json.loads(made.whole(reply.content).body)["choices"][0]["message"]
        asked.append(message)
        calls = message.get("tool_calls", [])
        assert len(calls) == (2, 0)[number]
        asked += [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in calls]
        assert made.limits and made.limits["rate_limits"]["allowed"]
    assert asked[-1]["content"] == "Done."
    first, second = backend.turns
    assert first.headers["session_id"] == second.headers["session_id"]
    assert [item["type"] for item in second.items][:2] == ["message", "reasoning"]


EXEC = {"type": "custom", "custom": {"name": "exec"}}


def test_scripted_failures(backend: FakeBackend) -> None:
    backend.reply(usage_limit(resets_in=60, plan="pro"))
    error = ask(backend).json()["error"]
    assert (error["type"], error["plan_type"]) == ("usage_limit_reached", "pro")
    backend.reply(burst())
    assert ask(backend).json().keys() == {"error"}
    backend.reply(overloaded())
    told = events(ask(backend))
    assert [event["type"] for event in told][1:] == [
        "response.created", "response.in_progress", "response.failed",
    ]  # fmt: skip
    assert told[-1]["response"]["error"]["code"] == "server_is_overloaded"
    backend.reply(say("par"), spent())
    assert events(ask(backend))[-1]["error"]["type"] == "usage_limit_reached"
    backend.reply(say("par"), CUT)
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(backend)
    backend.always[ACCOUNT] = usage_limit()
    assert ask(backend).status_code == ask(backend).status_code == 429


def test_a_request_without_a_reply_is_a_refusal(backend: FakeBackend) -> None:
    assert ask(backend).status_code == 400
    backend.refusals.clear()


def test_models_and_their_etag(backend: FakeBackend) -> None:
    listed = get(backend, "/codex/models?client_version=0.169.0")
    assert [one["slug"] for one in listed.json()["models"]] == ["gpt-5.5", "gpt-6.1-sol", "hidden"]
    tag = listed.headers["etag"]
    again = get(backend, "/codex/models?client_version=0.169.0", if_none_match=tag)
    assert (again.status_code, again.content) == (304, b"")
    backend.catalog.pop()
    assert get(backend, "/codex/models?client_version=1", if_none_match=tag).status_code == 200
    assert backend.turns == []
    assert get(backend, "/codex/models").status_code == 400
    assert get(backend, "/codex/other").status_code == 400
    assert get(backend, "/wham/usage", authorization="Bearer x").status_code == 401
    backend.refusals.clear()


def test_usage_tells_what_the_headers_and_the_stream_tell(backend: FakeBackend) -> None:
    backend.quotas[ACCOUNT] = (window(100), window(50, 10_080))
    page = get(backend, "/wham/usage").json()["rate_limit"]
    assert (page["limit_reached"], page["primary_window"]["limit_window_seconds"]) == (True, 18_000)
    backend.reply(say("Hi"))
    reply = ask(backend)
    assert reply.headers["x-codex-primary-used-percent"] == "100"
    assert reply.headers["x-codex-secondary-window-minutes"] == "10080"
    assert events(reply)[0]["rate_limits"]["limit_reached"] is True


def test_compact_gives_a_sealed_item_that_it_takes_back(backend: FakeBackend) -> None:
    body = {name: GOOD[name] for name in ("model", "instructions", "input", "tools")}
    backend.reply(say("In short: hi."), stream=False)
    *kept, sealed = ask(backend, body, "/codex/responses/compact").json()["output"]
    assert (kept, sealed["type"]) == ([ASKED], "compaction")
    backend.reply(say("Hi again"))
    assert ask(backend, GOOD | said(sealed)).status_code == 200
    refused = ask(backend, GOOD, "/codex/responses/compact").json()["detail"]
    assert refused.startswith("Unsupported parameter: ")
    backend.refusals.clear()
