"""The exchange: what it adds to a request, what it reports, and when its output has started."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests import backend_replies
from tests.fake_backend import ACCOUNT as NAME
from tests.replies import OPENAI, Reply, say
from tests.translate.support import (
    ACCOUNT,
    GENERIC,
    PROVIDERS,
    Json,
    chat_exchange,
    chunk,
    chunks_of,
    context_for,
    events_of,
    responses_exchange,
    stream,
)
from translate import BadRequest, decode_request, start_compact_exchange, start_exchange

USER = {"role": "user", "content": "Hello."}
DEFAULT_INSTRUCTIONS = "You are a helpful assistant."


def instructions(*messages: Json, default: str = "", to: Any = ACCOUNT) -> Any:
    body = {"model": "m", "messages": list(messages)}
    context = replace(context_for(to), default_instructions=default)
    exchange = start_exchange(body, client="chat", context=context)
    return decode_request(exchange.body).get("instructions")


def test_account_gets_default_instructions_only_without_the_clients() -> None:
    assert instructions(USER) == DEFAULT_INSTRUCTIONS
    assert instructions(USER, default="Be kind.") == "Be kind."
    assert instructions({"role": "system", "content": "Be."}, USER, default="Be kind.") == "Be."
    assert instructions(USER, {"role": "developer", "content": "Be."}, default="Be kind.") == ""
    assert instructions({"role": "system", "content": "Be."}) == ""  # then they are the input
    assert instructions(USER, default="Be kind.", to=PROVIDERS["openai"]) is None
    developer = {"role": "developer", "content": [{"type": "input_text", "text": "Be."}]}
    body = decode_request(responses_exchange(to=ACCOUNT, input=[developer, USER]).body)
    assert (body["instructions"], body["input"][0]["role"]) == ("", "developer")


LIMITS = {"primary": {"used_percent": 12}, "secondary": None}


def test_rate_limits_are_kept_and_reach_only_codex() -> None:
    limits = {"plan_type": "plus", "rate_limits": LIMITS}
    wire = b"".join(backend_replies.stream("m", Reply((say("Hi"),), OPENAI), NAME, limits))  # type: ignore[arg-type]  # bytes alone
    codex, chat = responses_exchange(to=ACCOUNT), chat_exchange()
    assert codex.rate_limits is chat.rate_limits is None
    events = events_of(codex.feed(wire))
    assert codex.rate_limits == {"type": "codex.rate_limits", **limits}
    assert [event["type"] for event in events].count("codex.rate_limits") == 1
    chunks = chunks_of(chat.feed(wire))
    assert chat.rate_limits == {"type": "codex.rate_limits", **limits}
    assert "rate_limits" not in json.dumps(chunks)


def test_web_search_options_become_a_tool() -> None:
    location = {"type": "approximate", "approximate": {"country": "DE"}}
    options = {"user_location": location, "search_context_size": None}
    flat = {"type": "approximate", "country": "DE"}
    exchange = chat_exchange(web_search_options=options)
    assert decode_request(exchange.body)["tools"] == [{"type": "web_search", "user_location": flat}]
    tools = decode_request(chat_exchange(web_search_options={}).body)["tools"]
    assert tools == [{"type": "web_search"}]
    unsupported = chat_exchange(web_search_options={}, to=PROVIDERS["responses"])
    assert unsupported.dropped == ["tools[web_search]"]
    with pytest.raises(BadRequest, match=r"^web_search_options.user_location"):
        chat_exchange(web_search_options={"user_location": "here"})


def test_ids_and_roles_that_openai_refuses_are_removed() -> None:
    system = {"role": "system", "id": "item_1", "content": "Be."}
    exchange = responses_exchange(to=ACCOUNT, input=[system, {**USER, "id": "msg_1"}])
    items = decode_request(exchange.body)["input"]
    assert items == [{"role": "developer", "content": "Be."}, {**USER, "id": "msg_1"}]


def test_calls_without_outputs_and_outputs_without_calls_are_completed() -> None:
    call = {"type": "function_call", "id": "x", "call_id": "c1", "name": "f", "arguments": "{}"}
    custom = {**call, "type": "custom_tool_call", "call_id": "c2", "input": "x"}
    search = {"type": "tool_search_call", "id": "tsc_1", "execution": "server", "arguments": {}}
    output = {"type": "custom_tool_call_output", "call_id": "gone", "output": "42"}
    exchange = responses_exchange(to=ACCOUNT, input=[USER, call, custom, search, output])
    items = decode_request(exchange.body)["input"]
    assert [item.get("type", "message") for item in items] == [
        "message", "function_call", "function_call_output", "custom_tool_call",
        "custom_tool_call_output", "tool_search_call", "message",
    ]  # fmt: skip
    assert "id" not in items[1] and items[5] == search
    assert items[-1]["content"].endswith("gone]\n42")


SILENT = [chunk(role="assistant", content=""), {"choices": []}]
OUTPUT = [
    chunk(content="Hi."),
    chunk(reasoning_content="Hm."),
    chunk(refusal="No."),
    chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]),
]


@pytest.mark.parametrize("first", OUTPUT, ids=str)
@pytest.mark.parametrize("start", [responses_exchange, chat_exchange])
def test_output_starts_with_the_first_text_reasoning_or_call(start: Any, first: Json) -> None:
    exchange = start(to=GENERIC, tools=[{"type": "function", "name": "f"}])
    exchange.heartbeat()
    exchange.feed(stream(*SILENT, done=False))
    assert not exchange.output_started
    exchange.feed(stream(first, done=False))
    assert exchange.output_started


def test_output_that_the_client_does_not_get_has_not_started() -> None:
    trigger = {"type": "compaction_trigger"}
    summary = responses_exchange(input=[USER, trigger])
    summary.feed(stream(chunk(content="The gist."), chunk("stop")))
    assert not summary.output_started
    failed = responses_exchange()
    failed.error_reply(500, b"busy", None)
    assert not failed.output_started


def test_losses_are_listed_in_the_order_in_which_they_happen() -> None:
    context = replace(context_for(GENERIC), dropped=("earlier",))
    tools = [{"type": "web_search"}]
    items = [USER, {"type": "item_reference"}]
    body = {"model": "m", "input": items, "tools": tools, "user": "u", "tool_choice": {"type": "x"}}
    exchange = start_exchange(body, client="responses", context=context)
    choices = [{"index": 1, "delta": {"content": "B"}}, chunk("stop", content="A")["choices"][0]]
    exchange.feed(stream({"choices": choices}))
    assert exchange.dropped == [
        "earlier", "tools[web_search]", "input[1] (item_reference)", "user", "choices[1]",
    ]  # fmt: skip
    assert exchange.dropped is not exchange.dropped


def test_compact_exchange_reports_its_own_losses_last() -> None:
    items = [{"role": "user", "content": f"{n} " * 4_000} for n in range(3)]
    small = GENERIC.model_copy(update={"context_window": 8_000})
    body = {"model": "m", "input": [*items, {"type": "item_reference"}]}
    exchange = start_compact_exchange(body, client="responses", context=context_for(small))
    exchange.whole_reply(stream(chunk("stop", content="The gist.")))
    first, *_, last = exchange.dropped
    assert first == "input[3] (item_reference)" and last.startswith("output (the ")
