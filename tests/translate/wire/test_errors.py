"""Upstream errors in the words of many providers become errors that clients understand."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.translate.support import (
    ACCOUNT,
    GENERIC,
    PROVIDERS,
    chunk,
    context_for,
    lawful_events,
    reply_events,
    responses_exchange,
)
from translate import Exchange, Provider, error_body, start_exchange
from translate.wire.errors import (
    ERROR_CODES,
    FAILURE_RULES,
    failure_rule,
    read_failure,
    status_of_code,
)

# Each provider's own words, and where they were seen; a bare owner/name#number is on GitHub.
OVERFLOWS = {
    # onyx-dot-app/onyx#6051
    "openai": "Your input exceeds the context window of this model. Please adjust your input.",
    # openai/codex, codex-rs/core: a failed response that it recognises
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
# These speak of tokens too, but the context is not full.
OTHER_LIMITS = [
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


def error_json(**fields: Any) -> bytes:
    return json.dumps({"error": fields}).encode()


def test_temporary_429_that_speaks_of_billing_is_not_an_empty_account() -> None:
    """Gemini sends the words of OpenAI's final error, with another code."""
    message = "You exceeded your current quota, please check your plan and billing details."
    body = error_json(message=message, code=429, status="RESOURCE_EXHAUSTED")
    assert read_failure("X", 429, body).code == "rate_limit_exceeded"


@pytest.mark.parametrize("message", OVERFLOWS.values(), ids=OVERFLOWS)
@pytest.mark.parametrize("status", [200, 400, 413, 422, 500])
def test_overflow_gets_the_code_that_codex_knows(status: int, message: str) -> None:
    failure = read_failure("X", status, error_json(message=message))
    assert (failure.status, failure.code) == (
        400,
        "context_length_exceeded",
    ) and message in failure.message


def test_every_provider_has_an_overflow_message() -> None:
    assert OVERFLOWS.keys() == PROVIDERS.keys() - {"demo", "responses"}


@pytest.mark.parametrize(("status", "message"), OTHER_LIMITS)
def test_another_limit_is_not_an_overflow(status: int, message: str) -> None:
    failure = read_failure("X", status, error_json(message=message))
    assert failure.code in ("invalid_prompt", "server_error")


