"""How a reply ended and what it cost: finish reasons, statuses and usage, both ways."""

from collections.abc import Iterable
from math import inf
from typing import Any, NamedTuple

from translate.wire import codec


class Outcome(NamedTuple):
    response_status: str  # completed, incomplete, failed
    incomplete_reason: str | None = None  # incomplete_details.reason


COMPLETED = Outcome("completed")
TOO_LONG = Outcome("incomplete", "max_output_tokens")
FILTERED = Outcome("incomplete", "content_filter")
FAILED = Outcome("failed")

# Any other word counts as completed: new words for `stop` are common.
OUTCOME_BY_FINISH = {
    "length": TOO_LONG,
    "max_tokens": TOO_LONG,
    "model_length": TOO_LONG,
    "content_filter": FILTERED,
    "safety": FILTERED,
    "recitation": FILTERED,
    "sensitive": FILTERED,  # https://docs.bigmodel.cn (GLM)
    "error": FAILED,  # OpenRouter: an error of the provider behind it
    "network_error": FAILED,  # GLM
    "insufficient_system_resource": FAILED,  # https://api-docs.deepseek.com
    "model_context_window_exceeded": FAILED,  # GLM: no room was left for an answer
    "abort": FAILED,  # SGLang, vLLM
}


def finish_to_outcome(finish_reason: str) -> Outcome:
    """The outcome for Chat's finish_reason."""
    return OUTCOME_BY_FINISH.get(finish_reason.lower(), COMPLETED)


FINISH_BY_INCOMPLETE_REASON = {"max_output_tokens": "length", "content_filter": "content_filter"}


def finish_to_chat(incomplete: dict[str, Any] | None, default: str) -> str:
    """Chat's finish_reason for a response's `incomplete_details`; `default` if it has none."""
    return FINISH_BY_INCOMPLETE_REASON[incomplete["reason"]] if incomplete else default


def usage_to_chat(usage: dict[str, Any]) -> dict[str, Any]:
    """Responses usage → Chat usage; `usage_to_responses` is the inverse."""
    estimated = {"estimated": True} if usage.get("estimated") else {}
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": usage["input_tokens_details"],
        "completion_tokens_details": usage["output_tokens_details"],
        **estimated,
    }


def usage_to_responses(usage: dict[str, Any]) -> dict[str, Any]:
    """Chat usage → Responses usage, in tokens. Codex compacts by these numbers."""
    prompt_details = _usage_details(usage, "prompt_tokens_details")
    completion_details = _usage_details(usage, "completion_tokens_details")
    prompt = _token_count(usage.get("prompt_tokens"))
    completion = _token_count(usage.get("completion_tokens"))
    total = _token_count(usage.get("total_tokens")) or prompt + completion
    cached = (
        prompt_details.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")  # DeepSeek
        or usage.get("cached_tokens")  # Kimi, Together
        or usage.get("num_cached_tokens")  # Mistral, at times (vercel/ai#14889)
    )
    # xAI (vercel/ai#9774) and Gemini (any-llm#1290) count thinking only in the total.
    uncounted = max(0, total - prompt - completion)
    reasoning = (
        completion_details.get("reasoning_tokens") or usage.get("reasoning_tokens") or uncounted
    )
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": _token_count(cached),
            "cache_write_tokens": _token_count(prompt_details.get("cache_write_tokens")),
        },
        "output_tokens": completion + uncounted,
        "output_tokens_details": {"reasoning_tokens": _token_count(reasoning)},
        "total_tokens": total,
    }


def complete_responses_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """The usage of a Responses upstream, with every number that clients read.

    Codex takes a reply whose usage has no total for a broken one, and asks again.
    """
    chat_usage = {"total_tokens": usage.get("total_tokens")}
    for chat_name, name in (
        ("prompt_tokens", "input_tokens"),
        ("completion_tokens", "output_tokens"),
    ):
        chat_usage[chat_name] = usage.get(name)
        chat_usage[f"{chat_name}_details"] = usage.get(f"{name}_details")
    return usage_to_responses(chat_usage)


def find_chat_usage(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """The usage in a chunk, in its first choice (Kimi), or in its `x_groq` (Groq).

    Zeros count as no usage, since no request is free.
    """
    choices = chunk.get("choices")
    first_choice = choices[0] if isinstance(choices, list) and choices else None
    from_timings = _usage_from_timings(chunk.get("timings"))
    for container in (chunk, first_choice, chunk.get("x_groq")):
        usage = container.get("usage") if isinstance(container, dict) else None
        if isinstance(usage, dict) and _has_counts(usage):
            return from_timings | usage
    return from_timings if _has_counts(from_timings) else None


def _has_counts(usage: dict[str, Any]) -> bool:
    return bool(_token_count(usage.get("prompt_tokens")) or _token_count(usage.get("total_tokens")))


def _usage_from_timings(timings: object) -> dict[str, Any]:
    """The usage in llama.cpp's `timings`, with cached tokens (ggml-org/llama.cpp#15827)."""
    if not isinstance(timings, dict):
        return {}
    cached = _token_count(timings.get("cache_n"))
    return {
        "prompt_tokens": cached + _token_count(timings.get("prompt_n")),
        "completion_tokens": timings.get("predicted_n"),
        "prompt_tokens_details": {"cached_tokens": cached},
    }


# Estimates count a token for four bytes of JSON, as in English prose and in code, and the same
# number for every picture (https://platform.openai.com/docs/guides/images-vision).
BYTES_PER_TOKEN = 4
TOKENS_PER_PICTURE = 1_500
MEDIA_TYPES = ("image_url", "input_image", "file", "input_file", "input_audio")


def estimate_tokens(message: dict[str, Any]) -> int:
    """The estimated tokens of a message, an item or a tool."""
    contents = (message.get("content"), message.get("output"))
    parts = [part for content in contents if isinstance(content, list) for part in content]
    media = [part for part in parts if isinstance(part, dict) and part.get("type") in MEDIA_TYPES]
    size = len(codec.dump_json(message)) - sum(len(codec.dump_json(part)) for part in media)
    return size // BYTES_PER_TOKEN + len(media) * TOKENS_PER_PICTURE


def estimate_usage(sent: bytes, items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The estimated Responses usage, with a mark, so that Codex still sees its session grow.

    `sent` is the request body, in either dialect; `items` are those of the reply.
    """
    body = codec.load_json(sent)
    inputs = [*body.get("messages", ()), *body.get("input", ()), *body.get("tools", ())]
    if instructions := body.get("instructions"):
        inputs.append({"content": instructions})
    usage = {
        "prompt_tokens": sum(map(estimate_tokens, inputs)),
        "completion_tokens": sum(
            estimate_tokens({**item, "encrypted_content": None}) for item in items
        ),
    }
    return {**usage_to_responses(usage), "estimated": True}


# Below this an estimate is too rough to detect truncation.
LEAST_TRUNCATED_TOKENS = 8_000
TRUNCATION_RATIO = 3


def detect_truncation(sent: bytes, usage: dict[str, Any]) -> tuple[int, int] | None:
    """(tokens that the upstream read, estimated tokens that were sent), if it read far fewer.

    Ollama silently cuts off what exceeds its context (ollama/ollama#17889).
    """
    read = max(usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"])
    limit = max(LEAST_TRUNCATED_TOKENS, read * TRUNCATION_RATIO)
    if len(sent) // BYTES_PER_TOKEN <= limit:  # cheaper than an estimate
        return None
    estimate: int = estimate_usage(sent, ())["input_tokens"]
    return (read, estimate) if estimate > limit else None


def _usage_details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


def _token_count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < inf else 0
