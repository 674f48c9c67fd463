"""Log probabilities: how a client asks for them, and their form, Chat → Responses.

The form of one token is the same in both.

Source: https://platform.openai.com/docs/api-reference/chat/object (choices[].logprobs).
"""

from typing import Any

Json = dict[str, Any]

ASKED = "message.output_text.logprobs"  # the member of `include`


def to_chat(name: str, value: Any) -> Json:
    """Chat wants the switch beside the number of alternatives."""
    return {"logprobs": True} | ({} if name == ASKED else {name: value})


def to_responses(choice: Json) -> list[Json]:
    """Those of a choice's text; some servers send null, or the form of the old completions."""
    told = choice.get("logprobs")
    return normal(told.get("content")) if isinstance(told, dict) else []


def normal(found: Any) -> list[Json]:
    """Those that are whole, in the form that both dialects have."""
    return [{**_one(one), "top_logprobs": _each(one.get("top_logprobs"))} for one in _valid(found)]


def _each(found: Any) -> list[Json]:
    return [_one(one) for one in _valid(found)]


def _valid(found: Any) -> list[Json]:
    return [
        one
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, dict)
        and isinstance(one.get("token"), str)
        and isinstance(one.get("logprob"), int | float)
    ]


def _one(found: Json) -> Json:
    token = found["token"]
    raw = found.get("bytes")
    known = raw if isinstance(raw, list) else list(token.encode("utf-8", "replace"))
    return {"token": token, "bytes": known, "logprob": found["logprob"]}
