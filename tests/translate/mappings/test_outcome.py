"""Finish reasons and usage in the forms of many providers, and estimates of usage."""

import json
from typing import Any

import pytest

from tests.translate.support import (
    PROVIDERS,
    Json,
    chunk,
    events_of,
    events_wire,
    lawful_events,
    reply_events,
    responses_exchange,
    stream,
)
from translate.mappings.outcome import (
    COMPLETED,
    FAILED,
    FILTERED,
    TOO_LONG,
    Outcome,
    SentRequest,
    detect_truncation,
    estimate_usage,
    find_chat_usage,
    finish_to_outcome,
    usage_to_responses,
)


def message_item(text: str) -> Json:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [part]}


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("stop", COMPLETED), ("tool_calls", COMPLETED), ("function_call", COMPLETED),
        ("eos", COMPLETED), ("STOP", COMPLETED), ("length", TOO_LONG), ("MAX_TOKENS", TOO_LONG),
        ("model_length", TOO_LONG), ("content_filter", FILTERED), ("SAFETY", FILTERED),
        ("sensitive", FILTERED),
        ("model_context_window_exceeded", FAILED),
        ("error", FAILED), ("network_error", FAILED), ("abort", FAILED),
    ],
)  # fmt: skip
def test_finish_reason_decides_the_outcome(reason: str, outcome: Outcome) -> None:
    assert finish_to_outcome(reason) is outcome
    last = reply_events(chunk(content="Hi."), chunk(reason))[-1]
    assert last["type"] == f"response.{outcome.response_status}"
    details = last["response"]["incomplete_details"]
    assert details == ({"reason": outcome.incomplete_reason} if outcome.incomplete_reason else None)


@pytest.mark.parametrize("finish", [None, ""])
def test_reply_without_a_finish_reason_has_failed(finish: str | None) -> None:
    assert reply_events(chunk(finish, content="Hi."), done=False)[-1]["type"] == "response.failed"


def token_counts(usage: Json) -> tuple[int, int, int, int, int]:
    converted = usage_to_responses(usage)
    return (
        converted["input_tokens"],
        converted["input_tokens_details"]["cached_tokens"],
        converted["output_tokens"],
        converted["output_tokens_details"]["reasoning_tokens"],
        converted["total_tokens"],
    )


ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
BASE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (BASE, (10, 0, 4, 0, 14)),
        (BASE | {"prompt_tokens_details": {"cached_tokens": 8}}, (10, 8, 4, 0, 14)),
        (BASE | {"prompt_cache_hit_tokens": 8}, (10, 8, 4, 0, 14)),  # DeepSeek
        (BASE | {"cached_tokens": 8}, (10, 8, 4, 0, 14)),  # Kimi
        (BASE | {"completion_tokens_details": {"reasoning_tokens": 3}}, (10, 0, 4, 3, 14)),
        (BASE | {"reasoning_tokens": 3}, (10, 0, 4, 3, 14)),
        (BASE | {"prompt_tokens_details": None}, (10, 0, 4, 0, 14)),
        (BASE | {"total_tokens": None}, (10, 0, 4, 0, 14)),
        (BASE | {"total_tokens": float("inf")}, (10, 0, 4, 0, 14)),
        ({"prompt_tokens": 10}, (10, 0, 0, 0, 10)),
        ({"prompt_tokens": 10.0, "completion_tokens": -1}, (10, 0, 0, 0, 10)),
        ({"prompt_tokens": "10", "completion_tokens": True}, (0, 0, 0, 0, 0)),
    ],
)
def test_each_count_is_read_from_every_usual_field(usage: Json, counts: tuple[int, ...]) -> None:
    assert token_counts(usage) == counts


def test_cache_writes_are_counted() -> None:
    usage = usage_to_responses(BASE | {"prompt_tokens_details": {"cache_write_tokens": 5}})
    assert usage["input_tokens_details"]["cache_write_tokens"] == 5


