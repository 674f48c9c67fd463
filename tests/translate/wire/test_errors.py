"""An upstream's error, in the words of many providers, as what Codex understands."""

import json
from typing import Any

import pytest

from tests.translate.support import ACCOUNT, PROVIDERS, carry, chunk, lawful, replied
from translate import error_body
from translate.wire.errors import failure, said_by


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "m", "type": "t", "param": None, "code": None}}, "m"),
        ({"error": {"message": "m", "code": "c"}}, "m [c]"),
        ({"error": {"message": "m", "code": 400}}, "m"),
        ({"error": "m"}, "m"),
        ({"code": "some-code", "error": "m"}, "m"),  # xAI
        ([{"error": {"code": 400, "message": "m", "status": "INVALID"}}], "m"),  # Gemini
        ({"error": {"message": "m"}, "request_id": "r"}, "m"),  # DashScope
        ({"object": "error", "message": "m", "type": "t", "code": 404}, "m"),  # vLLM
        ({"object": "error", "message": {"detail": [{"msg": "m"}]}, "code": "1"}, "m"),  # Mistral
        ({"message": "m", "type": "t", "param": "p", "code": "wrong_api_format"},
         "m [wrong_api_format]"),  # Cerebras
        ({"detail": "m"}, "m"),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": "m"}]}, "body.messages.0: m"),
        ({"error_msg": "m", "error_code": 17}, "m"),
        ({"error": [{"message": "m"}]}, "m"),
        ({"error": {}}, ""),
        ({"error": {"code": 5}}, ""),
        ("m", "m"),
        ([], "[]"),
        (5, "5"),
    ],
)  # fmt: skip
def test_human_part_is_found(body: Any, said: str) -> None:
    wire = json.dumps(body).encode()
    assert said_by(wire) == (said or wire.decode())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no message"),
        (b" \n", "no message"),
        (b"upstream  connect\nerror", "upstream connect error"),
        (b"<html><style>a{}</style><script>\nx()\n</script><h1>Bad</h1><p>Gateway</p>",
         "Bad Gateway"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"x" * 5000, "x" * 2000),
    ],
)  # fmt: skip
def test_body_that_is_no_json_is_read_as_text(body: bytes, said: str) -> None:
    assert said_by(body) == said


