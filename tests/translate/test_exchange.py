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
    events_wire,
    lawful_events,
    output,
    responses_exchange,
    stream,
)
from translate import (
    BadRequest,
    Exchange,
    Limits,
    Provider,
    RequestTooLarge,
    decode_request,
    estimate_input_tokens,
    start_compact_exchange,
    start_exchange,
)
from translate.dialects import CLIENT_DIALECTS
from translate.exchange import CROSSINGS
from translate.reply.chat_to_responses import ChatToResponses

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


def test_input_tokens_count_instructions_tools_and_history() -> None:
    text = "word " * 80
    tool = {"type": "function", "name": "f", "description": text, "parameters": {}}
    history = [{"role": "user", "content": text}]
    body: Json = {"previous_response_id": "resp_1", "input": text, "instructions": text}
    assert 100 <= estimate_input_tokens({"input": text}, None) < 125
    assert 420 < estimate_input_tokens({**body, "tools": [tool]}, history) < 480
    assert estimate_input_tokens({"model": None, "tools": None, "input": None}, None) == 0
    for fields in ({"previous_response_id": "resp_1"}, {"background": True}, {"tools": 5}):
        with pytest.raises(BadRequest):
            estimate_input_tokens({"input": text, **fields}, None)


@pytest.mark.parametrize("to", [GENERIC, PROVIDERS["responses"]])
def test_unstreamed_body_differs_in_the_stream_alone(to: Any) -> None:
    exchange = responses_exchange(to=to, tools=[{"type": "function", "name": "f"}])
    body, unstreamed = map(decode_request, (exchange.body, exchange.unstreamed_body))
    body.pop("stream_options", None)
    assert unstreamed == {**body, "stream": False} != body


@pytest.mark.parametrize("type", ["codex.rate_limits", "responsesapi.x", "response.metadata"])
def test_events_of_codex_reach_no_other_client(type: str) -> None:
    wire = events_wire({"type": type}, {"type": "response.other", "x": 1})
    for from_codex, types in ((True, [type, "response.other"]), (False, ["response.other"])):
        context = replace(context_for(ACCOUNT), from_codex=from_codex)
        exchange = start_exchange(
            {"model": "m", "input": "Go"}, client="responses", context=context
        )
        assert [event["type"] for event in events_of(exchange.feed(wire))][2:] == types


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
    items = [USER, {"type": "mcp_list_tools"}]
    body = {"model": "m", "input": items, "tools": tools, "user": "u", "tool_choice": {"type": "x"}}
    exchange = start_exchange(body, client="responses", context=context)
    choices = [{"index": 1, "delta": {"content": "B"}}, chunk("stop", content="A")["choices"][0]]
    exchange.feed(stream({"choices": choices}))
    assert exchange.dropped == [
        "earlier", "tools[web_search]", "input[1] (mcp_list_tools)", "user", "choices[1]",
    ]  # fmt: skip
    assert exchange.dropped is not exchange.dropped


def test_compact_exchange_reports_its_own_losses_last() -> None:
    items = [{"role": "user", "content": f"{n} " * 4_000} for n in range(3)]
    small = GENERIC.model_copy(update={"context_window": 8_000})
    body = {"model": "m", "input": [*items, {"type": "mcp_list_tools"}]}
    exchange = start_compact_exchange(body, client="responses", context=context_for(small))
    exchange.whole_reply(stream(chunk("stop", content="The gist.")))
    first, *_, last = exchange.dropped
    assert first == "input[3] (mcp_list_tools)" and last.startswith("output (the ")


def test_number_of_values_is_limited() -> None:
    """Millions of small values take gigabytes of memory."""
    limits = Limits(value_count=200_000)
    many = b"[" + b'{"a":1},' * 150_000 + b"0]"
    few = b"[" + b'{"abcdefghi":"%b"},' % (b"x" * 30) * 50_000 + b"0]"
    body = b'{"model":"m","input":"Hello.","x":%b}'
    assert len(decode_request(body % few, limits)["x"]) == 50_001
    with pytest.raises(RequestTooLarge, match="200,000 values .relay_max_values") as refusal:
        decode_request(body % many, limits)
    assert refusal.value.status == 413
    context = replace(context_for(GENERIC), limits=limits)
    exchange = start_exchange(
        {"model": "m", "input": "Hello."}, client="responses", context=context
    )
    reply = exchange.whole_reply(b'{"choices":[],"x":%b}' % many)
    assert reply.status == 502 and b"200,000 values" in reply.body


def test_reply_past_its_limit_fails_once_and_the_rest_is_discarded() -> None:
    context = replace(context_for(GENERIC), limits=Limits(reply_bytes=1_000))
    body = {"model": "m", "input": "Hello.", "stream": True}
    exchange = start_exchange(body, client="responses", context=context)
    piece = stream(chunk(content="x" * 100), done=False)
    wire = b"".join(exchange.feed(piece) for _ in range(50)) + exchange.feed(b"")
    end = events_of(wire)[-1]
    assert wire.count(b"event: response.failed") == 1 and exchange.is_finished
    assert "more than 1,000 bytes (relay_max_reply)" in end["response"]["error"]["message"]
    whole = start_exchange(body, client="chat", context=context).whole_reply(b"{" + b" " * 1_000)
    assert whole.status == 502 and b"relay_max_reply" in whole.body