@pytest.mark.parametrize(
    "reply",
    [
        {"usage": BASE}, {"choices": [{"usage": BASE}]}, {"x_groq": {"usage": BASE}},
        {"usage": None, "choices": [{"usage": BASE}]},
    ],
)  # fmt: skip
def test_usage_is_found_in_every_usual_field(reply: Json) -> None:
    assert find_chat_usage(reply) == BASE


# Usage as each provider sends it, with the source, and its counts: input, cached, output, reasoning
# and total.
USAGE_OF_PROVIDERS = {
    # https://platform.openai.com/docs/guides/prompt-caching
    "openai": (
        {
            "usage": {
                "prompt_tokens": 2006,
                "completion_tokens": 300,
                "total_tokens": 2306,
                "prompt_tokens_details": {"cached_tokens": 1920},
                "completion_tokens_details": {"reasoning_tokens": 64},
            }
        },
        (2006, 1920, 300, 64, 2306),
    ),
    # as OpenAI (https://learn.microsoft.com/azure/ai-foundry/openai/how-to/prompt-caching)
    "azure": (
        {
            "usage": {
                "prompt_tokens": 1566,
                "completion_tokens": 1518,
                "total_tokens": 3084,
                "prompt_tokens_details": {"cached_tokens": 1408},
                "completion_tokens_details": {"reasoning_tokens": 576},
            }
        },
        (1566, 1408, 1518, 576, 3084),
    ),
    # https://api-docs.deepseek.com/api/create-chat-completion
    "deepseek": (
        {
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
                "completion_tokens_details": {"reasoning_tokens": 5},
            }
        },
        (100, 64, 20, 5, 120),
    ),
    # in the choice: AstrBotDevs/AstrBot#6614
    "kimi": (
        {
            "choices": [
                {
                    "index": 0,
                    "usage": {
                        "prompt_tokens": 1336,
                        "completion_tokens": 31,
                        "total_tokens": 1367,
                        "cached_tokens": 1280,
                    },
                }
            ]
        },
        (1336, 1280, 31, 0, 1367),
    ),
    # https://help.aliyun.com/en/model-studio/context-cache
    "qwen": (
        {
            "usage": {
                "prompt_tokens": 3019,
                "completion_tokens": 104,
                "total_tokens": 3123,
                "prompt_tokens_details": {"cached_tokens": 2048},
            }
        },
        (3019, 2048, 104, 0, 3123),
    ),
    # mistralai/client-ts#240
    "mistral": (
        {
            "usage": {
                "prompt_tokens": 1013,
                "total_tokens": 1043,
                "completion_tokens": 30,
                "prompt_tokens_details": {"cached_tokens": 1008},
            }
        },
        (1013, 1008, 30, 0, 1043),
    ),
    # other versions of Mistral: vercel/ai#14889
    "mistral, flat": (
        {
            "usage": {
                "prompt_tokens": 9,
                "total_tokens": 10,
                "completion_tokens": 1,
                "num_cached_tokens": 8,
            }
        },
        (9, 8, 1, 0, 10),
    ),
    # langchain-ai/langchain#33708
    "groq": (
        {
            "choices": [],
            "x_groq": {
                "id": "req",
                "usage": {
                    "prompt_tokens": 2006,
                    "completion_tokens": 300,
                    "total_tokens": 2306,
                    "queue_time": 0.03,
                    "prompt_tokens_details": {"cached_tokens": 1920},
                },
            },
        },
        (2006, 1920, 300, 0, 2306),
    ),
    # reasoning counts in the total only: vercel/ai#9774
    "xai": (
        {
            "usage": {
                "prompt_tokens": 2640,
                "completion_tokens": 182,
                "total_tokens": 3494,
                "prompt_tokens_details": {"text_tokens": 2640, "cached_tokens": 473},
                "completion_tokens_details": {"reasoning_tokens": 672},
            }
        },
        (2640, 473, 854, 672, 3494),
    ),
    # https://openrouter.ai/docs/use-cases/usage-accounting
    "openrouter": (
        {
            "usage": {
                "prompt_tokens": 194,
                "completion_tokens": 2,
                "total_tokens": 196,
                "prompt_tokens_details": {"cached_tokens": 10},
                "cost": 0.95,
                "completion_tokens_details": {"reasoning_tokens": 1},
            }
        },
        (194, 10, 2, 1, 196),
    ),
    # langgenius/dify-plugin-sdks#188
    "glm": (
        {
            "usage": {
                "completion_tokens": 139,
                "prompt_tokens": 15427,
                "total_tokens": 15566,
                "prompt_tokens_details": {"cached_tokens": 170},
            }
        },
        (15427, 170, 139, 0, 15566),
    ),
    # in a chunk of its own: mozilla-ai/any-llm#1185, vllm-project/vllm#37955
    "minimax": (
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 70,
                "completion_tokens": 30,
                "total_tokens": 100,
                "total_characters": 0,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
        },
        (70, 0, 30, 20, 100),
    ),
    # reasoning counts in the total only, and is not named: mozilla-ai/any-llm#1290
    "gemini": (
        {"usage": {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}},
        (20, 0, 603, 405, 623),
    ),
    # https://docs.ollama.com/api/openai-compatibility
    "ollama": (
        {"usage": {"prompt_tokens": 26, "completion_tokens": 298, "total_tokens": 324}},
        (26, 0, 298, 0, 324),
    ),
    # https://lmstudio.ai/docs/developer/openai-compat
    "lmstudio": (
        {
            "usage": {
                "prompt_tokens": 24,
                "completion_tokens": 10,
                "total_tokens": 34,
                "completion_tokens_details": {"reasoning_tokens": 4},
            }
        },
        (24, 0, 10, 4, 34),
    ),
    # vLLM with --enable-prompt-tokens-details: vllm-project/vllm#22507
    "vllm": (
        {
            "usage": {
                "prompt_tokens": 11,
                "total_tokens": 20,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 8},
            }
        },
        (11, 8, 9, 0, 20),
    ),
    "vllm, without": (
        {
            "usage": {
                "prompt_tokens": 11,
                "total_tokens": 20,
                "completion_tokens": 9,
                "prompt_tokens_details": None,
            }
        },
        (11, 0, 9, 0, 20),
    ),
    # ggml-org/llama.cpp#15827
    "llamacpp": (
        {
            "choices": [],
            "timings": {
                "cache_n": 236,
                "prompt_n": 1,
                "prompt_ms": 30.958,
                "predicted_n": 35,
                "predicted_ms": 661.064,
            },
        },
        (237, 236, 35, 0, 272),
    ),
    "llamacpp, both": (
        {
            "usage": {"prompt_tokens": 237, "completion_tokens": 35, "total_tokens": 272},
            "timings": {"cache_n": 236, "prompt_n": 1, "predicted_n": 35},
        },
        (237, 236, 35, 0, 272),
    ),
    # https://docs.together.ai/reference/chat-completions-1
    "together": (
        {
            "usage": {
                "prompt_tokens": 40,
                "completion_tokens": 12,
                "total_tokens": 52,
                "cached_tokens": 32,
            }
        },
        (40, 32, 12, 0, 52),
    ),
    # https://docs.fireworks.ai/api-reference/post-chatcompletions
    "fireworks": (
        {
            "usage": {
                "prompt_tokens": 40,
                "completion_tokens": 12,
                "total_tokens": 52,
                "prompt_tokens_details": {"cached_tokens": 32},
            }
        },
        (40, 32, 12, 0, 52),
    ),
    # https://inference-docs.cerebras.ai/api-reference/chat-completions
    "cerebras": (
        {
            "usage": {
                "prompt_tokens": 12,
                "completion_tokens": 10,
                "total_tokens": 22,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"accepted_prediction_tokens": 0},
            }
        },
        (12, 0, 10, 0, 22),
    ),
}


