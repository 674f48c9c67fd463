"""Chat requests as Responses requests, up to the body that goes to a Responses upstream."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translate.support import (
    ACCOUNT,
    OBJECTS,
    PROVIDERS,
    VALUES,
    Json,
    chat_exchange,
    context_for,
)
from translate import BadRequest, Provider, start_exchange
from translate.request.chat_to_responses import CALL_ID_LIMIT, shorten_call_id
from translate.wire.envelope import Envelope, seal_envelope

NATIVE = PROVIDERS["responses"]
FUNCTION = {"type": "function", "function": {"name": "f"}}
USER = {"role": "user", "content": "A"}
HELLO = [
    b'data: {"type": "response.output_item.added", "output_index": 0,'
    b' "item": {"type": "message", "id": "msg_1", "role": "assistant", "content": []}}\n\n',
    b'data: {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,'
    b' "content_index": 0, "delta": "Hello"}\n\n',
    b'data: {"type": "response.completed", "response": {"status": "completed", "output": [],'
    b' "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}}\n\n',
]


def sent_body(request: Json | None = None, to: Provider = ACCOUNT, **fields: Any) -> Json:
    """The body that goes upstream."""
    body: Json = json.loads(chat_exchange(request, to, **fields).body)
    return body


def sent_items(*messages: Json, to: Provider = ACCOUNT) -> list[Json]:
    converted: list[Json] = sent_body(to=to, messages=list(messages))["input"]
    return converted


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{}]}, "messages[0].role"),
        ({"messages": [{"role": "critic"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [USER, {"role": "user", "content": [5]}]}, "messages[1].content[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [5]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": 5}}]}]},
         "messages[0].tool_calls[0].function.name"),
        ({"messages": [{"role": "tool", "tool_call_id": 5}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "content": ""}]}, "messages"),
        ({"n": 2}, "n"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": 5}]}, "tools[0].function"),
        ({"tools": [{"type": 5}]}, "tools[0].type"),
        ({"tool_choice": {"type": 5}}, "tool_choice.type"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [5]}}},
         "tool_choice.tools[0]"),
        ({"response_format": {"type": "json_schema", "json_schema": 5}},
         "response_format.json_schema"),
        ({"response_format": 5}, "response_format"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"stream_options": {"include_usage": "perhaps"}}, "stream_options.include_usage"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
    ],
)  # fmt: skip
def test_error_names_the_wrong_field(fields: Json, param: str) -> None:
    with pytest.raises(BadRequest) as error:
        chat_exchange(fields)
    assert error.value.param == param
    assert error.value.message.startswith(f"{param}: ")


def test_error_for_the_upstream_uses_the_clients_paths() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "ab"]
    limited = ACCOUNT.model_copy(update={"tool_types": frozenset(), "tools_limit": 1})
    with pytest.raises(BadRequest, match="^tools: 2, and") as error:
        chat_exchange(to=limited, tools=tools)
    assert error.value.param == "tools"
    with pytest.raises(BadRequest, match=r"^tools\[0\].custom.name: is missing"):
        chat_exchange(to=NATIVE, tools=[{"type": "custom", "custom": {}}])


def test_dropped_fields_have_the_clients_names() -> None:
    video = {"type": "file", "file": {"filename": "a"}}
    exchange = chat_exchange(
        to=NATIVE.model_copy(update={"refuses": {"text.format", "max_output_tokens"}}),
        messages=[{"role": "system", "content": "S"}, USER, {"role": "user", "content": [video]}],
        max_tokens=5, verbosity="low", response_format={"type": "json_object"},
    )  # fmt: skip
    assert exchange.dropped == [
        "messages[2].content[0] (input_file)", "response_format", "verbosity", "max_tokens",
    ]  # fmt: skip


def test_field_of_the_other_dialect_is_dropped_under_its_own_name() -> None:
    exchange = chat_exchange(to=NATIVE, max_tokens=5, max_output_tokens=7)
    assert exchange.dropped == ["max_output_tokens"]
    assert json.loads(exchange.body)["max_output_tokens"] == 5


@pytest.mark.parametrize("name", ["input[9]", f"input[{'9' * 5_000}]"])
def test_field_that_is_named_like_a_path_is_dropped(name: str) -> None:
    assert chat_exchange({name: 1}).dropped == [name]


def test_leading_system_messages_become_instructions_and_later_ones_stay() -> None:
    body = sent_body(
        messages=[
            {"role": "system", "content": "A"},
            {"role": "system", "content": ""},
            {"role": "developer", "content": [{"type": "text", "text": "B"}]},
            USER,
            {"role": "system", "content": "C"},
            {"role": "system", "content": None},
        ]
    )
    assert body["instructions"] == "A\n\nB"
    assert [item["role"] for item in body["input"]] == ["user", "developer"]


def test_instructions_alone_are_the_input() -> None:
    [item] = sent_items({"role": "system", "content": "A"})
    assert (item["role"], item["content"]) == ("developer", "A")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", "none"),
        ("auto", "auto"),
        ("required", "required"),
        (FUNCTION, {"type": "function", "name": "f"}),
        ({"type": "custom", "custom": {"name": "p"}}, {"type": "custom", "name": "p"}),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [FUNCTION]}},
         {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function",
                                                                  "name": "f"}]}),
    ],
)  # fmt: skip
def test_every_form_of_tool_choice_is_converted(choice: Any, expected: Any) -> None:
    tools = [FUNCTION, {"type": "custom", "custom": {"name": "p"}}]
    body = sent_body(tools=tools, tool_choice=choice)
    assert body.get("tool_choice", "auto") == expected


@pytest.mark.parametrize("choice", ["none", "auto", {"name": "f"}])
def test_legacy_function_call_is_a_tool_choice(choice: Any) -> None:
    body = sent_body(functions=[{"name": "f"}], function_call=choice)
    expected = {"type": "function", **choice} if isinstance(choice, dict) else choice
    assert body.get("tool_choice", "auto") == expected
    assert body["parallel_tool_calls"] is False


def test_tools_in_the_responses_form_are_accepted() -> None:
    """Cursor sends them so to Chat endpoints (BerriAI/litellm#34029)."""
    schema = {"type": "object", "properties": {}}
    flat = {"type": "function", "name": "f", "strict": True, "parameters": schema}
    assert sent_body(tools=[flat])["tools"] == [flat]


@pytest.mark.parametrize("tool", [{"type": "function"}, {"function": {"name": ""}}])
def test_tool_without_a_name_is_refused_with_its_path(tool: Json) -> None:
    with pytest.raises(BadRequest, match="is missing") as error:
        sent_body(tools=[tool])
    assert error.value.param == "tools[0].function.name"


@pytest.mark.parametrize("fields", [{}, {"parameters": None}, {"parameters": {}}])
def test_tool_without_parameters_has_an_objects_schema(fields: Json) -> None:
    """OpenAI: "schema must have type 'object'"."""
    [tool] = sent_body(tools=[{"type": "function", "function": {"name": "f", **fields}}])["tools"]
    assert tool["parameters"] == {"type": "object", "properties": {}}


def test_strict_is_always_sent() -> None:
    strict = {"type": "function", "function": {"name": "g", "strict": True}}
    assert [tool["strict"] for tool in sent_body(tools=[FUNCTION, strict])["tools"]] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("fields", "path", "value"),
    [
        ({"reasoning_effort": "low"}, "reasoning.effort", "low"),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort", "low"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary", "detailed"),
        ({"verbosity": "high"}, "text.verbosity", "high"),
        ({"max_tokens": 5}, "max_output_tokens", 5),
        ({"max_completion_tokens": 5}, "max_output_tokens", 5),
        ({"prompt_cache_key": "k"}, "prompt_cache_key", "k"),
        ({"temperature": 0.5}, "temperature", 0.5),
        ({"service_tier": "flex"}, "service_tier", "flex"),
        ({"response_format": {"type": "json_object"}}, "text.format", {"type": "json_object"}),
    ],
)  # fmt: skip
def test_parameter_has_its_responses_name(fields: Json, path: str, value: Any) -> None:
    body: Any = sent_body(fields, to=PROVIDERS["openai"])
    for name in path.split("."):
        body = body[name]
    assert body == value