# Each provider's own words, and where they were seen; a bare owner/name#number is on GitHub.
OVERFLOWS = {
    # onyx-dot-app/onyx#6051
    "openai": "Your input exceeds the context window of this model. Please adjust your input.",
    # openai/codex, codex-rs/core: what it understands of a failed response
    "chatgpt": "Your input exceeds the context window of this model. Please adjust your input and "
    "try again.",
    # BerriAI/litellm#15968
    "azure": "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in "
    "509178 tokens. Please reduce the length of the messages.",
    # evalstate/fast-agent#621
    "deepseek": "This model's maximum context length is 131072 tokens. However, you requested "
    "131134 tokens (122942 in the messages, 8192 in the completion).",
    # MoonshotAI/kimi-cli#2011
    "kimi": "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)",
    # QwenLM/qwen-code#2068
    "qwen": "<400> InternalError.Algo.InvalidParameter: Range of input length should be "
    "[1, 983616]",
    # https://docs.mistral.ai/resources/known-limitations
    "mistral": "Prompt contains 240000 tokens, too large for model with 128000 maximum context "
    "length",
    # letta-ai/letta#1963
    "groq": "Please reduce the length of the messages or completion.",
    # cline/cline#3120
    "xai": "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
    # refly-ai/refly#1177
    "openrouter": "This endpoint's maximum context length is 32768 tokens. However, you requested "
    "about 42832 tokens (42832 of text input).",
    # zeroclaw-labs/zeroclaw#4124
    "glm": "Prompt exceeds max length",
    # MiniMax-AI/MiniMax-M2#119
    "minimax": "invalid params, context window exceeds limit (2013)",
    # google-gemini/gemini-cli#6678
    "gemini": "The input token count (1200293) exceeds the maximum number of tokens allowed "
    "(1048576).",
    # dyad-sh/dyad#3498
    "ollama": "prompt too long; exceeded max context length by 540451 tokens",
    # lmstudio-ai/lmstudio-bug-tracker#546
    "lmstudio": "Trying to keep the first 111490 tokens when context the overflows. However, the "
    "model is loaded with context length of only 32768 tokens, which is not enough.",
    # vllm-project/vllm#42474
    "vllm": "This model's maximum context length is 128000 tokens. However, you requested 65535 "
    "output tokens and your prompt contains at least 62466 input tokens.",
    # ggml-org/llama.cpp#15780
    "llamacpp": "the request exceeds the available context size. try increasing the context size",
    # stanford-crfm/helm#2079
    "together": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. "
    "Given: 2019 `inputs` tokens and 30 `max_new_tokens`",
    # fw-ai/cookbook#134
    "fireworks": "The prompt is too long: 40177, model maximum context length: 32767",
    # cline/cline#5140
    "cerebras": "Please reduce the length of the messages or completion. Current length is 42328 "
    "while limit is 40000",
    # earendil-works/pi#102: Anthropic's, behind gateways
    "generic": "prompt is too long: 219898 tokens > 200000 maximum",
}
# What speaks of tokens too, and is no full context.
OTHERS = [
    # Groq: continuedev/continue#10218
    (413, "Request too large for model `llama-3.3-70b-versatile` on tokens per minute (TPM): Limit "
     "12000, Requested 14137, please reduce your message size and try again."),
    # OpenAI: vanna-ai/vanna-flask#11
    (200, "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 342389. "
     "The input or output tokens must be reduced in order to run successfully."),
    # Cerebras' 429, in a stream
    (200, "Tokens per minute limit exceeded - too many tokens processed."),
    # algorithmicsuperintelligence/optillm#4
    (400, "max_tokens is too large: 8192. This model supports at most 4096 completion tokens, "
     "whereas you provided 8192."),
    # vLLM, of the output alone
    (400, "'max_tokens' or 'max_completion_tokens' is too large: 65535. This model's maximum "
     "context length is 32768 tokens"),
    # skapadia3214/groq-moa#8
    (400, "max_tokens for `llama-3.1-8b-instant` must be less than or equal to 8000"),
    # Anthropic, behind gateways
    (400, "image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes"),
    (400, "Invalid 'tools[0].function.name': string too long. Expected a string with maximum "
     "length 64, but got a string with length 70 instead."),
]  # fmt: skip
QUOTAS = {
    # https://platform.openai.com/docs/guides/error-codes
    "openai": (429, '{"error":{"message":"You exceeded your quota","code":"insufficient_quota"}}'),
    # continuedev/continue#9375
    "deepseek": (
        402,
        '{"error":{"message":"Insufficient Balance","code":"invalid_request_error"}}',
    ),
    # continuedev/continue#11443
    "kimi": (
        429,
        '{"error":{"message":"Your account is suspended due to insufficient balance, please'
        ' recharge your account","type":"exceeded_current_quota_error"}}',
    ),
    # https://help.aliyun.com/en/model-studio/error-code
    "qwen": (
        400,
        '{"error":{"message":"Access denied, please make sure your account is in good '
        'standing.","code":"Arrearage"}}',
    ),
    # continuedev/continue#10373, Anantys-oss/koan#2412
    "xai": (
        429,
        '"Your team has either used all available credits or reached its monthly spending '
        'limit. To continue making API requests, please purchase more credits."',
    ),
    "xai, run out": (403, '{"error":"You have run out of credits or need a Grok subscription."}'),
    # can1357/oh-my-pi#9569
    "openrouter": (
        402,
        '{"error":{"message":"This request requires more credits, or fewer '
        'max_tokens","code":402}}',
    ),
    # zai-org/GLM-5#148, agentscope-ai/QwenPaw#202
    "glm": (429, '{"error":{"code":"1113","message":"Insufficient balance or no package."}}'),
    "glm, Chinese": (429, '{"error":{"code":"1113","message":"\u4f59\u989d\u4e0d\u8db3"}}'),
    # MiniMax-AI/MiniMax-M2#62
    "minimax": (500, '{"type":"error","error":{"message":"insufficient balance (1008)"}}'),
    # dyad-sh/dyad#3626
    "gemini": (429, '[{"error":{"code":429,"message":"Your prepayment credits are depleted."}}]'),
    # pollinations/pollinations#12136
    "fireworks": (
        412,
        '{"error":{"message":"Account x is suspended, possibly due to reaching the '
        'monthly spending limit or failure to pay past invoices.","type":"error"}}',
    ),
    # earendil-works/pi#102's provider, behind gateways
    "generic": (400, '{"error":{"message":"Your credit balance is too low"}}'),
}


