"""How a reply ended and what it cost: finish reasons ⇄ statuses, usage both ways."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from translate.wire import codec


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
    "model_context_window_exceeded": FAILED,  # GLM: no room was left for an answer
    "abort": FAILED,  # SGLang, vLLM
}


def outcome(finish_reason: str) -> Outcome:
    return FINISH.get(finish_reason.lower(), COMPLETED)


LENGTHS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def finish_to_chat(incomplete: dict[str, Any] | None, otherwise: str) -> str:
    """The finish_reason for a response's `incomplete_details`."""
    return LENGTHS[incomplete["reason"]] if incomplete else otherwise


def usage_to_chat(usage: dict[str, Any]) -> dict[str, Any]:
    """Usage of a reply of ours → Chat usage, of which `usage_to_responses` makes the same again."""
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
    """Chat usage → Responses usage; Codex's own compaction depends on these numbers."""
    prompt = _details(usage, "prompt_tokens_details")
    completion = _details(usage, "completion_tokens_details")
    spent = _count(usage.get("prompt_tokens"))
    written = _count(usage.get("completion_tokens"))
    total = _count(usage.get("total_tokens")) or spent + written
    cached = (
        prompt.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")  # DeepSeek
        or usage.get("cached_tokens")  # Kimi, Together
        or usage.get("num_cached_tokens")  # Mistral, at times (vercel/ai#14889)
    )
    # xAI (vercel/ai#9774) and Gemini (any-llm#1290) count thinking in the total alone
    unseen = max(0, total - spent - written)
    thought = completion.get("reasoning_tokens") or usage.get("reasoning_tokens") or unseen
    return {
        "input_tokens": spent,
        "input_tokens_details": {
            "cached_tokens": _count(cached),
            "cache_write_tokens": _count(prompt.get("cache_write_tokens")),
        },
        "output_tokens": written + unseen,
        "output_tokens_details": {"reasoning_tokens": _count(thought)},
        "total_tokens": total,
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
    """Where providers put it: the chunk, its first choice (Kimi), or `x_groq` (Groq).

    No request costs nothing: a count of zeros is none.
    """
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    timed = _timed(chunk.get("timings"))
    for place in (chunk, first, chunk.get("x_groq")):
        usage = place.get("usage") if isinstance(place, dict) else None
        if isinstance(usage, dict) and _told(usage):
            return timed | usage
    return timed if _told(timed) else None


def _told(usage: dict[str, Any]) -> bool:
    return bool(_count(usage.get("prompt_tokens")) or _count(usage.get("total_tokens")))


def _timed(timings: object) -> dict[str, Any]:
    """llama.cpp's own count, which comes unasked and knows its cache (llama.cpp#15827)."""
    if not isinstance(timings, dict):
        return {}
    cached = _count(timings.get("cache_n"))
    return {
        "prompt_tokens": cached + _count(timings.get("prompt_n")),
        "completion_tokens": timings.get("predicted_n"),
        "prompt_tokens_details": {"cached_tokens": cached},
    }


# A token is taken to be four bytes of JSON, as in English prose and in code, and a picture to be
# so many tokens, whatever its size (https://platform.openai.com/docs/guides/images-vision).
BYTES = 4
PICTURE = 1_500
MEDIA = ("image_url", "input_image", "file", "input_file", "input_audio")


def tokens(message: dict[str, Any]) -> int:
    """An estimate of what a message, an item or a tool costs."""
    lists = (part for part in (message.get("content"), message.get("output")))
    parts = [part for found in lists if isinstance(found, list) for part in found]
    media = [one for one in parts if isinstance(one, dict) and one.get("type") in MEDIA]
    size = len(codec.dumps(message)) - sum(len(codec.dumps(one)) for one in media)
    return size // BYTES + len(media) * PICTURE


def estimate(sent: bytes, came: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Usage for a reply that told none, so that Codex still sees its session grow; marked as such.

    Of the body that was `sent`, in either dialect, and the items that came.
    """
    body = codec.loads(sent)
    asked = [*body.get("messages", ()), *body.get("input", ()), *body.get("tools", ())]
    if told := body.get("instructions"):
        asked.append({"content": told})
    usage = {
        "prompt_tokens": sum(map(tokens, asked)),
        "completion_tokens": sum(tokens({**item, "encrypted_content": None}) for item in came),
    }
    return {**usage_to_responses(usage), "estimated": True}


# Of less than this an estimate says too little.
LEAST = 8_000
SHARE = 3


def shortened(sent: bytes, usage: dict[str, Any]) -> tuple[int, int] | None:
    """(tokens that the upstream counted, an estimate of what was sent) where it is far less.

    Ollama cuts off what exceeds its context, and says so to nobody (ollama/ollama#17889).
    """
    read = max(usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"])
    if max(LEAST, read * SHARE) >= len(sent) // BYTES:
        return None
    whole: int = estimate(sent, ())["input_tokens"]
    return (read, whole) if whole > max(LEAST, read * SHARE) else None


def _details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and value > 0 else 0
