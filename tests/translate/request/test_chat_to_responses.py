"""What a Chat client asks, as an upstream of Responses is asked it."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translate.support import ACCOUNT, OBJECTS, PROVIDERS, VALUES, Json, ask, way
from translate import BadRequest, Provider, exchange
from translate.request.chat_to_responses import ID_LIMIT, shortened
from translate.wire.envelope import Envelope, seal

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


def sent(request: Json | None = None, to: Provider = ACCOUNT, **fields: Any) -> Json:
    """The body that goes upstream."""
    body: Json = json.loads(ask(request, to, **fields).body)
    return body


def items(*messages: Json, to: Provider = ACCOUNT) -> list[Json]:
    made: list[Json] = sent(to=to, messages=list(messages))["input"]
    return made


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
def test_wrong_field_is_named(fields: Json, param: str) -> None:
    with pytest.raises(BadRequest) as error:
        ask(fields)
    assert error.value.param == param
    assert error.value.message.startswith(f"{param}: ")


def test_what_the_upstream_cannot_take_is_named_in_the_clients_words() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "ab"]
    one = ACCOUNT.model_copy(update={"tool_types": frozenset(), "tools_limit": 1})
    with pytest.raises(BadRequest, match="^tools: 2, and") as error:
        ask(to=one, tools=tools)
    assert error.value.param == "tools"
    with pytest.raises(BadRequest, match=r"^tools\[0\].custom.name: is missing"):
        ask(to=NATIVE, tools=[{"type": "custom", "custom": {}}])


def test_what_is_lost_upstream_has_the_clients_words() -> None:
    video = {"type": "file", "file": {"filename": "a"}}
    crossing = ask(
        to=NATIVE.model_copy(update={"refuses": {"text.format", "max_output_tokens"}}),
        messages=[{"role": "system", "content": "S"}, USER, {"role": "user", "content": [video]}],
        max_tokens=5, verbosity="low", response_format={"type": "json_object"},
    )  # fmt: skip
    assert crossing.dropped == [
        "messages[2].content[0] (input_file)", "response_format", "verbosity", "max_tokens",
    ]  # fmt: skip


def test_leading_instructions_join_and_later_ones_stay() -> None:
    body = sent(
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


def test_instructions_alone_are_asked() -> None:
    [item] = items({"role": "system", "content": "A"})
    assert (item["role"], item["content"]) == ("developer", "A")


@pytest.mark.parametrize(
    ("choice", "made"),
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
def test_every_form_of_tool_choice(choice: Any, made: Any) -> None:
    tools = [FUNCTION, {"type": "custom", "custom": {"name": "p"}}]
    body = sent(tools=tools, tool_choice=choice)
    assert body.get("tool_choice", "auto") == made


@pytest.mark.parametrize("choice", ["none", "auto", {"name": "f"}])
def test_choice_of_the_time_before_tools(choice: Any) -> None:
    body = sent(functions=[{"name": "f"}], function_call=choice)
    made = {"type": "function", **choice} if isinstance(choice, dict) else choice
    assert body.get("tool_choice", "auto") == made
    assert body["parallel_tool_calls"] is False


def test_tools_in_the_responses_form_are_taken() -> None:
    """Cursor sends them so to Chat endpoints (BerriAI/litellm#34029)."""
    schema = {"type": "object", "properties": {}}
    flat = {"type": "function", "name": "f", "strict": True, "parameters": schema}
    assert sent(tools=[flat])["tools"] == [flat]


@pytest.mark.parametrize("tool", [{"type": "function"}, {"function": {"name": ""}}])
def test_tool_without_a_name_is_refused_at_its_place(tool: Json) -> None:
    with pytest.raises(BadRequest, match="is missing") as refused:
        sent(tools=[tool])
    assert refused.value.param == "tools[0].function.name"


@pytest.mark.parametrize("given", [{}, {"parameters": None}, {"parameters": {}}])
def test_tool_without_parameters_has_an_objects_schema(given: Json) -> None:
    """OpenAI: "schema must have type 'object'"."""
    [tool] = sent(tools=[{"type": "function", "function": {"name": "f", **given}}])["tools"]
    assert tool["parameters"] == {"type": "object", "properties": {}}


def test_strictness_is_said_as_its_absence_differs() -> None:
    strict = {"type": "function", "function": {"name": "g", "strict": True}}
    assert [tool["strict"] for tool in sent(tools=[FUNCTION, strict])["tools"]] == [False, True]


@pytest.mark.parametrize(
    ("fields", "place", "value"),
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
def test_parameter_has_its_own_name(fields: Json, place: str, value: Any) -> None:
    body: Any = sent(fields, to=PROVIDERS["openai"])
    for name in place.split("."):
        body = body[name]
    assert body == value


def test_reasoning_goes_back_sealed_or_in_words() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "theirs"}
    ours = seal(Envelope("chatgpt", "m", {"item": item}))
    detail = {"type": "reasoning.encrypted", "data": ours}
    foreign = {"type": "reasoning.encrypted", "data": "gAAAA"}
    said: Json = {"role": "assistant", "content": "B", "reasoning_content": "Hm."}
    assert items(USER, {**said, "reasoning_details": [detail]})[1] == item
    thoughtful = NATIVE.model_copy(update={"reasoning_back": "reasoning_content"})
    [thought] = items(USER, said, to=thoughtful)[1:2]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    crossing = ask(messages=[USER, {**said, "reasoning_details": [foreign]}])
    assert crossing.dropped[0] == "messages[1].reasoning_details"
    assert "gAAAA" not in crossing.body.decode()


def test_calls_and_outputs_keep_ids_that_fit() -> None:
    long = "x" * (ID_LIMIT + 1)
    call = {"id": long, "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    _, called, output = items(
        USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": long, "content": "B"},
    )
    assert called["call_id"] == output["call_id"] == shortened(long)
    assert len(called["call_id"]) <= ID_LIMIT and called["arguments"] == '{"a":1}'


def test_old_calls_are_answered_by_name() -> None:
    call = {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}
    answer = {"role": "function", "name": "f", "content": "B"}
    _, one, out, two, again, lost = items(
        USER, call, answer, call, answer, {**answer, "name": None}
    )
    assert one["call_id"] == out["call_id"] != two["call_id"] == again["call_id"]
    assert lost["content"].endswith("not in this conversation: ]\nB")


def test_parts_beyond_sense_are_reported() -> None:
    parts = [
        {"type": "image_url", "image_url": 5},
        {"type": "text"},
        {"type": "refusal", "refusal": "no"},
        {"type": "text", "text": ""},
    ]
    crossing = ask(messages=[USER, {"role": "user", "content": parts}])
    assert crossing.dropped == [
        "messages[1].content[0] (image_url)", "messages[1].content[1] (text)",
        "messages[1].content[2] (refusal)",
    ]  # fmt: skip


def test_refusal_goes_back() -> None:
    [_, said] = items(USER, {"role": "assistant", "content": None, "refusal": "No."})
    assert said["content"] == [{"type": "refusal", "refusal": "No."}]


def test_nothing_is_kept_for_a_chat_client() -> None:
    kept: list[Any] = []
    body = {"model": "m", "messages": [USER]}
    made = exchange(body, client="chat", way=replace(way(ACCOUNT), keep=kept.append))
    made.whole(b'{"object":"response","status":"completed","output":[]}')
    assert not kept


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
def test_any_request_is_carried_or_refused_by_name(request: Json, to: Provider) -> None:
    try:
        body = json.loads(ask(request, to).body)
    except BadRequest as error:
        assert error.message
    else:
        assert body["stream"] is True and body["store"] is False


def test_pictures_may_be_urls_alone() -> None:
    _, said = items(USER, {"role": "user", "content": [{"type": "image_url", "image_url": "x"}]})
    assert said["content"] == [{"type": "input_image", "image_url": "x", "detail": "auto"}]


def test_detail_that_is_null_is_nobodys_choice() -> None:
    image = {"type": "image_url", "image_url": {"url": "x", "detail": None}}
    [said] = items({"role": "user", "content": [image]})
    assert said["content"][0]["detail"] == "auto"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("any", "required"),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "required"}, "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "name": "f"}),
    ],
)
def test_choices_as_others_spell_them(given: Any, wanted: Any) -> None:
    assert sent(tools=[FUNCTION], tool_choice=given)["tool_choice"] == wanted