@pytest.mark.parametrize("client", ["chat", "responses"])
@pytest.mark.parametrize("to", [GENERIC, ACCOUNT])
def test_reply_is_finished_at_its_end_and_not_before(client: Any, to: Any) -> None:
    body = {"model": "m", "messages": [USER], "input": "Hello.", "stream": True}
    exchange = start_exchange(body, client=client, context=context_for(to))
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}
    start, end = {
        "chat": (stream(chunk("stop", content="Hi."), done=False), b"data: [DONE]\n\n"),
        "responses": (
            events_wire({"type": "response.output_item.done", "item": message}),
            events_wire({"type": "response.completed", "response": {}}),
        ),
    }[to.dialect]
    exchange.feed(start)
    assert not exchange.is_finished
    assert exchange.feed(end) and exchange.is_finished
    assert exchange.feed(end) == exchange.feed(b"") == exchange.interrupt("late") == b""


def test_reply_that_is_torn_behind_its_finish_reason_is_complete() -> None:
    exchange = responses_exchange()
    exchange.feed(stream(chunk("stop", content="Hi."), done=False))
    assert b"response.completed" in exchange.interrupt("torn") and exchange.is_finished
    whole = responses_exchange(stream=False).whole_reply(
        stream(chunk("stop", content="Hi."), done=False)
    )
    assert whole.status == 200


def test_whole_reply_that_cannot_be_written_is_an_error() -> None:
    dialect = CLIENT_DIALECTS["responses"]._replace(whole_body=lambda events: events[99])
    parsed = dialect.parse_request({"model": "m", "input": "Hello."})
    crossing = CROSSINGS["responses", "chat"]
    exchange = Exchange(parsed, context_for(GENERIC), crossing, dialect)
    whole = exchange.whole_reply(stream(chunk("stop", content="Hi.")))
    assert whole.status == 502 and b"cannot be understood" in whole.body


class BrokenMachine(ChatToResponses):
    """Fails in all that is not an event of the upstream."""

    def heartbeat_events(self) -> list[Json]:
        raise RuntimeError("broken")

    def lose_connection(self, failure: Any) -> list[Json]:
        raise RuntimeError("broken")


@pytest.mark.parametrize("step", ["heartbeat", "interrupt"])
def test_machine_that_breaks_ends_the_stream_with_one_failed_event(step: str) -> None:
    dialect = CLIENT_DIALECTS["responses"]
    parsed = dialect.parse_request({"model": "m", "input": "Hello.", "stream": True})
    crossing = CROSSINGS["responses", "chat"]._replace(new_machine=BrokenMachine)
    exchange = Exchange(parsed, context_for(GENERIC), crossing, dialect)
    wire = exchange.heartbeat() if step == "heartbeat" else exchange.interrupt("torn")
    wire += exchange.feed(stream(chunk("stop", content="Hi."))) + exchange.feed(b"")
    types = [event["type"] for event in events_of(wire)]
    assert types == ["response.created", "response.in_progress", "response.failed"]


SPLIT_TEXTS = {
    "chat": (
        chunk(content="a\ud83c"),
        chunk(content="\udf5eb"),
        chunk("stop"),
    ),
    "responses": (
        {"type": "response.output_text.delta", "delta": "a\ud83c"},
        {"type": "response.output_text.delta", "delta": "\udf5eb"},
        {"type": "response.completed", "response": {}},
    ),
}


@pytest.mark.parametrize("to", [GENERIC, ACCOUNT])
def test_pair_that_is_split_over_two_deltas_is_joined(to: Any) -> None:
    first, second, end = map(events_wire, SPLIT_TEXTS[to.dialect])
    exchange = responses_exchange(to=to)
    wire = exchange.feed(first + second) + exchange.feed(end) + exchange.feed(b"")
    assert output(lawful_events(wire))[0]["content"][0]["text"] == "a🍞b"


@pytest.mark.parametrize("to", [GENERIC, ACCOUNT])
@pytest.mark.parametrize("is_torn", [False, True])
def test_half_a_pair_at_the_end_is_replaced(to: Any, is_torn: bool) -> None:
    first, _, end = map(events_wire, SPLIT_TEXTS[to.dialect])
    exchange = responses_exchange(to=to)
    wire = exchange.feed(first)
    wire += exchange.interrupt("torn") if is_torn else exchange.feed(end) + exchange.feed(b"")
    deltas = [event["delta"] for event in lawful_events(wire) if "delta" in event]
    assert "".join(deltas) == "a\ufffd"


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": {"type": []}}, {"tool_choice": {"type": {}}}, {"stream_options": "x"},
        {"stream_options": {"include_usage": {}}}, {"stream_options": {"include_usage": []}},
        {"service_tier": []}, {"stop": [1]}, {"reasoning": {"effort": {}}}, {"n": []},
    ],
)  # fmt: skip
@pytest.mark.parametrize("to", [GENERIC, ACCOUNT])
def test_wrong_type_is_a_400_or_passes(fields: Json, to: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    try:
        exchange = chat_exchange({"tools": tools, **fields}, to=to)
    except BadRequest as error:
        assert error.status == 400 and str(error.param).startswith(next(iter(fields)))
    else:
        assert "service_tier" in fields and json.loads(exchange.body)


@pytest.mark.parametrize("to", [GENERIC, ACCOUNT])
def test_a_large_request_is_written_in_steps_with_the_same_bytes(to: Provider) -> None:
    texts = [f'{number} "quoted"\n' * 2_000 for number in range(30)]
    body = {"model": "m", "input": [{"role": "user", "content": text} for text in texts]}
    picture = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 1_100_000}
    body["input"] += [{"role": "user", "content": [picture]}]
    whole = start_exchange(body, client="responses", context=context_for(to))
    size = len(json.dumps(body))
    in_steps = start_exchange(
        decode_request(json.dumps(body).encode()),
        client="responses",
        context=replace(context_for(to), request_size=size),
    )
    assert in_steps.body == whole.body
    estimates = [exchange._sent.prompt_tokens for exchange in (whole, in_steps)]
    assert estimates[0] == pytest.approx(estimates[1], rel=0.01) and estimates[0] < size / 4