def test_reasoning_goes_back_sealed_or_as_text() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "theirs"}
    ours = seal_envelope(Envelope("chatgpt", "m", {"item": item}))
    detail = {"type": "reasoning.encrypted", "data": ours}
    foreign = {"type": "reasoning.encrypted", "data": "gAAAA"}
    assistant: Json = {"role": "assistant", "content": "B", "reasoning_content": "Hm."}
    assert sent_items(USER, {**assistant, "reasoning_details": [detail]})[1] == item
    thoughtful = NATIVE.model_copy(update={"reasoning_back": "reasoning_content"})
    [thought] = sent_items(USER, assistant, to=thoughtful)[1:2]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    exchange = chat_exchange(messages=[USER, {**assistant, "reasoning_details": [foreign]}])
    assert exchange.dropped[0] == "messages[1].reasoning_details"
    assert "gAAAA" not in exchange.body.decode()


def test_blocks_that_another_gateway_signed_do_not_go_up() -> None:
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "EqoB"}
    for blocks, dropped in (
        ([signed], ["messages[1].thinking_blocks"]),
        ([{"type": "redacted_thinking", "data": "EmwK"}], ["messages[1].thinking_blocks"]),
        ([{"type": "thinking", "thinking": "Hm."}], []),
    ):
        assistant = {"role": "assistant", "content": "B", "thinking_blocks": blocks}
        exchange = chat_exchange(messages=[USER, assistant])
        assert [path for path in exchange.dropped if "blocks" in path] == dropped
        assert b"EqoB" not in exchange.body and b"EmwK" not in exchange.body