@pytest.mark.parametrize(("reply", "counts"), USAGE_OF_PROVIDERS.values(), ids=USAGE_OF_PROVIDERS)
def test_usage_of_each_provider_is_counted(reply: Json, counts: tuple[int, ...]) -> None:
    usage = find_chat_usage(reply)
    assert usage is not None and token_counts(usage) == counts


def test_every_chat_provider_is_in_the_table() -> None:
    assert {name.partition(",")[0] for name in USAGE_OF_PROVIDERS} == PROVIDERS.keys() - {
        "chatgpt",  # does not speak Chat
        "demo",
        "generic",
        "responses",
    }


@pytest.mark.parametrize(
    "reply", [{}, {"usage": {}}, {"usage": ZEROS}, {"timings": {"prompt_n": 0}}, {"timings": 5}]
)
def test_usage_of_zeros_is_ignored(reply: Json) -> None:
    assert find_chat_usage(reply) is None


@pytest.mark.parametrize(
    "reply", [{}, {"usage": {}}, {"usage": 5}, {"choices": []}, {"choices": [5]}, {"x_groq": 5}]
)
def test_reply_without_usage_has_none(reply: Any) -> None:
    assert find_chat_usage(reply) is None


@pytest.mark.parametrize("last_fields", [{}, {"usage": None}, {"usage": ZEROS}, {"timings": {}}])
def test_usage_that_is_missing_is_estimated_and_marked(last_fields: Json) -> None:
    prompt, answer = "Why? " * 400, "So. " * 200
    usage = reply_events(
        chunk(content=answer),
        chunk("stop") | last_fields,
        exchange=responses_exchange(input=prompt),
    )[-1]["response"]["usage"]
    assert usage["estimated"] is True
    assert 500 <= usage["input_tokens"] < 520 and 200 <= usage["output_tokens"] < 250
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize("type", ["response.completed", "response.incomplete"])
def test_zeros_with_details_are_no_usage(type: str) -> None:
    """transformers serve and aimock send the details object, too."""
    details = {"input_tokens_details": {"cached_tokens": 0}}
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, **details}
    item = {"id": "msg_1", **message_item("Hi.")}
    ending = {"type": type, "response": {"output": [item], "usage": zeros}}
    exchange = responses_exchange(to=PROVIDERS["responses"])
    usage = events_of(exchange.feed(events_wire(ending)))[-1]["response"]["usage"]
    assert usage["estimated"] is True and usage["input_tokens"] > 0 < usage["output_tokens"]