def test_overflow_may_come_as_a_finish_reason() -> None:
    """GLM's, where the prompt left no room (https://docs.z.ai)."""
    last = reply_events(chunk("model_context_window_exceeded", content="Hi."))[-1]
    assert last["response"]["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(("status", "body"), QUOTAS.values(), ids=QUOTAS)
def test_empty_account_ends_the_turn(status: int, body: str) -> None:
    failure = read_failure("X", status, body.encode())
    assert (failure.status, failure.code) == (429, "insufficient_quota")


REFUSED_PROMPT = (400, "invalid_prompt")
OVERLOADED = (503, "server_is_overloaded")
RATE_LIMITED = (429, "rate_limit_exceeded")
# status of the upstream → status and error code for Codex; for other clients. 200 is an event.
CLIENT_STATUSES = {
    302: (REFUSED_PROMPT, REFUSED_PROMPT),
    400: (REFUSED_PROMPT, REFUSED_PROMPT),
    401: (REFUSED_PROMPT, (401, "invalid_prompt")),
    402: ((429, "insufficient_quota"), (429, "insufficient_quota")),
    403: (REFUSED_PROMPT, (403, "invalid_prompt")),
    404: (REFUSED_PROMPT, (404, "invalid_prompt")),
    405: (REFUSED_PROMPT, REFUSED_PROMPT),
    413: (REFUSED_PROMPT, REFUSED_PROMPT),
    418: (REFUSED_PROMPT, REFUSED_PROMPT),
    422: (REFUSED_PROMPT, (422, "invalid_prompt")),
    429: ((200, "rate_limit_exceeded"), RATE_LIMITED),
    500: (REFUSED_PROMPT, OVERLOADED),
    502: (REFUSED_PROMPT, OVERLOADED),
    503: ((200, "slow_down"), OVERLOADED),
    504: (REFUSED_PROMPT, OVERLOADED),
    529: ((200, "slow_down"), OVERLOADED),
    599: (REFUSED_PROMPT, OVERLOADED),
}


@pytest.mark.parametrize(("status", "expected"), CLIENT_STATUSES.items())
def test_codex_gets_what_makes_it_show_the_words(
    status: int, expected: tuple[tuple[int, str], tuple[int, str]]
) -> None:
    (codex_status, code), _ = expected
    reply = responses_exchange().error_reply(status, error_json(message="the words"), None)
    error = lawful_events(reply.stream_events)[-1]["response"]["error"]
    assert (reply.status, error["code"]) == (codex_status, code)
    assert "the words" in error["message"] and "The upstream" in error["message"]
    assert str(status) in error["message"]
    if codex_status == 200:
        assert reply.body == reply.stream_events
    else:
        body = json.loads(reply.body)["error"]
        assert (body["code"], body["message"]) == (code, error["message"])


def sdk_exchange(client: str, to: Provider = GENERIC, **fields: Any) -> Exchange:
    body = {"responses": {"input": "Hello."}, "chat": {"messages": [USER]}}[client]
    context = replace(context_for(to), from_codex=False)
    return start_exchange({"model": "m", **body, **fields}, client=client, context=context)  # type: ignore[arg-type]  # the dialects' names


USER = {"role": "user", "content": "Hello."}
BOTH_DIALECTS = pytest.mark.parametrize("client", ["responses", "chat"])


@BOTH_DIALECTS
@pytest.mark.parametrize(("status", "expected"), CLIENT_STATUSES.items())
def test_other_clients_get_the_status_for_which_their_sdk_has_an_exception(
    status: int, expected: tuple[tuple[int, str], tuple[int, str]], client: str
) -> None:
    _, (sdk_status, code) = expected
    exchange = sdk_exchange(client, stream=True)
    reply = exchange.error_reply(status, error_json(message="the words"), None)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (sdk_status, code)
    assert reply.body == error_body(
        sdk_status, json.loads(reply.body)["error"]["message"], code=code
    )


@BOTH_DIALECTS
@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_status_in_an_error_inside_a_200_counts_as_well(status: int, client: str) -> None:
    body = error_json(message="no", code=status)
    assert sdk_exchange(client).whole_reply(body).status == status
    assert responses_exchange().whole_reply(body).status == 400


@pytest.mark.parametrize("status", range(400, 600))
def test_codex_never_gets_a_401(status: int) -> None:
    """After a 401 it would refresh its own login, which is none of the upstream's."""
    assert responses_exchange().error_reply(status, b"", None).status in (200, 400, 429)


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_message_advises_what_to_check(status: int) -> None:
    message = read_failure("Example AI", status, b"no").message
    assert "check" in message and "Example AI" in message and str(status) in message


@pytest.mark.parametrize(("from_codex", "expected"), [(True, 400), (False, 401)])
def test_account_that_refuses_the_login_asks_for_a_login_at_the_relay(
    from_codex: bool, expected: int
) -> None:
    body = error_json(message="Please try signing in again.")
    refused = responses_exchange(to=ACCOUNT) if from_codex else sdk_exchange("responses", ACCOUNT)
    reply = refused.error_reply(401, body, None)
    assert reply.status == expected
    message = json.loads(reply.body)["error"]["message"]
    assert "log in again at its page /auth/login" in message and "key" not in message


def test_long_wait_is_in_the_message_only() -> None:
    """With the header, Codex would wait that long in silence."""
    failure = read_failure("X", 429, b"slow down", "3600")
    assert (failure.status, failure.retry_after) == (429, None)
    assert "wait 3600 s" in failure.message and "try again in" not in failure.message


@pytest.mark.parametrize(
    ("retry_after", "words"),
    [("7", "Please try again in 7s."), ("1.5", "again in 1.5s"), ("Wed, 21 Oct", ""), (None, "")],
)
def test_retry_after_is_in_header_and_message(retry_after: str | None, words: str) -> None:
    reply = sdk_exchange("responses").error_reply(429, b"slow down", retry_after)
    assert reply.headers.get("retry-after") == retry_after
    assert words in reply.body.decode()
    assert words or "try again" not in reply.body.decode()


@pytest.mark.parametrize(("status", "expected"), [(503, "9"), (501, "9"), (404, None), (408, None)])
def test_retry_after_goes_with_failures_that_may_pass(status: int, expected: str | None) -> None:
    failure = read_failure("X", status, b"busy", "9")
    assert failure.for_client(from_codex=False).headers.get("retry-after") == expected


@pytest.mark.parametrize("status", [429, 503, 529])
def test_codex_reads_in_the_message_how_long_to_wait(status: int) -> None:
    failure = read_failure("X", status, b"busy", "9")
    assert "Please try again in 9s." in failure.message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_names_its_target(status: int) -> None:
    target = "https://api.example.com/v1/chat\n?key=sk-1"
    message = read_failure("X", status, b"<html>Moved</html>", location=target).message
    assert message == (
        f"X answered {status}: it redirects to https://api.example.com/v1/chat\\n, and the relay "
        "follows no redirect (check the upstream URL)"
    )
    assert read_failure("X", 500, b"busy", location=target).message == "X answered 500: busy"
    assert "Moved" in read_failure("X", status, b"<html>Moved</html>").message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "boom"}, "server_error"),
        ({"message": "boom", "code": 500}, "server_error"),
        ({"message": "boom", "code": "429"}, "server_error"),
        ({"message": "boom", "code": "timeout"}, "server_error"),
        ({"message": "boom", "code": "burst"}, "server_error"),
        ({"message": "no", "code": "invalid_prompt"}, "invalid_prompt"),
        ({"message": "busy", "code": "server_is_overloaded"}, "server_is_overloaded"),
        ({"message": "slow", "code": 429}, "rate_limit_exceeded"),
        ({"message": "bad key", "code": 401}, "invalid_prompt"),
        ({"message": OVERFLOWS["deepseek"], "code": 400}, "context_length_exceeded"),
        ({"message": "Insufficient Balance"}, "insufficient_quota"),
        ("boom", "server_error"),
    ],
)
@pytest.mark.parametrize("location", ["error", "choice", "x_groq"])
def test_error_inside_a_stream_ends_it_as_failed(error: Any, code: str, location: str) -> None:
    failing = {
        "error": {"error": error},
        "choice": {"choices": [{"index": 0, "error": error}]},
        "x_groq": {"choices": [], "x_groq": {"error": error}},
    }[location]
    last = reply_events(chunk(content="Hi."), failing, chunk("stop"))[-1]
    assert last["type"] == "response.failed" and last["response"]["error"]["code"] == code