def test_long_call_ids_are_shortened_alike_in_call_and_output() -> None:
    long = "x" * (CALL_ID_LIMIT + 1)
    call = {"id": long, "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    _, call_item, output = sent_items(
        USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": long, "content": "B"},
    )
    assert call_item["call_id"] == output["call_id"] == shorten_call_id(long)
    assert len(call_item["call_id"]) <= CALL_ID_LIMIT and call_item["arguments"] == '{"a":1}'


def test_legacy_calls_are_matched_by_name() -> None:
    call = {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}
    answer = {"role": "function", "name": "f", "content": "B"}
    _, first, first_output, second, second_output, unmatched = sent_items(
        USER, call, answer, call, answer, {**answer, "name": None}
    )
    assert (
        first["call_id"] == first_output["call_id"] != second["call_id"] == second_output["call_id"]
    )
    assert unmatched["content"].endswith("not in this conversation: ]\nB")


def test_malformed_parts_are_dropped_and_reported() -> None:
    parts = [
        {"type": "image_url", "image_url": 5},
        {"type": "text"},
        {"type": "refusal", "refusal": "no"},
        {"type": "text", "text": ""},
    ]
    exchange = chat_exchange(messages=[USER, {"role": "user", "content": parts}])
    assert exchange.dropped == [
        "messages[1].content[0] (image_url)", "messages[1].content[1] (text)",
        "messages[1].content[2] (refusal)",
    ]  # fmt: skip


def test_refusal_is_converted() -> None:
    [_, message] = sent_items(USER, {"role": "assistant", "content": None, "refusal": "No."})
    assert message["content"] == [{"type": "refusal", "refusal": "No."}]


def test_responses_for_chat_clients_are_not_stored() -> None:
    stored: list[Any] = []
    body = {"model": "m", "messages": [USER]}
    exchange = start_exchange(
        body, client="chat", context=replace(context_for(ACCOUNT), store_response=stored.append)
    )
    exchange.whole_reply(b'{"object":"response","status":"completed","output":[]}')
    assert not stored


ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "input_audio", "refusal", "x"])},
    optional={"text": VALUES, "image_url": OBJECTS, "file": OBJECTS, "refusal": VALUES},
)
CALLS = st.fixed_dictionaries(
    {},
    optional={"id": st.sampled_from(["a", "b"]), "type": st.sampled_from(["function", "custom"]),
              "function": OBJECTS, "custom": OBJECTS},
)  # fmt: skip
MESSAGES = st.fixed_dictionaries(
    {"role": ROLES},
    optional={
        "content": VALUES | st.lists(PARTS, max_size=3),
        "tool_calls": st.lists(CALLS, max_size=2) | VALUES,
        "function_call": OBJECTS,
        "tool_call_id": st.sampled_from(["a", "b"]),
        "name": st.sampled_from(["f", "g"]),
        "reasoning_details": VALUES,
        "thinking_blocks": VALUES,
        "reasoning_content": VALUES,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGES, max_size=4)},
    optional={
        "tools": st.lists(CALLS, max_size=2) | VALUES,
        "functions": st.lists(OBJECTS, max_size=2),
        "tool_choice": VALUES | CALLS,
        "function_call": VALUES,
        "response_format": VALUES,
        "reasoning": VALUES,
        "input": VALUES,
    },
)