def test_estimate_counts_tools_but_not_sealed_reasoning() -> None:
    body = {"messages": [], "tools": [{"x": "y" * 400}]}
    usage = estimate_usage(
        SentRequest(json.dumps(body).encode()), [{"encrypted_content": "z" * 4000}]
    )
    assert usage["input_tokens"] > 100 > usage["output_tokens"]


@pytest.mark.parametrize(
    ("reply_item", "tokens"),  # counted with o200k, and one for the end
    [
        (message_item("Hi."), 3), (message_item("Sunny."), 3), (message_item("2 + 2 = 4"), 8),
        (message_item("The capital of France is Paris."), 8),
        (message_item("Done. I changed `a.py` and ran the tests: all pass."), 17),
        (message_item("今天天气很好，我们和朋友一起去公园散步。"), 15),
        ({"type": "message", "content": [{"type": "refusal", "refusal": "Oslo, then."}]}, 6),
        ({"type": "reasoning", "summary": [{"text": "Yes, that works."}], "content": None}, 6),
        ({"type": "function_call", "name": "read", "arguments": '{"path":"flour.txt"}'}, 9),
        ({"type": "local_shell_call", "action": {"command": ["ls"], "env": {}}}, 12),
    ],
)  # fmt: skip
def test_estimate_of_a_short_reply_is_near_a_tokenizers_count(
    reply_item: Json, tokens: int
) -> None:
    bookkeeping = {"id": "msg_" + "0" * 32, "encrypted_content": "z" * 4_000, "status": "completed"}
    estimate = estimate_usage(SentRequest(b'{"input": []}'), [{**reply_item, **bookkeeping}])[
        "output_tokens"
    ]
    assert tokens * 0.5 <= estimate <= tokens * 1.5


def test_reported_usage_is_not_estimated() -> None:
    usage = reply_events(chunk("stop", content="Hi.") | {"usage": BASE})[-1]["response"]["usage"]
    assert usage["total_tokens"] == 14 and "estimated" not in usage


def request_body(*messages: Any) -> bytes:
    return json.dumps({"messages": list(messages)}).encode()


