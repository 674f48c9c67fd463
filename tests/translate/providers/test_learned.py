"""What the relay learns from refusals in the words of providers, each with its source."""

import json
from typing import Any

import pytest

from tests.translate.support import (
    ACCOUNT,
    PROVIDERS,
    Json,
    chat_exchange,
    provider,
    responses_exchange,
    sent_body,
)
from translate import Provider, describe_lesson, learn_from_refusal

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
FULL_REQUEST: Json = {
    "input": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
        {"role": "developer", "content": "And kind."},
        {"role": "user", "content": "Go on."},
    ],
    "tools": [TOOL],
    "tool_choice": "required",
    "temperature": 0.5,
    "presence_penalty": 0.1,
    "max_output_tokens": 50,
    "parallel_tool_calls": False,
    "reasoning": {"effort": "high"},
    "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
    "prompt_cache_key": "k",
}
UPSTREAM = provider(
    takes=["prompt_cache_key"], system_role="developer", late_system_role="developer",
    extra={"top_k": 5},
)  # fmt: skip


EFFORTS = ("default", "high")


def error_json(message: str, **fields: Any) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


def learn(
    reply: bytes, status: int = 400, to: Provider = UPSTREAM, **request: Any
) -> Provider | None:
    exchange = responses_exchange({**FULL_REQUEST, **request}, to)
    return learn_from_refusal(to, status, reply, json.loads(exchange.body))


REFUSED_FIELDS = [
    # Groq: https://github.com/NousResearch/hermes-agent/issues/11089
    (400, error_json("property 'presence_penalty' is unsupported"), "presence_penalty"),
    # OpenAI: https://community.openai.com, o-series
    (400, error_json("Unsupported parameter: 'temperature' is not supported."), "temperature"),
    (400, error_json("Unsupported value.", param="reasoning_effort"), "reasoning_effort"),
    (400, error_json("Unrecognized request argument supplied: parallel_tool_calls"),
     "parallel_tool_calls"),
    # xAI: NousResearch/hermes-agent#23088, n8n-io/n8n#14581
    (400, json.dumps({"code": "Client specified an invalid argument",
                      "error": "grok-4 does not support parameter presencePenalty."}).encode(),
     "presence_penalty"),
    (400, json.dumps({"error": "does not support parameter reasoningEffort"}).encode(),
     "reasoning_effort"),
    # Mistral, vLLM: pydantic's own form (charmbracelet/crush#1590)
    (422, json.dumps({"detail": [{"type": "extra_forbidden", "loc": ["body", "prompt_cache_key"],
                                  "msg": "Extra inputs are not permitted"}]}).encode(),
     "prompt_cache_key"),
    # Gemini: MinLL/SkyrimNet-GamePlugin#77
    (400, json.dumps([{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown '
                                 'name "presence_penalty": Cannot find field.'}}]).encode(),
     "presence_penalty"),
    # Cerebras: agno-agi/agno#4508
    (400, b'{"message":"parallel_tool_calls=false is not supported","type":"invalid"}',
     "parallel_tool_calls"),
    (400, error_json("stream_options is not allowed"), "stream_options"),
    (400, error_json("tools[0].function.strict: unknown field"), "tools.function.strict"),
    (400, error_json("Unknown parameter: 'top_k'."), "top_k"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "reply", "path"), REFUSED_FIELDS, ids=[path for *_, path in REFUSED_FIELDS]
)
def test_refused_field_is_dropped(status: int, reply: bytes, path: str) -> None:
    profile = learn(reply, status)
    assert profile and profile.omits == {path}
    assert describe_lesson(UPSTREAM, profile) == f"without {path}"
    exchange = responses_exchange(FULL_REQUEST, profile)
    assert path in exchange.dropped
    body = json.loads(exchange.body)
    assert path.rpartition(".")[2] not in json.dumps(
        {k: v for k, v in body.items() if k != "model"}
    )


