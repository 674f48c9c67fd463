"""Refusals as providers word them (each with its source), and what is learned from them."""

import json
from typing import Any

import pytest

from tests.translate.support import ACCOUNT, PROVIDERS, Json, ask, carry, provider, sent
from translate import Provider, learn, told

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
RICH: Json = {
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
OPEN = provider(
    takes=["prompt_cache_key"], system_role="developer", late_system_role="developer",
    extra={"top_k": 5},
)  # fmt: skip


DEPTHS = ("default", "high")


def error(message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


def after(reply: bytes, status: int = 400, to: Provider = OPEN, **request: Any) -> Provider | None:
    return learn(to, status, reply, json.loads(carry({**RICH, **request}, to).body))


OMITTED = [
    # Groq: https://github.com/NousResearch/hermes-agent/issues/11089
    (400, error("property 'presence_penalty' is unsupported"), "presence_penalty"),
    # OpenAI: https://community.openai.com, o-series
    (400, error("Unsupported parameter: 'temperature' is not supported."), "temperature"),
    (400, error("Unsupported value.", param="reasoning_effort"), "reasoning_effort"),
    (400, error("Unrecognized request argument supplied: parallel_tool_calls"),
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
    (400, error("stream_options is not allowed"), "stream_options"),
    (400, error("tools[0].function.strict: unknown field"), "tools.function.strict"),
    (400, error("Unknown parameter: 'top_k'."), "top_k"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "reply", "path"), OMITTED, ids=[path for *_, path in OMITTED])
def test_a_field_that_is_refused_is_left_out(status: int, reply: bytes, path: str) -> None:
    better = after(reply, status)
    assert better and better.omits == {path}
    assert told(OPEN, better) == f"without {path}"
    crossing = carry(RICH, better)
    assert path in crossing.dropped
    body = json.loads(crossing.body)
    assert path.rpartition(".")[2] not in json.dumps(
        {k: v for k, v in body.items() if k != "model"}
    )


def test_thinking_that_must_come_back() -> None:
    # MoonshotAI by way of an unknown gateway: continuedev/continue#11600
    reply = error("thinking is enabled but reasoning_content is missing in assistant message 2")
    better = after(reply)
    assert better and better.reasoning_back == "reasoning_content"
    assert told(OPEN, better) == "reasoning_back = reasoning_content"
    assert after(reply, to=better) is None


def test_thinking_that_must_not_come_back() -> None:
    # Groq: Mintplex-Labs and others; `property 'messages.2.reasoning_content' is unsupported`
    envelope = carry(to=OPEN).dropped
    body = json.loads(carry(RICH, OPEN).body)
    body["messages"].append({"role": "assistant", "content": "a", "reasoning_content": "t"})
    reply = error("'messages.4' : property 'reasoning_content' is unsupported")
    better = learn(OPEN, 400, reply, body)
    assert better and better.omits == {"messages.reasoning_content"} and not envelope


ROLES = [
    # vllm-project/vllm#42407, deepseek: farion1231/cc-switch#2981
    "Unexpected message role: developer is not supported",
    "messages[0].role: unknown variant `developer`, expected one of `system`, `user`",
]


@pytest.mark.parametrize("message", ROLES)
def test_the_developer_role(message: str) -> None:
    better = after(error(message))
    assert better and (better.system_role, better.late_system_role) == ("system", "user")
    roles = [one["role"] for one in sent(RICH, better)["messages"]]
    assert roles == ["system", "user", "user", "user"]


def test_a_later_system_message() -> None:
    to = provider(late_system_role="system")
    # llama.cpp's templates; MiniMax: "invalid message role: system (2013)"
    for message in ("System message must come first", "invalid message role: system (2013)"):
        better = after(error(message), to=to)
        assert better and better.late_system_role == "user"
        assert told(to, better) == "late_system_role = user"
    first = provider(late_system_role="user")
    assert after(error("invalid message role: system"), to=first) is None


@pytest.mark.parametrize("wrong", ["max_tokens", "max_completion_tokens"])
def test_the_other_name_of_max_tokens(wrong: Any) -> None:
    right = "max_tokens" if wrong == "max_completion_tokens" else "max_completion_tokens"
    to = provider(max_tokens=wrong)
    # https://github.com/openai/openai-python/issues/2049
    message = f"Unsupported parameter: '{wrong}' is not supported with this model. Use '{right}'."
    better = after(error(message), to=to)
    assert better and better.max_tokens == right
    assert sent(RICH, better)[right] == 50
    assert told(to, better) == f"max_tokens = {right}"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "f"}])
def test_a_form_of_tool_choice(choice: Any) -> None:
    # lmstudio-ai/lmstudio-bug-tracker#670, cloudwego/eino#994
    reply = error("Invalid tool_choice: does not support being set to required or object")
    better = after(reply, tool_choice=choice)
    form = "required" if choice == "required" else "function"
    assert better and better.tool_choices == OPEN.tool_choices - {form}
    assert told(OPEN, better) == f"without tool_choices {form}"
    assert after(reply, tool_choice="auto") is None


def test_a_form_of_tool_choice_that_was_not_to_be_sent() -> None:
    body = json.loads(carry(RICH, OPEN).body)
    bare = provider(tool_choices=[])
    assert learn(bare, 400, error("tool_choice is not supported"), body).omits == {"tool_choice"}  # type: ignore[union-attr]