def test_a_body_of_responses_is_taken_at_the_chat_endpoint() -> None:
    body = {
        "model": "gpt-5.5", "stream": True, "store": True, "user": "u",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    crossing = exchange(body, client="chat", way=way(ACCOUNT, "gpt-5.5"))
    asked = json.loads(crossing.body)
    assert [item["role"] for item in asked["input"]] == ["developer", "user"]
    assert asked["tools"][0]["name"] == "f" and asked["store"] is False
    assert sorted(crossing.dropped) == ["store", "user"]
    assert b"chat.completion.chunk" in (told := crossing.feed(b"".join(HELLO)))
    assert b'"usage":{' in told and told.endswith(b"data: [DONE]\n\n")


def test_calls_that_share_an_id_are_told_apart() -> None:
    call = {"id": "0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = {"role": "tool", "tool_call_id": "0", "content": "B"}
    said = {"role": "assistant", "tool_calls": [call, call]}
    made = items(USER, said, answer, answer, {"role": "assistant", "tool_calls": [call]}, answer)
    assert [item["call_id"] for item in made[1:]] == ["0", "0_2", "0", "0_2", "0_3", "0_3"]


def test_calls_without_an_id_get_one() -> None:
    call = {"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = {"role": "assistant", "tool_calls": [call]}
    _, called, output = items(USER, said, {"role": "tool", "tool_call_id": "", "content": "B"})
    assert called["call_id"] == output["call_id"] != ""


@pytest.mark.parametrize(
    ("system", "form", "roles"),
    [
        ("Answer in JSON.", "json_object", ["developer", "user"]),
        ("Be brief.", "json_object", ["user"]),
        ("Answer in JSON.", "text", ["user"]),
    ],
)
def test_json_mode_finds_its_word_in_the_input(system: str, form: str, roles: list[str]) -> None:
    said = [{"role": "system", "content": system}, USER]
    body = sent(messages=said, response_format={"type": form})
    assert [item["role"] for item in body["input"]] == roles
    assert body["instructions"] == ("" if len(roles) == 2 else system)


def test_an_effort_of_nobodys_choice_is_not_asked_for() -> None:
    assert "effort" not in sent(reasoning_effort="")["reasoning"]


def test_the_fast_tier_has_another_name() -> None:
    assert sent(service_tier="fast")["service_tier"] == "priority"


def test_pictures_that_came_with_an_answer_are_reported() -> None:
    said = {"role": "assistant", "content": "B", "images": [{"type": "image_url"}]}
    assert ask(messages=[USER, said, USER]).dropped == ["messages[1].images"]


def test_the_name_of_a_tool_is_said_by_its_call() -> None:
    answer = {"role": "tool", "name": "f", "tool_call_id": "1", "content": "B"}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert ask(messages=[USER, {"role": "assistant", "tool_calls": [call]}, answer]).dropped == []