SEVERAL_FIELDS = [
    # transformers serve 5.23
    {"detail": "Unexpected fields in the request: {'top_k', 'temperature', 'prompt_cache_key'}"},
    {"error": {"message": "Unknown parameters: `top_k`, `temperature` and `prompt_cache_key`."}},
    {"error": "temperature, top_k, prompt_cache_key are not supported, nor is anything else"},
    # FastAPI and pydantic: Mistral, vLLM
    {"detail": [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
        for name in ("top_k", "temperature", "prompt_cache_key")
    ]},
]  # fmt: skip


@pytest.mark.parametrize("body", SEVERAL_FIELDS)
def test_fields_that_are_refused_together_are_dropped_together(body: Json) -> None:
    profile = learn(json.dumps(body).encode(), 422)
    assert profile and profile.omits == {"top_k", "temperature", "prompt_cache_key"}


@pytest.mark.parametrize(
    "message",
    [
        "'temperature' and 'top_k' are not supported together.",
        "temperature is not supported with this model, unlike top_k",
        "Invalid request: temperature and top_k are mutually exclusive.",
        "temperature; this parameter is not supported; top_k is",
        "Unexpected 'temperature'; did you mean 'top_k'?",
    ],
)
def test_only_one_field_is_dropped_where_that_suffices(message: str) -> None:
    profile = learn(error_json(message))
    assert profile and profile.omits == {"temperature"}


def test_missing_reasoning_goes_back() -> None:
    # MoonshotAI behind an unknown gateway: continuedev/continue#11600
    reply = error_json(
        "thinking is enabled but reasoning_content is missing in assistant message 2"
    )
    profile = learn(reply)
    assert profile and profile.reasoning_back == "reasoning_content"
    assert describe_lesson(UPSTREAM, profile) == "reasoning_back = reasoning_content"
    assert learn(reply, to=profile) is None


def test_refused_reasoning_field_is_dropped() -> None:
    # Groq: Mintplex-Labs and others; `property 'messages.2.reasoning_content' is unsupported`
    body = json.loads(responses_exchange(FULL_REQUEST, UPSTREAM).body)
    body["messages"].append({"role": "assistant", "content": "a", "reasoning_content": "t"})
    reply = error_json("'messages.4' : property 'reasoning_content' is unsupported")
    profile = learn_from_refusal(UPSTREAM, 400, reply, body)
    assert profile and profile.omits == {"messages.reasoning_content"}


ROLES = [
    # vllm-project/vllm#42407, deepseek: farion1231/cc-switch#2981
    "Unexpected message role: developer is not supported",
    "messages[0].role: unknown variant `developer`, expected one of `system`, `user`",
]


@pytest.mark.parametrize("message", ROLES)
def test_refused_developer_role_becomes_system(message: str) -> None:
    profile = learn(error_json(message))
    assert profile and (profile.system_role, profile.late_system_role) == ("system", "user")
    roles = [item["role"] for item in sent_body(FULL_REQUEST, profile)["messages"]]
    assert roles == ["system", "user", "user", "user"]


def test_refused_late_system_message_becomes_a_users() -> None:
    to = provider(late_system_role="system")
    # llama.cpp's templates; MiniMax: "invalid message role: system (2013)"
    for message in ("System message must come first", "invalid message role: system (2013)"):
        profile = learn(error_json(message), to=to)
        assert profile and profile.late_system_role == "user"
        assert describe_lesson(to, profile) == "late_system_role = user"
    first = provider(late_system_role="user")
    assert learn(error_json("invalid message role: system"), to=first) is None


@pytest.mark.parametrize("wrong", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_gets_its_other_name(wrong: Any) -> None:
    right = "max_tokens" if wrong == "max_completion_tokens" else "max_completion_tokens"
    to = provider(max_tokens=wrong)
    # https://github.com/openai/openai-python/issues/2049
    message = f"Unsupported parameter: '{wrong}' is not supported with this model. Use '{right}'."
    profile = learn(error_json(message), to=to)
    assert profile and profile.max_tokens == right
    assert sent_body(FULL_REQUEST, profile)[right] == 50
    assert describe_lesson(to, profile) == f"max_tokens = {right}"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "f"}])
