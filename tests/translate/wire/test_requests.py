"""Errors name the wrong field of a request; the response echoes a valid request as OpenAI does."""

from contextlib import nullcontext
from typing import Any

import pytest

from tests.translate.support import (
    chunk,
    context_for,
    output,
    reply_events,
    responses_exchange,
)
from translate import BadRequest, decode_request, start_exchange
from translate.wire.requests import ITEM_FIELDS, check_fields, validate_chat_request


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nope", b"\xff\xfe", b"[]", b'"x"', b"5", b"null", b"[" * 100_000]
)
def test_body_that_is_not_a_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="request body"):
        decode_request(body)


def test_body_may_begin_with_a_byte_order_mark() -> None:
    assert decode_request(b'\xef\xbb\xbf{"a":"\\ud83d"}') == {"a": "\ufffd"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": {}}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": ["a", {}]}, "input[0]"),
        ({"input": [{"role": "user", "content": "a"}, {}]}, "input[1].type"),
        ({"input": [{"type": 5}]}, "input[0].type"),
        ({"input": [{"role": "critic", "content": "a"}]}, "input[0].role"),
        ({"input": [{"type": "message", "content": "a"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [5]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": 5}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]},
         "input[0].content[0].text"),
        ({"input": [{"type": "function_call", "call_id": 5}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "arguments": 5}]}, "input[0].arguments"),
        ({"input": [{"type": "reasoning", "summary": "a"}]}, "input[0].summary"),
        ({"input": [{"type": "local_shell_call", "action": "a"}]}, "input[0].action"),
        ({"input": [{"type": "additional_tools", "tools": {}}]}, "input[0].tools"),
        ({"input": [{"type": "additional_tools", "tools": [{"type": "function"}]}]},
         "input[0].tools[0].name"),
        ({"input": [{"type": "function_call_output", "output": [
            {"type": "input_text", "text": "a"}, 5]}]}, "input[0].output[1]"),
        ({"instructions": 5}, "instructions"),
        ({"instructions": [{"content": 5}]}, "instructions[0].content"),
        ({"instructions": [{"content": [5]}]}, "instructions[0].content[0]"),
        ({"tools": {}}, "tools"),
        ({"tools": ["a"]}, "tools[0]"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tools": [{"type": "function", "name": "a"}], "tool_choice": {"type": 5}},
         "tool_choice.type"),
        ({"tools": [{"type": "function", "name": "a"}],
          "tool_choice": {"type": "allowed_tools", "tools": [5]}}, "tool_choice"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"stream": "maybe"}, "stream"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"include": [5]}, "include[0]"),
        ({"previous_response_id": 5}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": [{"role": "user"}, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ],
)  # fmt: skip
def test_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as error:
        responses_exchange(fields)
    assert error.value.param == param
    assert str(error.value).startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"role": 5}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": {}}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}, {"tool_calls": {}}]}, "messages[1].tool_calls"),
        ({"tools": {}}, "tools"),
        ({"stop": 5}, "stop"),
        ({"stream_options": {"include_usage": "maybe"}}, "stream_options.include_usage"),
    ],
)
def test_wrong_field_of_a_chat_request_is_named(fields: dict[str, Any], param: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}], **fields}
    with pytest.raises(BadRequest) as error:
        validate_chat_request(body)
    assert error.value.param == param
    assert str(error.value).startswith(f"{param}: ")


def test_chat_request_keeps_unknown_fields() -> None:
    request = validate_chat_request({"model": "m", "messages": [], "top_k": 5})
    assert request.model_extra == {"top_k": 5}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "x: must be an object"),
        ({"content": 5}, "x.content: must be a string or a list"),
        ({"type": []}, "x.type: must be a string"),
        ({"type": None, "unknown": 5}, None),
    ],
)
def test_fields_are_checked_where_they_are_present(value: object, message: str | None) -> None:
    expected = pytest.raises(BadRequest, match=f"^{message}$") if message else nullcontext()
    with expected:
        check_fields(value, ITEM_FIELDS, "x")


@pytest.mark.parametrize("name", ["model", "input"])
def test_missing_field_is_named(name: str) -> None:
    body = {"model": "m", "input": "a"}
    del body[name]
    with pytest.raises(BadRequest, match=f"^{name}: ") as error:
        start_exchange(body, client="responses", context=context_for())
    assert error.value.param == name


def test_unknown_previous_response_has_openais_code() -> None:
    with pytest.raises(BadRequest) as error:
        responses_exchange(previous_response_id="resp_0")
    assert error.value.code == "previous_response_not_found"
    assert error.value.param == "previous_response_id" and "resp_0" in error.value.message


def test_request_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"properties": deep}
    with pytest.raises(BadRequest, match="deep"):
        responses_exchange(tools=[{"type": "function", "name": "a", "parameters": deep}])


def test_response_echoes_the_request() -> None:
    settings = {
        "instructions": "Be brief.", "max_output_tokens": 5, "metadata": {"a": "b"},
        "parallel_tool_calls": False, "temperature": 0.5, "top_p": 0.9, "tool_choice": "none",
        "reasoning": {"effort": "low", "summary": "auto"}, "text": {"verbosity": "low"},
        "tools": [
            {"type": "function", "name": "a", "parameters": {}, "strict": True,
             "description": "A."},
        ],
    }  # fmt: skip
    events = reply_events(chunk("stop", content="Hi."), exchange=responses_exchange(settings))
    response = events[-1]["response"]
    for name, value in settings.items():
        if name != "text":
            assert response[name] == value
    assert response["text"] == {"verbosity": "low", "format": {"type": "text"}}
    assert (response["model"], response["id"], response["created_at"]) == ("gpt-5.5", "resp_1", 1)


def test_response_names_the_defaults_of_what_the_request_leaves_out() -> None:
    """As OpenAI does, and as https://www.openresponses.org requires."""
    form = {"type": "json_schema", "name": "n", "schema": {}}
    tools = [{"type": "function", "name": "a"}, {"type": "custom", "name": "b"}]
    exchange = responses_exchange(text={"format": form}, tools=tools, temperature=0)
    response = reply_events(chunk("stop", content="Hi."), exchange=exchange)[-1]["response"]
    assert response["text"]["format"] == {**form, "description": None, "strict": False}
    assert response["tools"][0] == {**tools[0], "description": None, "parameters": None,
                                    "strict": None}  # fmt: skip
    assert response["tools"][1] == tools[1]
    assert (response["temperature"], response["top_p"], response["top_logprobs"]) == (0, 1.0, 0)
    assert response["service_tier"] == "default" and response["max_tool_calls"] is None
    assert response["completed_at"] is None  # the exchange has no clock


def test_client_sees_its_own_model_name() -> None:
    exchange = responses_exchange()
    assert (exchange.requested_model, exchange.model) == ("gpt-5.5", "upstream-model")
    events = reply_events(chunk("stop", content="Hi."), exchange=exchange)
    assert "upstream-model" not in str(events) and output(events)
