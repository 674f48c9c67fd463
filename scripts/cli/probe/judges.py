"""Pure judges: what a reply that the endpoint served shows about one probe."""

import json
import re
from collections.abc import Callable
from typing import Any

from .chat_reply import ChatReply
from .findings import Verdict

type Judgement = tuple[Verdict, str]
type Judge = Callable[[ChatReply], Judgement]

# "context length is 131072", "of only 32768", ": 32767", "(4096 tokens)"; "128000 maximum context"
CONTEXT_WORDS = re.compile(
    r"(?:context (?:length|window|size)|maximum model length|max_model_len)"
    r"(?: is| of|:|=| \(|, which is| \(which is) ?(?:only )?(?:n_ctx=)?(\d[\d,_]{2,})"
    r"|(\d[\d,_]{2,})[- ](?:token )?(?:maximum )?context",
    re.I,
)


def judge_acceptance(reply: ChatReply) -> Judgement:
    return "accepted", "200"


def judge_text(reply: ChatReply) -> Judgement:
    if reply.text.strip():
        return "seen", quote_text(reply.text)
    return "not seen", unseen_reason(reply)


def judge_call(reply: ChatReply) -> Judgement:
    """Whether the model called a tool."""
    if reply.calls:
        return "seen", reply.words
    return "not seen", unseen_reason(reply)


def judge_two_calls(reply: ChatReply) -> Judgement:
    if len(reply.calls) > 1:
        return "seen", f"{len(reply.calls)} calls in one reply"
    count = "one call" if reply.calls else "no call"
    return "not seen", f"{count}; {unseen_reason(reply)}" if not reply.calls else count


def judge_no_call(reply: ChatReply) -> Judgement:
    """For `tool_choice: none`, beside a prompt that asks for a call."""
    if reply.calls:
        return "ignored", f"it called {reply.words}"
    return "seen", f"no call: {quote_text(reply.text)}"


def judge_forced_call(reply: ChatReply) -> Judgement:
    """For a tool choice that forces a call, beside a prompt that asks for none."""
    if reply.calls:
        return "seen", reply.words
    if reply.finish == "length":
        return "not seen", unseen_reason(reply)
    return "ignored", f"no call: {quote_text(reply.text)}"


def judge_word(word: str) -> Judge:
    """Whether the reply has a word that only the probe's own message names."""

    def judge(reply: ChatReply) -> Judgement:
        if word in reply.text.lower():
            return "seen", quote_text(reply.text)
        return "not seen", unseen_reason(reply)

    return judge


def judge_stop(reply: ChatReply) -> Judgement:
    """For a count from 1 to 9 that stops before the 5."""
    if "6" in reply.text:
        return "ignored", f"it went on: {quote_text(reply.text)}"
    if "4" in reply.text:
        return "seen", quote_text(reply.text)
    return "not seen", unseen_reason(reply)


def judge_json(reply: ChatReply) -> Judgement:
    value = parse_json(reply.text)
    if isinstance(value, dict):
        return "seen", quote_text(reply.text)
    return "not seen", unseen_reason(reply)


def judge_schema(reply: ChatReply) -> Judgement:
    """For a schema with one field whose only value the prompt does not name."""
    match parse_json(reply.text):
        case {"code": "k7"}:
            return "seen", quote_text(reply.text)
        case None:
            return "not seen", unseen_reason(reply)
    return "ignored", f"not of the schema: {quote_text(reply.text)}"


def judge_colours(reply: ChatReply) -> Judgement:
    """For a picture that is blue above and yellow below."""
    text = reply.text.lower()
    if "blue" in text and "yellow" in text:
        return "seen", quote_text(reply.text)
    return "not seen", unseen_reason(reply)


def judge_logprobs(reply: ChatReply) -> Judgement:
    choices = (choice for chunk in reply.chunks for choice in chunk.get("choices") or [])
    if any(choice.get("logprobs") for choice in choices):
        return "seen", "log probabilities in the stream"
    return "ignored", "200, without log probabilities"


def judge_unknown_field(reply: ChatReply) -> Judgement:
    return "ignored", "200: fields that it does not know pass unnoticed"


def judge_unknown_model(reply: ChatReply) -> Judgement:
    return "ignored", "200: it serves any model name"


def judge_wrong_key(reply: ChatReply) -> Judgement:
    return "ignored", "200: it serves any key"


def judge_long_request(reply: ChatReply) -> Judgement:
    tokens = reply.usage.get("prompt_tokens")
    return "accepted", f"200: it read {tokens:,} tokens" if isinstance(tokens, int) else "200"


def unseen_reason(reply: ChatReply) -> str:
    """Why what was wanted did not show."""
    if reply.finish == "length":
        return "the reply ended at the probe's limit of tokens"
    return f"it said {quote_text(reply.text)}" if reply.text.strip() else reply.words


def quote_text(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line}"' if len(line) <= 60 else f'"{line[:59]}…"'


def parse_json(text: str) -> Any:
    """The JSON value of a text; None if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def find_context_window(words: str) -> int | None:
    """The tokens of the context window that an error's words name, if they name it."""
    match = CONTEXT_WORDS.search(words)
    digits = re.sub(r"\D", "", match[1] or match[2]) if match else ""
    return int(digits) if digits else None