@settings(max_examples=300)
@given(REQUESTS, st.sampled_from([ACCOUNT, NATIVE]))
def test_any_request_is_translated_or_refused(request: Json, to: Provider) -> None:
    try:
        body = json.loads(chat_exchange(request, to).body)
    except BadRequest as error:
        assert error.message
    else:
        assert body["stream"] is True and body["store"] is False


def test_image_may_be_a_url_alone() -> None:
    _, message = sent_items(
        USER, {"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}
    )
    assert message["content"] == [{"type": "input_image", "image_url": "x", "detail": "auto"}]


def test_detail_that_is_null_means_auto() -> None:
    image = {"type": "image_url", "image_url": {"url": "x", "detail": None}}
    [message] = sent_items({"role": "user", "content": [image]})
    assert message["content"][0]["detail"] == "auto"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("any", "required"),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "required"}, "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "name": "f"}),
    ],
)
def test_choices_in_the_spelling_of_other_apis(choice: Any, expected: Any) -> None:
    assert sent_body(tools=[FUNCTION], tool_choice=choice)["tool_choice"] == expected


def test_responses_body_is_accepted_at_the_chat_endpoint() -> None:
    body = {
        "model": "gpt-5.5", "stream": True, "store": True, "user": "u",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    exchange = start_exchange(body, client="chat", context=context_for(ACCOUNT, "gpt-5.5"))
    upstream = json.loads(exchange.body)
    assert [item["role"] for item in upstream["input"]] == ["developer", "user"]
    assert upstream["tools"][0]["name"] == "f" and upstream["store"] is False
    assert sorted(exchange.dropped) == ["store", "user"]
    assert b"chat.completion.chunk" in (wire := exchange.feed(b"".join(HELLO)))
    assert b'"usage":{' in wire and wire.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("options", "param"),
    [(5, "stream_options"), ({"include_usage": "perhaps"}, "stream_options.include_usage")],
)
def test_responses_body_with_wrong_stream_options_is_refused(options: Any, param: str) -> None:
    body = {"model": "m", "input": "Hi", "stream_options": options}
    with pytest.raises(BadRequest) as error:
        start_exchange(body, client="chat", context=context_for(ACCOUNT))
    assert error.value.param == param


def test_calls_with_the_same_id_get_unique_ids() -> None:
    call = {"id": "0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = {"role": "tool", "tool_call_id": "0", "content": "B"}
    assistant = {"role": "assistant", "tool_calls": [call, call]}
    converted = sent_items(
        USER, assistant, answer, answer, {"role": "assistant", "tool_calls": [call]}, answer
    )
    assert [item["call_id"] for item in converted[1:]] == ["0", "0_2", "0", "0_2", "0_3", "0_3"]


def test_calls_without_an_id_get_one() -> None:
    call = {"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assistant = {"role": "assistant", "tool_calls": [call]}
    _, call_item, output = sent_items(
        USER, assistant, {"role": "tool", "tool_call_id": "", "content": "B"}
    )
    assert call_item["call_id"] == output["call_id"] != ""


@pytest.mark.parametrize(
    ("system", "form", "roles"),
    [
        ("Answer in JSON.", "json_object", ["developer", "user"]),
        ("Be brief.", "json_object", ["user"]),
        ("Answer in JSON.", "text", ["user"]),
    ],
)
def test_json_mode_keeps_instructions_with_the_word_json_in_the_input(
    system: str, form: str, roles: list[str]
) -> None:
    messages = [{"role": "system", "content": system}, USER]
    body = sent_body(messages=messages, response_format={"type": form})
    assert [item["role"] for item in body["input"]] == roles
    assert body["instructions"] == ("" if len(roles) == 2 else system)


def test_empty_effort_is_not_sent() -> None:
    assert "effort" not in sent_body(reasoning_effort="")["reasoning"]


def test_fast_tier_is_called_priority() -> None:
    assert sent_body(service_tier="fast")["service_tier"] == "priority"


def test_images_of_an_assistant_message_are_dropped_and_reported() -> None:
    assistant = {"role": "assistant", "content": "B", "images": [{"type": "image_url"}]}
    assert chat_exchange(messages=[USER, assistant, USER]).dropped == ["messages[1].images"]


def test_name_of_a_tool_message_is_not_reported() -> None:
    answer = {"role": "tool", "name": "f", "tool_call_id": "1", "content": "B"}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert (
        chat_exchange(messages=[USER, {"role": "assistant", "tool_calls": [call]}, answer]).dropped
        == []
    )
