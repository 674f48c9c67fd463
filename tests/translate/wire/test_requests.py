"""Bad requests name the field; good ones are echoed as OpenAI does."""

import json
from typing import Any

import pytest

from tests.translate.support import carry, chunk, output, replied, stream, way
from translate import BadRequest, decode, exchange


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nope", b"\xff\xfe", b"[]", b'"x"', b"5", b"null", b"[" * 100_000]
)
def test_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="request body"):
        decode(body)


def test_body_may_begin_with_a_byte_order_mark() -> None:
    assert decode(b'\xef\xbb\xbf{"a":"\\ud83d"}') == {"a": "\ud83d"}


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
    ],
)  # fmt: skip
def test_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as error:
        carry(fields)
    assert error.value.param == param
    assert str(error.value).startswith(f"{param}: ")


@pytest.mark.parametrize("name", ["model", "input"])
def test_missing_field_is_named(name: str) -> None:
    body = {"model": "m", "input": "a"}
    del body[name]
    with pytest.raises(BadRequest, match=f"^{name}: ") as error:
        exchange(body, client="responses", way=way())
    assert error.value.param == name


def test_unknown_previous_response_has_openais_code() -> None:
    with pytest.raises(BadRequest) as error:
        carry(previous_response_id="resp_0")
    assert error.value.code == "previous_response_not_found"
    assert error.value.param == "previous_response_id" and "resp_0" in error.value.message


def test_request_beyond_all_depth_is_refused() -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"properties": deep}
    with pytest.raises(BadRequest, match="deep"):
        carry(tools=[{"type": "function", "name": "a", "parameters": deep}])


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
    response = replied(chunk("stop", content="Hi."), by=carry(settings))[-1]["response"]
    for name, value in settings.items():
        if name != "text":
            assert response[name] == value
    assert response["text"] == {"verbosity": "low", "format": {"type": "text"}}
    assert (response["model"], response["id"], response["created_at"]) == ("gpt-5.5", "resp_1", 1)


def test_what_the_request_left_open_is_said() -> None:
    """As OpenAI does, and as https://www.openresponses.org asks."""
    form = {"type": "json_schema", "name": "n", "schema": {}}
    tools = [{"type": "function", "name": "a"}, {"type": "custom", "name": "b"}]
    crossing = carry(text={"format": form}, tools=tools, temperature=0)
    response = replied(chunk("stop", content="Hi."), by=crossing)[-1]["response"]
    assert response["text"]["format"] == {**form, "description": None, "strict": False}
    assert response["tools"][0] == {**tools[0], "description": None, "parameters": None,
                                    "strict": None}  # fmt: skip
    assert response["tools"][1] == tools[1]
    assert (response["temperature"], response["top_p"], response["top_logprobs"]) == (0, 1.0, 0)
    assert response["service_tier"] == "default" and response["max_tool_calls"] is None
    assert response["completed_at"] is None  # nobody gave the exchange a clock


def test_names_of_both_sides_are_kept_apart() -> None:
    crossing = carry()
    assert (crossing.asked, crossing.model) == ("gpt-5.5", "upstream-model")
    events = replied(chunk("stop", content="Hi."), by=crossing)
    assert "upstream-model" not in str(events) and output(events)


def test_conversation_is_request_and_reply_as_chat() -> None:
    crossing = carry(instructions="Be brief.", tools=[{"type": "function", "name": "f"}])
    crossing.feed(stream(chunk(tool_calls=[CALL]), chunk("tool_calls")))
    talk = crossing.conversation()
    assert talk is not None
    assert [message["role"] for message in talk["messages"]] == ["system", "user", "assistant"]
    assert talk["messages"][-1]["tool_calls"][0]["function"]["name"] == "f"
    assert talk["tools"] == json.loads(crossing.body)["tools"]
    assert carry(input=[user(), {"type": "compaction_trigger"}]).conversation() is None


CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}


def user() -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": "Hello."}
