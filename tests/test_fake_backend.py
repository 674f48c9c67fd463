"""The fake ChatGPT backend itself: requests that it refuses, and replies that the SDK can read."""

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
    burst_error,
    overload_event,
    quota_window,
    running_backend,
    usage_limit,
    usage_limit_event,
)
from tests.replies import CUT, Finish, Part, call, custom, picture, say, think
from translate import ExchangeContext, load_providers, start_exchange

PROMPT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
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
    "input": [PROMPT, THOUGHT, CALL, OUTPUT],
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
    "originator": "mitmcodex",
    "user-agent": "mitmcodex/1.0",
    "session_id": "s-1",
    "x-codex-window-id": "w-1",
}


def with_items(*items: Any) -> dict[str, Any]:
    return {"input": [PROMPT, *items]}


def without_field(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


UNSUPPORTED = (
    "temperature", "top_p", "max_output_tokens", "presence_penalty", "frequency_penalty", "seed",
    "metadata", "top_logprobs", "truncation", "context_management", "prompt_cache_retention",
    "safety_identifier", "stream_options", "user", "previous_response_id", "generate", "stop",
)  # fmt: skip
LONG = {**CALL, "call_id": "c" * 65}, {**OUTPUT, "call_id": "c" * 65}
BAD: list[tuple[dict[str, Any], str]] = [
    *((GOOD | {name: 1}, f"Unsupported parameter: {name}") for name in UNSUPPORTED),
    (without_field("store"), "Store must be"),
    (GOOD | {"store": True}, "Store must be"),
    (GOOD | {"stream": False}, "Stream must be"),
    (GOOD | {"input": "hi"}, "Input must be a list"),
    (without_field("instructions"), "Instructions are required"),
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
    (GOOD | with_items({"type": "item_reference", "id": "x"}), "Invalid value: 'item_reference'"),
    (GOOD | with_items({"role": "system", "content": "x"}), "System messages"),
    (GOOD | with_items({"role": "tool", "content": "x"}), "Invalid value: 'tool'"),
    (GOOD | with_items({"role": "user", "content": []}), "Invalid 'input[1].content'"),
    (GOOD | with_items({**PROMPT, "role": "assistant"}), "Invalid value: 'input_text'"),
    (GOOD | with_items({**PROMPT, "id": "item_1"}), "Invalid 'input[1].id'"),
    (GOOD | with_items({**CALL, "id": "call_1"}, OUTPUT), "Invalid 'input[1].id'"),
    (
        GOOD | with_items({**PROMPT, "content": [{"type": "input_image", "image_url": "x"}]}),
        "Invalid",
    ),
    (
        GOOD
        | with_items(
            {**PROMPT, "content": [{**PROMPT["content"][0], "prompt_cache_breakpoint": 1}]}
        ),  # type: ignore[dict-item]  # of mixed values
        "Unsupported parameter: prompt_cache_breakpoint",
    ),
    (GOOD | with_items(*LONG), "Invalid 'input[1].call_id'"),
    (
        GOOD | with_items({**CALL, "arguments": ""}, OUTPUT),
        "Missing required parameter: 'input[1].arg",
    ),
    (GOOD | with_items({**CALL, "type": "custom_tool_call", "id": "ctc_1"}, OUTPUT), "Missing"),
    (GOOD | with_items(CALL), "No tool output found"),
    (GOOD | with_items(OUTPUT), "No tool call found"),
    (GOOD | with_items(CALL, {**OUTPUT, "type": "custom_tool_call_output"}), "No tool call found"),
    (GOOD | with_items(CALL, {**OUTPUT, "output": None}), "Missing required parameter: 'input[2]"),
    (GOOD | with_items({**THOUGHT, "encrypted_content": None}), "Item with id 'rs_1' not found"),
    (GOOD | with_items({**THOUGHT, "encrypted_content": "gAAAAother"}), "The encrypted content"),
    (GOOD | with_items({**THOUGHT, "id": "rs_2"}), "The encrypted content"),
    (GOOD | with_items({"type": "compaction", "encrypted_content": "x"}), "The encrypted content"),
    (
        GOOD | with_items({**THOUGHT, "summary": None}),
        "Missing required parameter: 'input[1].summary'",
    ),
]


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with running_backend() as backend:
        yield backend


def post_body(
    backend: FakeBackend, body: Any = GOOD, path: str = "/codex/responses", **change: str | None
) -> httpx2.Response:
    changed = {name.replace("_", "-"): value for name, value in change.items()}
    headers = {k: v for k, v in {**HEADERS, **changed}.items() if v is not None}
    with httpx2.Client(trust_env=False, headers={}) as client:
        client.headers.clear()
        return client.post(backend.url + path, content=json.dumps(body), headers=headers)


def get_path(backend: FakeBackend, path: str, **headers_to_add: str) -> httpx2.Response:
    headers = {
        **HEADERS,
        **{name.replace("_", "-"): value for name, value in headers_to_add.items()},
    }
    with httpx2.Client(trust_env=False) as client:
        return client.get(backend.url + path, headers=headers)


def events_in(reply: httpx2.Response) -> list[dict[str, Any]]:
    lines = (line for line in reply.text.splitlines() if line.startswith("data: "))
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize(("body", "fault"), BAD, ids=[fault for _, fault in BAD])
def test_faulty_request_is_refused_in_the_words_of_the_service(
    body: dict[str, Any], fault: str, backend: FakeBackend
) -> None:
    reply = post_body(backend, body)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(fault)
    assert [refusal.startswith(fault) for refusal in backend.refusals] == [True]
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
def test_wrong_headers_are_refused(change: dict[str, str | None], backend: FakeBackend) -> None:
    assert post_body(backend, **change).status_code == 400
    assert len(backend.refusals) == 1
    backend.refusals.clear()


def test_unknown_token_gets_a_401_that_is_not_recorded(backend: FakeBackend) -> None:
    for token in ("Bearer other", f"Basic {TOKEN}"):
        reply = post_body(backend, authorization=token)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "token_expired")
        assert "set-cookie" not in reply.headers
    assert len(backend.responses_requests) == 2


