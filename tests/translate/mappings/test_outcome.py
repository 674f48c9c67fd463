"""Finish reasons and usage in the words of many providers."""

import json
from typing import Any

import pytest

from tests.translate.support import PROVIDERS, Json, carry, chunk, replied, stream
from translate.mappings.outcome import (
    COMPLETED,
    FAILED,
    FILTERED,
    TOO_LONG,
    Outcome,
    estimate,
    outcome,
    shortened,
    usage_in,
    usage_to_responses,
)


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("stop", COMPLETED), ("tool_calls", COMPLETED), ("function_call", COMPLETED),
        ("eos", COMPLETED), ("STOP", COMPLETED), ("length", TOO_LONG), ("MAX_TOKENS", TOO_LONG),
        ("model_length", TOO_LONG), ("content_filter", FILTERED), ("SAFETY", FILTERED),
        ("sensitive", FILTERED),
        ("model_context_window_exceeded", FAILED),
        ("error", FAILED), ("network_error", FAILED), ("abort", FAILED),
    ],
)  # fmt: skip
def test_finish_reason_decides_the_outcome(reason: str, end: Outcome) -> None:
    assert outcome(reason) is end
    last = replied(chunk(content="Hi."), chunk(reason))[-1]
    assert last["type"] == f"response.{end.status}"
    details = last["response"]["incomplete_details"]
    assert details == ({"reason": end.reason} if end.reason else None)


@pytest.mark.parametrize("finish", [None, ""])
def test_finish_reason_that_says_nothing_is_none(finish: str | None) -> None:
    assert replied(chunk(finish, content="Hi."), done=False)[-1]["type"] == "response.failed"


def counted(usage: Json) -> tuple[int, int, int, int, int]:
    made = usage_to_responses(usage)
    return (
        made["input_tokens"],
        made["input_tokens_details"]["cached_tokens"],
        made["output_tokens"],
        made["output_tokens_details"]["reasoning_tokens"],
        made["total_tokens"],
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
        ({"prompt_tokens": 10}, (10, 0, 0, 0, 10)),
        ({"prompt_tokens": 10.0, "completion_tokens": -1}, (10, 0, 0, 0, 10)),
        ({"prompt_tokens": "10", "completion_tokens": True}, (0, 0, 1, 0, 1)),
    ],
)
def test_usage_is_read_where_providers_put_it(usage: Json, counts: tuple[int, ...]) -> None:
    assert counted(usage) == counts


def test_cache_writes_are_kept() -> None:
    made = usage_to_responses(BASE | {"prompt_tokens_details": {"cache_write_tokens": 5}})
    assert made["input_tokens_details"]["cache_write_tokens"] == 5


@pytest.mark.parametrize(
    "place",
    [
        {"usage": BASE}, {"choices": [{"usage": BASE}]}, {"x_groq": {"usage": BASE}},
        {"usage": None, "choices": [{"usage": BASE}]},
    ],
)  # fmt: skip
def test_usage_is_found(place: Json) -> None:
    assert usage_in(place) == BASE


# Usage as each provider sends it, and where that was seen: (in, cached, out, thinking, total).
TOLD = {
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
    # the same (https://learn.microsoft.com/azure/ai-foundry/openai/how-to/prompt-caching)
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
    # AstrBotDevs/AstrBot#6614: in the choice
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
    # vercel/ai#14889: other versions of it
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
    # vercel/ai#9774: thinking in the total alone
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
    # mozilla-ai/any-llm#1185: a chunk of its own; vllm-project/vllm#37955
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
    # mozilla-ai/any-llm#1290: thinking in the total alone, and no word of it
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


@pytest.mark.parametrize(("told", "counts"), TOLD.values(), ids=TOLD)
def test_each_provider_is_counted(told: Json, counts: tuple[int, ...]) -> None:
    usage = usage_in(told)
    assert usage is not None and counted(usage) == counts


def test_every_provider_has_its_usage() -> None:
    assert {name.partition(",")[0] for name in TOLD} == PROVIDERS.keys() - {
        "chatgpt",  # has no form of Chat
        "demo",
        "generic",
        "responses",
    }


@pytest.mark.parametrize(
    "place", [{}, {"usage": {}}, {"usage": ZEROS}, {"timings": {"prompt_n": 0}}, {"timings": 5}]
)
def test_count_of_zeros_is_none(place: Json) -> None:
    assert usage_in(place) is None


@pytest.mark.parametrize(
    "place", [{}, {"usage": {}}, {"usage": 5}, {"choices": []}, {"choices": [5]}, {"x_groq": 5}]
)
def test_no_usage_is_none(place: Any) -> None:
    assert usage_in(place) is None


@pytest.mark.parametrize("told", [{}, {"usage": None}, {"usage": ZEROS}, {"timings": {}}])
def test_reply_without_usage_has_an_estimate_that_says_so(told: Json) -> None:
    asked, said = "Why? " * 400, "So. " * 200
    usage = replied(chunk(content=said), chunk("stop") | told, by=carry(input=asked))[-1][
        "response"
    ]["usage"]
    assert usage["estimated"] is True
    assert 500 <= usage["input_tokens"] < 520 and 200 <= usage["output_tokens"] < 250
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_estimate_counts_tools_and_no_sealed_thinking() -> None:
    body = {"messages": [], "tools": [{"x": "y" * 400}]}
    usage = estimate(json.dumps(body).encode(), [{"encrypted_content": "z" * 4000}])
    assert usage["input_tokens"] > 100 > usage["output_tokens"]


def test_usage_that_was_told_is_no_estimate() -> None:
    told = replied(chunk("stop", content="Hi.") | {"usage": BASE})[-1]["response"]["usage"]
    assert told["total_tokens"] == 14 and "estimated" not in told


def body(*messages: Any) -> bytes:
    return json.dumps({"messages": list(messages)}).encode()


WORDS = body({"content": "x" * 60_000})
PICTURED = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "x" * 60_000}}


@pytest.mark.parametrize(
    ("sent", "read", "cached", "found"),
    [
        (WORDS, 4_096, 0, (4_096, 15_003)),
        (WORDS, 100, 14_000, None),  # some count what was in their cache apart
        (WORDS, 5_002, 0, None),  # a third: an estimate is no better than that
        (body({"content": "x" * 30_000}), 10, 0, None),
        (body({"content": [PICTURED]}), 1_000, 0, None),
    ],
    ids=["cut", "cached", "a third", "small", "a picture"],
)
def test_request_of_which_far_less_was_read_than_was_sent(
    sent: bytes, read: int, cached: int, found: Any
) -> None:
    told = {"prompt_tokens": read, "prompt_tokens_details": {"cached_tokens": cached}}
    assert shortened(sent, usage_to_responses(told)) == found


def test_input_that_was_cut_off_in_silence_is_noticed() -> None:
    """Ollama (ralphgrewe/TradingAgents#168): 4,096 tokens of whatever was sent."""
    usage = {"prompt_tokens": 4096, "completion_tokens": 1}
    crossing = carry(input="word " * 12_000)
    crossing.feed(stream(chunk("stop", content="Hi."), {"choices": [], "usage": usage}))
    assert crossing.dropped == ["input (it read 4096 of about 15007 tokens)"]


def test_estimate_counts_instructions_and_no_bytes_of_pictures_in_outputs() -> None:
    url = "data:image/png;base64," + "A" * 400_000
    output = {"type": "function_call_output", "output": [{"type": "input_image", "image_url": url}]}
    sent = json.dumps({"instructions": "word " * 400, "input": [output]}).encode()
    assert 1_900 < estimate(sent, [])["input_tokens"] < 2_200