def test_refused_form_of_tool_choice_is_dropped(choice: Any) -> None:
    # lmstudio-ai/lmstudio-bug-tracker#670, cloudwego/eino#994
    reply = error_json("Invalid tool_choice: does not support being set to required or object")
    profile = learn(reply, tool_choice=choice)
    form = "required" if choice == "required" else "function"
    assert profile and profile.tool_choices == UPSTREAM.tool_choices - {form}
    assert describe_lesson(UPSTREAM, profile) == f"without tool_choices {form}"
    assert learn(reply, tool_choice="auto") is None


def test_tool_choice_is_dropped_whole_where_the_table_allows_no_form() -> None:
    body = json.loads(responses_exchange(FULL_REQUEST, UPSTREAM).body)
    bare = provider(tool_choices=[])
    profile = learn_from_refusal(bare, 400, error_json("tool_choice is not supported"), body)
    assert profile and profile.omits == {"tool_choice"}


def test_refused_form_of_response_format_is_dropped() -> None:
    # presenton/presenton#676
    reply = error_json("This response_format type is unsupported now")
    profile = learn(reply)
    assert profile and profile.formats == {"json_object"}
    assert describe_lesson(UPSTREAM, profile) == "without formats json_schema"
    assert sent_body(FULL_REQUEST, profile)["response_format"] == {"type": "json_object"}
    body = json.loads(responses_exchange(FULL_REQUEST, UPSTREAM).body)
    profile = learn_from_refusal(provider(formats=[]), 400, reply, body)
    assert profile and profile.omits == {"response_format"}
    without_format = json.loads(responses_exchange({**FULL_REQUEST, "text": None}, UPSTREAM).body)
    assert (
        learn_from_refusal(UPSTREAM, 400, error_json("unsupported response_format"), without_format)
        is None
    )


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (400, error_json("temperature must be between 0 and 1: invalid")),
        (400, error_json("Unsupported value: max_tokens is too large")),
        (
            400,
            error_json(
                "This model's maximum context length is 100 tokens; unsupported temperature"
            ),
        ),
        (429, error_json("property 'temperature' is unsupported")),
        (500, error_json("property 'temperature' is unsupported")),
        (401, error_json("invalid temperature")),
        (400, error_json("insufficient_quota: temperature unsupported")),
        (400, error_json("messages[0].content: unsupported")),
        (400, error_json("unknown field: model")),
        (400, error_json("tools are not supported")),
        (400, error_json("The content was not to our liking")),
        (400, error_json("invalid top_logprobs")),  # not sent
        (400, error_json("the temperature today")),
        (400, b"<html>temperature</html>"),
        (400, b"temperature"),
        (400, b"null"),
        (400, b'{"error":"temperature"}'),
        (400, b'{"error":{"message":"x","param":5}}'),
    ],
)
def test_other_replies_teach_nothing(status: int, reply: bytes) -> None:
    assert learn(reply, status) is None


def test_lesson_holds_for_one_model_only() -> None:
    to = provider(models={"big*": {"images": False}}, omits=["seed"])
    profile = learn_from_refusal(
        to.for_model("big-1"),
        400,
        error_json("unknown temperature"),
        {**json.loads(responses_exchange(FULL_REQUEST, to).body)},
    )
    assert profile and profile.for_model("big-1") is profile
    assert not profile.images and profile.omits == {"seed", "temperature"}


CONTENT_REFUSALS = [
    error_json("Invalid schema for function 'x'", param="input[0].tools[0].tools[1].parameters"),
    error_json("Unsupported parameter: 'instructions'"),
    error_json("Invalid parameter (request id: 2026)"),
    error_json("expected text, unknown type"),
    error_json("Invalid date format"),
    error_json("Item 'rs_1' of type 'reasoning' was provided without its required following item."),
    error_json("For reasoning models max_output is required"),
]