PARTS: tuple[Part, ...] = (
    think("Hm, well."), say("Hello there"), call("ls", a=1), custom("exec", "text(1)\n"),
    picture("iVBORw0KGgo="),
)  # fmt: skip


def test_sdk_reads_the_stream_and_the_backend_accepts_its_own_items(backend: FakeBackend) -> None:
    backend.reply(*PARTS)
    reply = post_body(backend)
    first, *rest = events_in(reply)
    assert (first["type"], first["rate_limits"]["primary"]) == (
        "codex.rate_limits",
        quota_window(12),
    )
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in rest:
        adapter.validate_python(event)
    assert [event["sequence_number"] for event in rest] == list(range(len(rest)))
    output = rest[-1]["response"]["output"]
    kinds = ["reasoning", "message", "function_call", "custom_tool_call", "image_generation_call"]
    assert [item["type"] for item in output] == kinds
    outputs = [
        {**OUTPUT, "call_id": output[2]["call_id"]},
        {**OUTPUT, "type": "custom_tool_call_output", "call_id": output[3]["call_id"]},
    ]
    backend.reply(say("Done"), Finish("max_output_tokens"))
    state = reply.headers["x-codex-turn-state"]
    cookie = reply.headers["set-cookie"].partition(";")[0]
    second_reply = post_body(
        backend, GOOD | with_items(*output, *outputs), x_codex_turn_state=state, cookie=cookie
    )
    assert events_in(second_reply)[-1]["type"] == "response.incomplete"
    assert second_reply.headers["x-codex-turn-state"] == state
    backend.accounts["other"] = "account-0002"
    other_account = {"authorization": "Bearer other", "chatgpt_account_id": "account-0002"}
    assert (
        "could not be verified"
        in post_body(backend, GOOD | with_items(output[0]), **other_account).text
    )
    backend.refusals.clear()