@pytest.mark.parametrize("code", ["cyber_policy", "usage_not_included"])
def test_codes_that_codex_knows_stay_as_they_are(code: str) -> None:
    assert read_failure("X", 200, error_json(message="No.", code=code)).code == code


def test_error_object_inside_a_stream_ends_it_as_failed() -> None:
    last = reply_events({"object": "error", "message": "no such model", "code": 404})[-1]
    assert last["response"]["error"]["code"] == "invalid_prompt"
    assert "no such model" in last["response"]["error"]["message"]


def test_base_resp_of_zero_is_not_an_error() -> None:
    fine = chunk("stop", content="Hi.") | {"base_resp": {"status_code": 0, "status_msg": ""}}
    assert reply_events(fine)[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("status", "error_type"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (403, "permission_error"),
     (404, "invalid_request_error"), (429, "rate_limit_error"), (502, "server_error")],
)  # fmt: skip
def test_error_body_is_openais(status: int, error_type: str) -> None:
    body = json.loads(error_body(status, "m", code="c", param="p"))
    assert body == {"error": {"message": "m", "type": error_type, "param": "p", "code": "c"}}


def usage_limit_json(**facts: Any) -> bytes:
    message = "The usage limit has been reached"
    return error_json(**{"type": "usage_limit_reached", "message": message, **facts})


@pytest.mark.parametrize(
    ("seconds", "words", "retry_after"),
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
def test_usage_limit_says_when_it_resets(
    status: int, seconds: int, words: str, retry_after: str | None
) -> None:
    facts = {"plan_type": "plus", "resets_at": 1_800_000_000, "resets_in_seconds": seconds}
    failure = read_failure("ChatGPT", status, usage_limit_json(**facts))
    assert (failure.status, failure.code, failure.retry_after) == (
        429,
        "usage_limit_reached",
        retry_after,
    )
    assert failure.message.endswith(words)
    error = json.loads(failure.body)["error"]
    assert error.items() >= {"type": "usage_limit_reached", **facts}.items()
    assert failure.error_fields == {
        "code": failure.code,
        "message": failure.message,
        **failure.extra_fields,
    }


def test_usage_limit_may_come_without_a_time() -> None:
    failure = read_failure("ChatGPT", 429, usage_limit_json(resets_at=None), "5")
    assert (failure.code, failure.retry_after) == ("usage_limit_reached", None)
    assert "resets" not in failure.message and "resets_at" not in failure.extra_fields
    body = error_json(code="usage_limit_reached", message="Spent.")
    assert read_failure("ChatGPT", 200, body).code == "usage_limit_reached"


def test_plan_without_codex_keeps_its_error_type() -> None:
    """Codex reads the type of a 429, and asks the user to upgrade."""
    failure = read_failure(
        "ChatGPT", 429, error_json(type="usage_not_included", message="Upgrade.")
    )
    assert (failure.status, failure.for_client(from_codex=False).status) == (429, 403)
    assert json.loads(failure.body)["error"]["type"] == failure.code == "usage_not_included"


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        ({"message": "Slow down."}, "3"),
        ({"message": "Slow down.", "type": None, "code": None}, "3"),
        ({"message": "Slow down.", "type": "tokens"}, None),
        ({"code": "x"}, None),
        ("Slow down.", "3"),
    ],
)
def test_429_with_only_a_message_is_over_soon(error: Any, retry_after: str | None) -> None:
    body = json.dumps({"error": error}).encode()
    failure = read_failure("X", 429, body)
    assert (failure.code, failure.retry_after) == ("rate_limit_exceeded", retry_after)
    assert read_failure("X", 429, body, "7").retry_after == "7"