WORDS = request_body({"content": "x" * 60_000})
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "x" * 60_000}}


@pytest.mark.parametrize(
    ("body", "read", "cached", "truncation"),
    [
        (WORDS, 4_096, 0, (4_096, 15_003)),
        (WORDS, 100, 14_000, None),  # some providers count cached tokens separately
        (WORDS, 5_002, 0, None),  # a third: an estimate is not more exact than that
        (request_body({"content": "x" * 30_000}), 10, 0, None),
        (request_body({"content": [IMAGE_PART]}), 1_000, 0, None),
    ],
    ids=["truncated", "cached", "a third", "small", "an image"],
)
def test_truncation_is_detected_by_the_tokens_that_were_read(
    body: bytes, read: int, cached: int, truncation: Any
) -> None:
    usage = {"prompt_tokens": read, "prompt_tokens_details": {"cached_tokens": cached}}
    assert detect_truncation(SentRequest(body), usage_to_responses(usage)) == truncation


def test_silently_truncated_input_is_reported() -> None:
    """Ollama reads 4,096 tokens of any request: ralphgrewe/TradingAgents#168."""
    usage = {"prompt_tokens": 4096, "completion_tokens": 1}
    exchange = responses_exchange(input="word " * 12_000)
    exchange.feed(stream(chunk("stop", content="Hi."), {"choices": [], "usage": usage}))
    assert exchange.dropped == ["input (it read 4096 of about 15007 tokens)"]


def test_estimate_counts_instructions_but_not_the_bytes_of_images() -> None:
    url = "data:image/png;base64," + "A" * 1_100_000
    output = {"type": "function_call_output", "output": [{"type": "input_image", "image_url": url}]}
    body = json.dumps({"instructions": "word " * 400, "input": [output]}).encode()
    assert 1_900 < estimate_usage(SentRequest(body), [])["input_tokens"] < 2_200


ODD_COUNTS = [
    "1e400", "Infinity", "-1", "1.5", "true", '"10"', "[]", "{}", "9" * 5_001, "1e300",
    "10000000000",
]  # fmt: skip


@pytest.mark.parametrize("count", ODD_COUNTS)
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens"])
def test_count_that_is_none_is_dropped_and_noted(name: str, count: str) -> None:
    counts = {name: "COUNT", "prompt_tokens_details": {"cached_tokens": "COUNT"}}
    wire = stream({**chunk("stop", content="Hi."), "usage": {**BASE, **counts}})
    exchange = responses_exchange()
    events = lawful_events(exchange.feed(wire.replace(b'"COUNT"', count.encode())))
    assert events[-1]["type"] == "response.completed"
    usage = events[-1]["response"]["usage"]
    assert usage["total_tokens"] == 14 and usage["input_tokens_details"]["cached_tokens"] == 0
    assert (usage["input_tokens"], usage["output_tokens"]) == (10, 4)
    cached = "usage.prompt_tokens_details.cached_tokens"
    assert exchange.dropped == sorted([f"usage.{name}", cached])


def ended_event(usage: Json) -> Json:
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}
    response = {"status": "completed", "usage": usage, "output": [message]}
    return {"type": "response.completed", "response": response}


@pytest.mark.parametrize("count", ODD_COUNTS)
def test_count_of_a_responses_upstream_is_checked_by_the_same_rule(count: str) -> None:
    usage = {"input_tokens": "COUNT", "output_tokens": 4, "total_tokens": 14}
    exchange = responses_exchange(to=PROVIDERS["responses"])
    wire = events_wire(ended_event(usage)).replace(b'"COUNT"', count.encode())
    usage = lawful_events(exchange.feed(wire))[-1]["response"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (10, 4)
    assert exchange.dropped == ["usage.input_tokens"]


@pytest.mark.parametrize("usage", [5, "x", []])
def test_usage_that_is_no_object_is_noted(usage: Any) -> None:
    exchange = responses_exchange()
    exchange.feed(stream({**chunk("stop", content="Hi."), "usage": usage}))
    assert exchange.response["usage"]["estimated"] and exchange.dropped == ["usage"]