def test_translated_tool_loop_is_accepted(backend: FakeBackend) -> None:
    """With the reasoning and the custom calls that the client sends back."""
    table = (Path(__file__).parents[1] / "translate/providers/providers.toml").read_text()
    context = ExchangeContext(
        provider=load_providers(table)["chatgpt"],
        model="gpt-5.5",
        response_id="resp_1",
        created_at=1,
    )
    messages: list[Any] = [{"role": "user", "content": "List the files."}]
    tools = [{"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}]
    body = {"model": "codex", "messages": messages, "tools": [*tools, EXEC], "temperature": 0.5}
    backend.reply(think("Hm."), call("ls", a=1), custom("exec", "text(1)\n"))
    backend.reply(say("Done."))
    for number in range(2):
        exchange = start_exchange(body, client="chat", context=context)
        reply = post_body(backend, json.loads(exchange.body), **exchange.headers)
        message = json.loads(exchange.whole_reply(reply.content).body)["choices"][0]["message"]
        messages.append(message)
        calls = message.get("tool_calls", [])
        assert len(calls) == (2, 0)[number]
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in calls
        ]
        assert exchange.rate_limits and exchange.rate_limits["rate_limits"]["allowed"]
    assert messages[-1]["content"] == "Done."
    first, second = backend.responses_requests
    assert first.headers["session_id"] == second.headers["session_id"]
    assert [item["type"] for item in second.items][:2] == ["message", "reasoning"]


EXEC = {"type": "custom", "custom": {"name": "exec"}}


def test_queued_failures_are_sent(backend: FakeBackend) -> None:
    backend.reply(usage_limit(resets_in=60, plan="pro"))
    error = post_body(backend).json()["error"]
    assert (error["type"], error["plan_type"]) == ("usage_limit_reached", "pro")
    backend.reply(burst_error())
    assert post_body(backend).json().keys() == {"error"}
    backend.reply(overload_event())
    stream_events = events_in(post_body(backend))
    assert [event["type"] for event in stream_events][1:] == [
        "response.created", "response.in_progress", "response.failed",
    ]  # fmt: skip
    assert stream_events[-1]["response"]["error"]["code"] == "server_is_overloaded"
    backend.reply(say("par"), usage_limit_event())
    assert events_in(post_body(backend))[-1]["error"]["type"] == "usage_limit_reached"
    backend.reply(say("par"), CUT)
    with pytest.raises(httpx2.RemoteProtocolError):
        post_body(backend)
    backend.fixed_replies[ACCOUNT] = usage_limit()
    assert post_body(backend).status_code == post_body(backend).status_code == 429


def test_request_without_a_queued_reply_is_refused(backend: FakeBackend) -> None:
    assert post_body(backend).status_code == 400
    backend.refusals.clear()


def test_models_are_listed_with_an_etag(backend: FakeBackend) -> None:
    models = get_path(backend, "/codex/models?client_version=0.169.0")
    assert [model["slug"] for model in models.json()["models"]] == [
        "gpt-5.5",
        "gpt-6.1-sol",
        "hidden",
    ]
    tag = models.headers["etag"]
    second_reply = get_path(backend, "/codex/models?client_version=0.169.0", if_none_match=tag)
    assert (second_reply.status_code, second_reply.content) == (304, b"")
    backend.catalog.pop()
    assert get_path(backend, "/codex/models?client_version=1", if_none_match=tag).status_code == 200
    assert backend.responses_requests == []
    assert get_path(backend, "/codex/models").status_code == 400
    assert get_path(backend, "/codex/other").status_code == 400
    assert get_path(backend, "/wham/usage", authorization="Bearer x").status_code == 401
    backend.refusals.clear()


def test_usage_page_headers_and_stream_agree(backend: FakeBackend) -> None:
    backend.quotas[ACCOUNT] = (quota_window(100), quota_window(50, 10_080))
    page = get_path(backend, "/wham/usage").json()["rate_limit"]
    assert (page["limit_reached"], page["primary_window"]["limit_window_seconds"]) == (True, 18_000)
    backend.reply(say("Hi"))
    reply = post_body(backend)
    assert reply.headers["x-codex-primary-used-percent"] == "100"
    assert reply.headers["x-codex-secondary-window-minutes"] == "10080"
    assert events_in(reply)[0]["rate_limits"]["limit_reached"] is True


def test_compact_returns_an_item_that_the_backend_accepts(backend: FakeBackend) -> None:
    body = {name: GOOD[name] for name in ("model", "instructions", "input", "tools")}
    backend.reply(say("In short: hi."), stream=False)
    *messages, sealed = post_body(backend, body, "/codex/responses/compact").json()["output"]
    assert (messages, sealed["type"]) == ([PROMPT], "compaction")
    backend.reply(say("Hi again"))
    assert post_body(backend, GOOD | with_items(sealed)).status_code == 200
    refused = post_body(backend, GOOD, "/codex/responses/compact").json()["detail"]
    assert refused.startswith("Unsupported parameter: ")
    backend.refusals.clear()
