"""How a reply ended and what it cost: finish reasons ⇄ statuses, usage both ways."""

from typing import Any, NamedTuple


class Outcome(NamedTuple):
    status: str  # completed, incomplete, failed
    reason: str | None = None  # incomplete_details.reason


COMPLETED = Outcome("completed")
TOO_LONG = Outcome("incomplete", "max_output_tokens")
FILTERED = Outcome("incomplete", "content_filter")
FAILED = Outcome("failed")

# Anything else that a provider calls an end is one: new words for `stop` are common.
FINISH = {
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
    "abort": FAILED,  # SGLang, vLLM
}


def outcome(finish_reason: str) -> Outcome:
    return FINISH.get(finish_reason.lower(), COMPLETED)


def usage_to_responses(usage: dict[str, Any]) -> dict[str, Any]:
    """Chat usage → Responses usage; Codex's own compaction depends on these numbers."""
    prompt = _details(usage, "prompt_tokens_details")
    completion = _details(usage, "completion_tokens_details")
    spent = _count(usage.get("prompt_tokens"))
    written = _count(usage.get("completion_tokens"))
    cached = (
        prompt.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")  # DeepSeek
        or usage.get("cached_tokens")  # Kimi
    )
    thought = completion.get("reasoning_tokens") or usage.get("reasoning_tokens")
    return {
        "input_tokens": spent,
        "input_tokens_details": {
            "cached_tokens": _count(cached),
            "cache_write_tokens": _count(prompt.get("cache_write_tokens")),
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": _count(thought)},
        "total_tokens": _count(usage.get("total_tokens")) or spent + written,
    }


def usage_of_responses(usage: dict[str, Any]) -> dict[str, Any]:
    """A Responses upstream's usage with every number that clients read.

    Codex takes a usage without its total for a broken reply, and asks again.
    """
    named = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    spent = {chat: usage.get(own) for chat, own in named.items()}
    details = {f"{chat}_details": usage.get(f"{own}_details") for chat, own in named.items()}
    return usage_to_responses({**spent, **details, "total_tokens": usage.get("total_tokens")})


def usage_in(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """Where providers put it: the chunk, its first choice (Kimi), or `x_groq` (Groq)."""
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for place in (chunk, first, chunk.get("x_groq")):
        if isinstance(place, dict) and isinstance(usage := place.get("usage"), dict) and usage:
            return usage
    return None


def _details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and value > 0 else 0