def test_a_passing_429_that_speaks_of_billing_is_no_empty_account() -> None:
    """Gemini's, word for word as OpenAI's final one but for the code."""
    said = "You exceeded your current quota, please check your plan and billing details."
    error = {"message": said, "code": 429, "status": "RESOURCE_EXHAUSTED"}
    assert failure("X", 429, json.dumps({"error": error}).encode()).code == "rate_limit_exceeded"


@pytest.mark.parametrize("said", OVERFLOWS.values(), ids=OVERFLOWS)
@pytest.mark.parametrize("status", [200, 400, 413, 422, 500])
def test_overflow_is_told_in_codex_words(status: int, said: str) -> None:
    why = failure("X", status, json.dumps({"error": {"message": said}}).encode())
    assert (why.status, why.code) == (400, "context_length_exceeded") and said in why.message


def test_every_provider_is_known_to_overflow() -> None:
    assert OVERFLOWS.keys() == PROVIDERS.keys() - {"demo", "responses"}


@pytest.mark.parametrize(("status", "said"), OTHERS)
def test_another_limit_is_no_overflow(status: int, said: str) -> None:
    why = failure("X", status, json.dumps({"error": {"message": said}}).encode())
    assert why.code in ("invalid_prompt", "server_error")


def test_overflow_of_a_finish_reason_is_told() -> None:
    """GLM's, where the prompt left no room (https://docs.z.ai)."""
    last = replied(chunk("model_context_window_exceeded", content="Hi."))[-1]
    assert last["response"]["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(("status", "body"), QUOTAS.values(), ids=QUOTAS)
def test_quota_ends_the_turn(status: int, body: str) -> None:
    why = failure("X", status, body.encode())
    assert (why.status, why.code) == (429, "insufficient_quota")


@pytest.mark.parametrize(
    ("status", "becomes", "code"),
    [
        (400, 400, "invalid_prompt"), (401, 400, "invalid_prompt"),
        (402, 429, "insufficient_quota"), (403, 400, "invalid_prompt"),
        (404, 400, "invalid_prompt"), (405, 400, "invalid_prompt"),
        (413, 400, "invalid_prompt"), (422, 400, "invalid_prompt"), (302, 400, "invalid_prompt"),
        (429, 429, "rate_limit_exceeded"), (500, 503, "server_is_overloaded"),
        (502, 503, "server_is_overloaded"), (529, 503, "server_is_overloaded"),
    ],
)  # fmt: skip
def test_status_is_mapped_for_codex(status: int, becomes: int, code: str) -> None:
    reply = carry().fail(status, b'{"error":{"message":"the words"}}', None)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (becomes, code)
    assert "the words" in error["message"] and "The upstream" in error["message"]
    assert str(status) in error["message"]
    last = lawful(reply.event)[-1]
    assert last["response"]["error"] == {"code": code, "message": error["message"]}


@pytest.mark.parametrize("status", range(400, 600))
def test_401_never_stays_401(status: int) -> None:
    assert carry().fail(status, b"", None).status in (400, 429, 503)


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_advice_says_what_to_check(status: int) -> None:
    message = failure("Example AI", status, b"no").message
    assert "check" in message and "Example AI" in message and str(status) in message


def test_where_one_logs_in_the_relays_own_login_is_meant() -> None:
    said = b'{"error": {"message": "Please try signing in again."}}'
    message = carry(to=ACCOUNT).fail(401, said, None).body.decode()
    assert "log in again at its page /auth/login" in message and "API key" not in message


def test_a_wait_beyond_patience_is_told_in_words_alone() -> None:
    """With the header, Codex sits still for as long."""
    why = failure("X", 429, b"slow down", "3600")
    assert (why.status, why.retry_after) == (429, None)
    assert "wait 3600 s" in why.message and "try again in" not in why.message


@pytest.mark.parametrize(
    ("retry_after", "words"),
    [("7", "Please try again in 7s."), ("1.5", "again in 1.5s"), ("Wed, 21 Oct", ""), (None, "")],
)
def test_retry_after_is_kept_and_said(retry_after: str | None, words: str) -> None:
    reply = carry().fail(429, b"slow down", retry_after)
    assert reply.headers.get("retry-after") == retry_after
    assert words in reply.body.decode()
    assert words or "try again" not in reply.body.decode()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "boom"}, "server_error"),
        ({"message": "boom", "code": 500}, "server_error"),
        ({"message": "boom", "code": "429"}, "server_error"),
        ({"message": "slow", "code": 429}, "rate_limit_exceeded"),
        ({"message": "bad key", "code": 401}, "invalid_prompt"),
        ({"message": OVERFLOWS["deepseek"], "code": 400}, "context_length_exceeded"),
        ({"message": "Insufficient Balance"}, "insufficient_quota"),
        ("boom", "server_error"),
    ],
)
@pytest.mark.parametrize("place", ["error", "choice", "x_groq"])
def test_error_inside_a_stream_is_told(error: Any, code: str, place: str) -> None:
    wrong = {
        "error": {"error": error},
        "choice": {"choices": [{"index": 0, "error": error}]},
        "x_groq": {"choices": [], "x_groq": {"error": error}},
    }[place]
    last = replied(chunk(content="Hi."), wrong, chunk("stop"))[-1]
    assert last["type"] == "response.failed" and last["response"]["error"]["code"] == code