@pytest.mark.parametrize("reply", CONTENT_REFUSALS)
@pytest.mark.parametrize("to", ["openai", "generic"])
def test_content_is_never_dropped(reply: bytes, to: str) -> None:
    items = [
        {"type": "additional_tools", "tools": [TOOL]},
        {"role": "user", "content": "Hi.", "id": "msg_1"},
    ]
    body = json.loads(
        responses_exchange(input=items, to=PROVIDERS[to], instructions="Be brief.").body
    )
    assert learn_from_refusal(PROVIDERS[to], 400, reply, body) is None


def test_param_counts_more_than_the_message() -> None:
    profile = learn(error_json("temperature and seed: invalid", param="presence_penalty"))
    assert profile and profile.omits == {"presence_penalty"}


@pytest.mark.parametrize("name", ["service_tier", "prompt_cache_key", "include", "reasoning"])
def test_the_chatgpt_backends_refusals_are_learned(name: str) -> None:
    """The parameters that it accepts change without notice (askalf/dario#1009)."""
    fields = {"service_tier": "priority", "reasoning_effort": "low", "messages": [USER]}
    reply = json.dumps({"detail": f"Unsupported parameter: {name}"}).encode()
    profile = learn_from_refusal(ACCOUNT, 400, reply, json.loads(chat_exchange(fields).body))
    assert profile is not None
    next_exchange = chat_exchange(fields, to=profile)
    assert name not in json.loads(next_exchange.body) and name in next_exchange.dropped
    for needed in ("store", "stream", "instructions", "input", "model"):
        reply = json.dumps({"detail": f"Unsupported parameter: {needed}"}).encode()
        assert (
            learn_from_refusal(ACCOUNT, 400, reply, json.loads(chat_exchange(fields).body)) is None
        )


USER = {"role": "user", "content": "Hello."}


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value: 'default'. Supported values are: 'low', 'medium', and 'high'.",
        "Unsupported value: 'default' is not supported here. Supported values are: 'low'.",
    ],
)
def test_refused_effort_is_dropped_and_others_are_not(message: str) -> None:
    exchange = chat_exchange(reasoning_effort="default")
    reply = error_json(message, param="reasoning.effort", code="invalid_value")
    profile = learn_from_refusal(ACCOUNT, 400, reply, json.loads(exchange.body))
    assert profile and describe_lesson(ACCOUNT, profile) == "without effort default"
    bodies = [
        json.loads(chat_exchange(reasoning_effort=effort, to=profile).body) for effort in EFFORTS
    ]
    assert [body["reasoning"].get("effort") for body in bodies] == [None, "high"]


@pytest.mark.parametrize(
    "reply",
    [
        error_json(
            "Invalid value: 'f'. Supported values are: 'none' and 'auto'.", param="tool_choice"
        ),
        json.dumps({"detail": "Unsupported service_tier: scale"}).encode(),
    ],
)
def test_wrong_value_does_not_drop_the_field(reply: bytes) -> None:
    exchange = chat_exchange(service_tier="scale", tool_choice="f")
    assert learn_from_refusal(ACCOUNT, 400, reply, json.loads(exchange.body)) is None


def test_unreadable_seals_are_not_sent_again() -> None:
    seal = {"encrypted_content": "gAAAAA"}
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": [], **seal},
        {"type": "compaction", **seal},
        {"role": "user", "content": "Go on."},
    ]
    exchange = responses_exchange({"input": items}, ACCOUNT)
    assert json.loads(exchange.body)["input"][:2] == items[:2]
    reply = error_json(
        "The encrypted content gAAA... could not be verified. Reason: organization_id"
    )
    profile = learn_from_refusal(ACCOUNT, 400, reply, json.loads(exchange.body))
    assert profile and describe_lesson(ACCOUNT, profile) == "without foreign_seals"
    next_exchange = responses_exchange({"input": items}, profile)
    assert "gAAAAA" not in next_exchange.body.decode()
    assert "input[0] (reasoning)" in next_exchange.dropped
    assert learn_from_refusal(profile, 400, reply, json.loads(next_exchange.body)) is None
