"""How a reply ended and what it cost: finish reasons, statuses and usage, both ways."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from translate.wire import codec
from translate.wire.json_steps import dump_json_in_steps


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
    if not _is_count(usage.get("prompt_tokens")):
        prompt = max(0, total - completion)
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


def complete_responses_usage(usage: dict[str, Any]) -> dict[str, Any] | None:
    """The usage of a Responses upstream, with every number that clients read; None for zeros.

    Codex takes a reply whose usage has no total for a broken one, and asks again.
    """
    chat_usage = {"total_tokens": usage.get("total_tokens")}
    for chat_name, name in (
        ("prompt_tokens", "input_tokens"),
        ("completion_tokens", "output_tokens"),
    ):
        chat_usage[chat_name] = usage.get(name)
        chat_usage[f"{chat_name}_details"] = usage.get(f"{name}_details")
    return usage_to_responses(chat_usage) if _has_counts(chat_usage) else None


def find_chat_usage(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """The usage in a chunk, in its first choice (Kimi), or in its `x_groq` (Groq).

    Zeros count as no usage, since no request is free.
    """
    from_timings = _usage_from_timings(chunk.get("timings"))
    for usage in _chat_usages(chunk):
        if isinstance(usage, dict) and _has_counts(usage):
            return from_timings | usage
    return from_timings if _has_counts(from_timings) else None


def wrong_chat_counts(chunk: dict[str, Any]) -> list[str]:
    """The paths of the numbers in a chunk's usage that are no counts."""
    return [path for usage in _chat_usages(chunk) for path in wrong_counts(usage)]


def _chat_usages(chunk: dict[str, Any]) -> list[Any]:
    choices = chunk.get("choices")
    first_choice = choices[0] if isinstance(choices, list) and choices else None
    containers = (chunk, first_choice, chunk.get("x_groq"))
    return [c["usage"] for c in containers if isinstance(c, dict) and c.get("usage") is not None]


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
# Measured with o200k: 3.7 bytes in prose, 4 in code, 3 in arguments; a short answer is a few tokens
# longer, such as the one that ends it.
TOKENS_PER_ITEM = 2
WRITTEN_FIELDS = ("name", "arguments", "input", "action")  # of a call
MEDIA_TYPES = ("image_url", "input_image", "file", "input_file", "input_audio")


@dataclass(frozen=True)
class SentRequest:
    """The body of a request, in either dialect, with its size in tokens for estimates."""

    body: bytes
    counted_tokens: int | None = None  # None: `prompt_tokens` counts when it is asked

    @classmethod
    def count_large(cls, body: bytes, fields: dict[str, Any]) -> "SentRequest":
        """Count at once, without the JSON of each message. `fields`: those of the body."""
        media = [part for message in _list_inputs(fields) for part in _media_parts(message)]
        size = len(body) - sum(len(dump_json_in_steps(part)) for part in media)
        return cls(body, size // BYTES_PER_TOKEN + len(media) * TOKENS_PER_PICTURE)

    @property
    def prompt_tokens(self) -> int:
        """The estimated tokens."""
        if self.counted_tokens is not None:
            return self.counted_tokens
        return sum(map(estimate_tokens, _list_inputs(codec.load_json(self.body))))


def _list_inputs(body: dict[str, Any]) -> list[dict[str, Any]]:
    """All messages, items and tools of a request body."""
    inputs = [*body.get("messages", ()), *body.get("input", ()), *body.get("tools", ())]
    if instructions := body.get("instructions"):
        inputs.append({"content": instructions})
    return inputs


def _media_parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    contents = (message.get("content"), message.get("output"))
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part for part in parts if isinstance(part, dict) and part.get("type") in MEDIA_TYPES]


def estimate_tokens(message: dict[str, Any]) -> int:
    """The estimated tokens of a message, an item or a tool."""
    media = _media_parts(message)
    size = len(codec.dump_json(message)) - sum(len(codec.dump_json(part)) for part in media)
    return size // BYTES_PER_TOKEN + len(media) * TOKENS_PER_PICTURE


def estimate_item_tokens(item: dict[str, Any]) -> int:
    """The estimated tokens of an item of a reply: of what the model wrote, without its fields."""
    parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
    texts = [part.get("text") or part.get("refusal") or "" for part in parts]
    values = [item[name] for name in WRITTEN_FIELDS if item.get(name)]
    texts += [value if isinstance(value, str) else codec.json_text(value) for value in values]
    size = sum(len(str(text).encode("utf-8", "replace")) for text in texts)
    return TOKENS_PER_ITEM + size // BYTES_PER_TOKEN


def estimate_usage(sent: SentRequest, items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The estimated Responses usage, with a mark, so that Codex still sees its session grow.

    `items` are those of the reply.
    """
    usage = {
        "prompt_tokens": sent.prompt_tokens,
        "completion_tokens": sum(map(estimate_item_tokens, items)),
    }
    return {**usage_to_responses(usage), "estimated": True}


# Below this an estimate is too rough to detect truncation.
LEAST_TRUNCATED_TOKENS = 8_000
TRUNCATION_RATIO = 3


def detect_truncation(sent: SentRequest, usage: dict[str, Any]) -> tuple[int, int] | None:
    """(tokens that the upstream read, estimated tokens that were sent), if it read far fewer.

    Ollama silently cuts off what exceeds its context (ollama/ollama#17889).
    """
    read = max(usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"])
    limit = max(LEAST_TRUNCATED_TOKENS, read * TRUNCATION_RATIO)
    if len(sent.body) // BYTES_PER_TOKEN <= limit:  # cheaper than an estimate
        return None
    estimate = sent.prompt_tokens
    return (read, estimate) if estimate > limit else None


def _usage_details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


# Usage is advice: what is no count is left out, and never harms a turn.

MOST_TOKENS = 10**9  # of one reply: above any model's context
COUNT_FIELDS = frozenset(
    {
        "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens",
        "cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens", "cache_write_tokens",
        "reasoning_tokens",
    }
)  # fmt: skip


def wrong_counts(usage: object, path: str = "usage") -> list[str]:
    """The paths of the numbers in a usage that are no counts, in either dialect."""
    if not isinstance(usage, Mapping):
        return [] if usage is None else [path]
    names = [name for name in COUNT_FIELDS & usage.keys() if usage[name] is not None]
    wrong = [f"{path}.{name}" for name in sorted(names) if not _is_count(usage[name])]
    for name in DETAILS_FIELDS & usage.keys():
        wrong += wrong_counts(usage[name], f"{path}.{name}")
    return sorted(wrong)


DETAILS_FIELDS = frozenset(
    f"{name}_tokens_details" for name in ("prompt", "completion", "input", "output")
)


def _is_count(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return bool(is_number and 0 <= value <= MOST_TOKENS and value == int(value))


def _token_count(value: Any) -> int:
    return int(value) if _is_count(value) else 0