def test_error_object_inside_a_stream_is_told() -> None:
    last = replied({"object": "error", "message": "no such model", "code": 404})[-1]
    assert last["response"]["error"]["code"] == "invalid_prompt"
    assert "no such model" in last["response"]["error"]["message"]


def test_base_resp_without_an_error_is_none() -> None:
    fine = chunk("stop", content="Hi.") | {"base_resp": {"status_code": 0, "status_msg": ""}}
    assert replied(fine)[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (403, "permission_error"),
     (404, "invalid_request_error"), (429, "rate_limit_error"), (502, "server_error")],
)  # fmt: skip
def test_error_body_is_openais(status: int, kind: str) -> None:
    body = json.loads(error_body(status, "m", code="c", param="p"))
    assert body == {"error": {"message": "m", "type": kind, "param": "p", "code": "c"}}


def limit(**facts: Any) -> bytes:
    error = {"type": "usage_limit_reached", "message": "The usage limit has been reached"}
    return json.dumps({"error": {**error, "plan_type": "plus", **facts}}).encode()


@pytest.mark.parametrize(
    ("seconds", "words", "wait"),
    [
        (9_568, "(resets in 2 h 39 min)", None),
        (90_061, "(resets in 1 d 1 h 1 min)", None),
        (120, "(resets in 2 min)", None),
        (61, "(resets in 1 min)", None),
        (45, "(resets in 45 s)", "45"),
        (0, "(resets in 0 s)", None),
    ],
)
@pytest.mark.parametrize("status", [429, 200])
def test_a_used_up_account_is_told_with_when_to_come_back(
    status: int, seconds: int, words: str, wait: str | None
) -> None:
    why = failure("ChatGPT", status, limit(resets_at=1_800_000_000, resets_in_seconds=seconds))
    assert (why.status, why.code, why.retry_after) == (429, "usage_limit_reached", wait)
    assert why.message.endswith(words)
    error = json.loads(why.body)["error"]
    assert (error["type"], error["plan_type"]) == ("usage_limit_reached", "plus")
    assert (error["resets_at"], error["resets_in_seconds"]) == (1_800_000_000, seconds)
    assert why.error == {"code": why.code, "message": why.message, **why.facts}


def test_a_used_up_account_that_tells_no_time_is_one_all_the_same() -> None:
    why = failure("ChatGPT", 429, limit(resets_at=None), "5")
    assert (why.code, why.retry_after) == ("usage_limit_reached", None)
    assert "resets" not in why.message and "resets_at" not in why.facts
    said = {"error": {"code": "usage_limit_reached", "message": "Spent."}}
    assert failure("ChatGPT", 200, json.dumps(said).encode()).code == "usage_limit_reached"


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        ({"message": "Slow down."}, "3"),
        ({"message": "Slow down.", "type": None, "code": None}, "3"),
        ({"message": "Slow down.", "type": "tokens"}, None),
        ({"code": "x"}, None),
        ("Slow down.", None),
    ],
)
def test_a_429_of_a_message_alone_is_soon_over(error: Any, wait: str | None) -> None:
    why = failure("X", 429, json.dumps({"error": error}).encode())
    assert (why.code, why.retry_after) == ("rate_limit_exceeded", wait)
    assert failure("X", 429, json.dumps({"error": error}).encode(), "7").retry_after == "7"