def test_a_form_of_response_format() -> None:
    # presenton/presenton#676
    reply = error("This response_format type is unsupported now")
    better = after(reply)
    assert better and better.formats == {"json_object"}
    assert told(OPEN, better) == "without formats json_schema"
    assert sent(RICH, better)["response_format"] == {"type": "json_object"}
    body = json.loads(carry(RICH, OPEN).body)
    again = learn(provider(formats=[]), 400, reply, body)
    assert again and again.omits == {"response_format"}
    plain = json.loads(carry({**RICH, "text": None}, OPEN).body)
    assert learn(OPEN, 400, error("unsupported response_format"), plain) is None


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (400, error("temperature must be between 0 and 1: invalid")),
        (400, error("Unsupported value: max_tokens is too large")),
        (400, error("This model's maximum context length is 100 tokens; unsupported temperature")),
        (429, error("property 'temperature' is unsupported")),
        (500, error("property 'temperature' is unsupported")),
        (401, error("invalid temperature")),
        (400, error("insufficient_quota: temperature unsupported")),
        (400, error("messages[0].content: unsupported")),
        (400, error("unknown field: model")),
        (400, error("tools are not supported")),
        (400, error("The content was not to our liking")),
        (400, error("invalid top_logprobs")),  # not sent
        (400, error("the temperature today")),
        (400, b"<html>temperature</html>"),
        (400, b"temperature"),
        (400, b"null"),
        (400, b'{"error":"temperature"}'),
        (400, b'{"error":{"message":"x","param":5}}'),
    ],
)
def test_nothing_is_learned_of(status: int, reply: bytes) -> None:
    assert after(reply, status) is None


def test_what_was_learned_holds_for_the_model_alone() -> None:
    to = provider(models={"big*": {"images": False}}, omits=["seed"])
    better = learn(
        to.of("big-1"), 400, error("unknown temperature"), {**json.loads(carry(RICH, to).body)}
    )
    assert better and better.of("big-1") is better
    assert not better.images and better.omits == {"seed", "temperature"}


CONTENT = [
    error("Invalid schema for function 'x'", param="input[0].tools[0].tools[1].parameters"),
    error("Unsupported parameter: 'instructions'"),
    error("Invalid parameter (request id: 2026)"),
    error("expected text, unknown type"),
    error("Invalid date format"),
    error("Item 'rs_1' of type 'reasoning' was provided without its required following item."),
    error("For reasoning models max_output is required"),
]


@pytest.mark.parametrize("reply", CONTENT)
@pytest.mark.parametrize("to", ["openai", "generic"])
def test_content_is_never_left_out(reply: bytes, to: str) -> None:
    items = [
        {"type": "additional_tools", "tools": [TOOL]},
        {"role": "user", "content": "Hi.", "id": "msg_1"},
    ]
    body = json.loads(carry(input=items, to=PROVIDERS[to], instructions="Be brief.").body)
    assert learn(PROVIDERS[to], 400, reply, body) is None


def test_the_field_that_is_named_apart_is_the_one_that_is_meant() -> None:
    better = after(error("temperature and seed: invalid", param="presence_penalty"))
    assert better and better.omits == {"presence_penalty"}


@pytest.mark.parametrize("name", ["service_tier", "prompt_cache_key", "include", "reasoning"])
def test_the_chatgpt_backends_refusals_are_learned(name: str) -> None:
    """askalf/dario#1009: what it takes changes without notice."""
    fields = {"service_tier": "priority", "reasoning_effort": "low", "messages": [USER]}
    reply = json.dumps({"detail": f"Unsupported parameter: {name}"}).encode()
    after = learn(ACCOUNT, 400, reply, json.loads(ask(fields).body))
    assert after is not None
    again = ask(fields, to=after)
    assert name not in json.loads(again.body) and name in again.dropped
    for needed in ("store", "stream", "instructions", "input", "model"):
        reply = json.dumps({"detail": f"Unsupported parameter: {needed}"}).encode()
        assert learn(ACCOUNT, 400, reply, json.loads(ask(fields).body)) is None


USER = {"role": "user", "content": "Hello."}


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value: 'default'. Supported values are: 'low', 'medium', and 'high'.",
        "Unsupported value: 'default' is not supported here. Supported values are: 'low'.",
    ],
)
def test_an_effort_is_forgotten_and_the_others_are_not(message: str) -> None:
    asked = ask(reasoning_effort="default")
    reply = error(message, param="reasoning.effort", code="invalid_value")
    after = learn(ACCOUNT, 400, reply, json.loads(asked.body))
    assert after and told(ACCOUNT, after) == "without effort default"
    again = {word: json.loads(ask(reasoning_effort=word, to=after).body) for word in DEPTHS}
    assert [body["reasoning"].get("effort") for body in again.values()] == [None, "high"]


@pytest.mark.parametrize(
    "reply",
    [
        error("Invalid value: 'f'. Supported values are: 'none' and 'auto'.", param="tool_choice"),
        json.dumps({"detail": "Unsupported service_tier: scale"}).encode(),
    ],
)
def test_one_clients_wrong_value_takes_a_field_from_nobody(reply: bytes) -> None:
    asked = ask(service_tier="scale", tool_choice="f")
    assert learn(ACCOUNT, 400, reply, json.loads(asked.body)) is None


def test_what_others_were_given_sealed_is_not_sent_again() -> None:
    theirs = {"encrypted_content": "gAAAAA"}
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": [], **theirs},
        {"type": "compaction", **theirs},
        {"role": "user", "content": "Go on."},
    ]
    made = carry({"input": items}, ACCOUNT)
    assert json.loads(made.body)["input"][:2] == items[:2]
    reply = error("The encrypted content gAAA... could not be verified. Reason: organization_id")
    after = learn(ACCOUNT, 400, reply, json.loads(made.body))
    assert after and told(ACCOUNT, after) == "without foreign_seals"
    again = carry({"input": items}, after)
    assert "gAAAAA" not in again.body.decode()
    assert "input[0] (reasoning)" in again.dropped
    assert learn(after, 400, reply, json.loads(again.body)) is None