# The table, as transport, exchange and accounts read it.


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_failures_that_may_pass_are_retried(status: int) -> None:
    assert failure_rule(status).retry == "yes"


@pytest.mark.parametrize("status", [302, 400, 401, 402, 403, 404, 405, 409, 413, 422, 501, 505])
def test_failures_that_last_are_not_retried(status: int) -> None:
    assert failure_rule(status).retry in ("no", "never")


FALLBACK_STATUSES = {401, 402, 403, 404, 408, 429}


@pytest.mark.parametrize("status", range(300, 600))
def test_next_candidate_is_asked_where_this_one_fails(status: int) -> None:
    assert failure_rule(status).fallback == (status in FALLBACK_STATUSES or status >= 500)


@pytest.mark.parametrize("status", [200, 400, 402, 403, 412, 429, 500])
def test_empty_account_is_never_retried_but_leads_to_the_next_candidate(status: int) -> None:
    rule = failure_rule(status, error_json(code="insufficient_quota"))
    assert (rule.code, rule.retry, rule.fallback) == ("insufficient_quota", "never", True)


def test_overflow_is_left_to_the_client() -> None:
    rule = failure_rule(500, error_json(message=OVERFLOWS["glm"]))
    assert (rule.retry, rule.fallback) == ("never", False)


def test_account_limits_block_the_account() -> None:
    codes = {rule.code for rule in FAILURE_RULES.values() if rule.blocks_account}
    assert codes == {"usage_limit_reached", "usage_not_included"}
    assert [key for key, rule in FAILURE_RULES.items() if rule.renews_login] == [401]


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_error_code_has_a_rule(code: str) -> None:
    assert read_failure("X", 200, error_json(code=code, message="m")).status < 600
    status = ERROR_CODES[code]
    rule = FAILURE_RULES.get(code) or failure_rule(status)
    is_asked_again = rule.retry == "yes" or rule.fallback
    assert status_of_code(code) == (status if is_asked_again else 0)


@pytest.mark.parametrize(
    ("code", "status"),
    [("400", 400), ("502", 502), ("999", 0), ("", 0), ("Overloaded_Error", 503), ("odd", 0)],
)
def test_error_code_may_be_a_status(code: str, status: int) -> None:
    assert status_of_code(code) == status


def test_upstream_that_is_not_there_is_shown_at_once() -> None:
    """Codex asked 30 times in 131 s, as after a 502, before it said that nothing listens."""
    reason = "nothing listens at http://127.0.0.1:9; is the server running?"
    reply = responses_exchange().unreachable_reply(reason)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (400, "invalid_prompt")
    assert error["message"] == f"{GENERIC.title} cannot be reached: {reason}"
    assert b'"code":"invalid_prompt"' in responses_exchange().interrupt(reason)
    sdk = sdk_exchange("chat").unreachable_reply(reason)
    error = json.loads(sdk.body)["error"]
    assert (sdk.status, error["code"]) == (502, "server_error")


def test_advice_of_the_caller_replaces_that_of_the_table() -> None:
    steps = {401: "check the key in BOX_KEY"}
    context = replace(context_for(), advise=lambda status: steps.get(status, ""))
    body = {"model": "m", "input": "Hello."}
    exchange = start_exchange(body, client="responses", context=context)
    reply = exchange.error_reply(401, error_json(message="No."), None)
    assert json.loads(reply.body)["error"]["message"].endswith("No. (check the key in BOX_KEY)")
    assert exchange.advice == "check the key in BOX_KEY"
    assert "(check" not in read_failure("X", 400, b"no", advice="check it").message
