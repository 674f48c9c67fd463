"""Reasoning that is lost, doubled or sent to a provider that refuses it; named for the reports."""

import json

import pytest

from tests.known.support import (
    accepted_body,
    call_delta,
    call_item,
    call_output,
    function_tool,
    message,
    reply_items,
    tool_names,
    user_message,
)
from tests.translate.support import (
    PROVIDERS,
    Json,
    chunk,
    output,
    reply_events,
    responses_exchange,
    sent_body,
    stream,
)
from translate import learn_from_refusal

FORM = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}


def thinking_turn(to: str, model: str = "upstream-model", **fields: str) -> list[Json]:
    """The items of a turn with reasoning and the call `c` of `f`."""
    chunks = chunk(**(fields or {"reasoning_content": "I look."})), call_delta(id="c", name="f")
    return reply_items(to, *chunks, chunk("tool_calls"), model=model, tools=[function_tool()])


def assistant_message(to: str, items: list[Json], model: str = "upstream-model") -> Json:
    """The assistant's message of that turn in the next request to this provider."""
    message: Json = accepted_body(user_message(), *items, call_output("c"), to=to, model=model)[
        "messages"
    ][1]
    assert [call["id"] for call in message["tool_calls"]] == ["c"]
    return message


def test_cc_switch_cli_169_deepseek_wants_its_thinking_back() -> None:
    """`must be passed back` (opencode#24901, commandcode-proxy#26): a 400 in a tool loop."""
    assert (
        assistant_message("deepseek", thinking_turn("deepseek"))["reasoning_content"] == "I look."
    )


def test_opencodex_971_turns_without_their_thinking() -> None:
    """After compaction or repair the thinking is gone, and each further turn is a 400."""
    message = assistant_message("deepseek", [call_item("c")])
    assert message["reasoning_content"] and not message["reasoning_content"].strip()


@pytest.mark.parametrize(
    "items", [[call_item("c")], thinking_turn("deepseek"), thinking_turn("kimi")]
)
def test_continue_11600_kimi_wants_the_field_in_each_message(items: list[Json]) -> None:
    """`reasoning_content is missing … at index N` (opencode#16318, deer-flow#3043)."""
    items = [message("assistant", "Before."), user_message(), *items]
    body = accepted_body(user_message(), *items, call_output("c"), to="kimi", model="kimi-k2.6")
    answers = [message for message in body["messages"] if message["role"] == "assistant"]
    assert len(answers) == 2 and all(message["reasoning_content"] for message in answers)


@pytest.mark.parametrize("effort", ["none", "low", "high", "xhigh"])
@pytest.mark.parametrize("model", ["kimi-k2.5", "kimi-k2.6", "kimi-k3"])
def test_nanobot_3939_thinking_beside_reasoning_effort(model: str, effort: str) -> None:
    """Moonshot refuses the two together."""
    body = accepted_body(user_message(), to="kimi", model=model, reasoning={"effort": effort})
    assert ("thinking" in body, "reasoning_effort" in body) == (
        model != "kimi-k3",
        model == "kimi-k3",
    )


def test_oh_my_pi_1839_kimi_k26_reads_earlier_thinking_only_if_told_so() -> None:
    """Without `keep` it thinks everything again between two calls."""
    keeps = {"type": "enabled", "keep": "all"}
    assert accepted_body(user_message(), to="kimi", model="kimi-k2.6")["thinking"] == keeps
    some = {"reasoning": {"effort": "high"}}
    assert accepted_body(user_message(), to="kimi", model="kimi-k2.6", **some)["thinking"] == keeps
    off = {"reasoning": {"effort": "none"}}
    body = accepted_body(user_message(), to="kimi", model="kimi-k2.6", **off)
    assert body["thinking"] == {"type": "disabled"}
    assert "keep" not in str(accepted_body(user_message(), to="kimi", model="kimi-k2.5", **some))


def test_freellmapi_1070_groq_refuses_reasoning_content() -> None:
    """`property 'reasoning_content' is unsupported` (hermes-agent#11089, AstrBot#5946)."""
    assert "reasoning_content" not in json.dumps(
        assistant_message("groq", thinking_turn("deepseek"))
    )
    own = assistant_message("groq", thinking_turn("groq", reasoning="I look."))
    assert own["reasoning"] == "I look." and "reasoning_content" not in own


def test_free_claude_code_1136_cerebras_refuses_it_too() -> None:
    """`wrong_api_format` (chatwise#1442); its models read their thinking in the text."""
    message = assistant_message("cerebras", thinking_turn("cerebras"))
    assert message["content"] == "<think>I look.</think>\n\n"
    assert message.keys() == {"role", "content", "tool_calls"}


def test_pi_6733_gemini_wants_its_signatures() -> None:
    """`missing a thought_signature` (openhuman#3548, securo#884, llmgateway#1267): a 400."""
    signed = {"extra_content": {"google": {"thought_signature": "sig"}}}
    chunks = call_delta(id="c", name="f", arguments="{}", **signed), chunk("stop")
    message = assistant_message("gemini", reply_items("gemini", *chunks, tools=[function_tool()]))
    assert message["tool_calls"][0]["extra_content"] == signed["extra_content"]
    other = assistant_message("generic", reply_items("gemini", *chunks, tools=[function_tool()]))
    assert "extra_content" not in other["tool_calls"][0]  # as other providers refuse it


def test_minimax_m2_18_thinking_in_the_text() -> None:
    """`<think>` in the answer (vellum-assistant#34556), and details that never come back."""
    assert accepted_body(user_message(), to="minimax")["reasoning_split"] is True
    details = [{"type": "reasoning.text", "index": 0, "text": "I look."}]
    chunks = chunk(reasoning_details=details), call_delta(id="c", name="f"), chunk("tool_calls")
    message = assistant_message("minimax", reply_items("minimax", *chunks, tools=[function_tool()]))
    assert message["reasoning_details"] == details
    thinks = reply_items(
        "minimax", chunk(content="<think>I look.</think>\n\nThere."), chunk("stop")
    )
    assert [item["type"] for item in thinks] == ["reasoning", "message"]
    assert thinks[1]["content"][0]["text"] == "There."


def test_hermes_agent_23088_xai_takes_an_effort_of_some_models_alone() -> None:
    """`does not support parameter reasoningEffort`; the relay learns from this reply."""
    effort = {"reasoning": {"effort": "high"}}
    assert "reasoning_effort" not in accepted_body(
        user_message(), to="xai", model="grok-4-fast", **effort
    )
    body = accepted_body(user_message(), to="xai", model="grok-3-mini", **effort)
    assert body["reasoning_effort"] == "high"
    error = b'{"code": "400", "error": "Model grok-9 does not support parameter reasoningEffort."}'
    better = learn_from_refusal(PROVIDERS["generic"], 400, error, sent_body(**effort))
    assert better and "reasoning_effort" not in sent_body(to=better, **effort)


@pytest.mark.parametrize(
    ("effort", "word"), [("none", "none"), ("low", "default"), ("xhigh", "default")]
)
def test_pi_1745_groq_knows_two_efforts_of_qwen(effort: str, word: str) -> None:
    """Any other is a 400."""
    body = accepted_body(
        user_message(), to="groq", model="qwen/qwen3-32b", reasoning={"effort": effort}
    )
    assert body["reasoning_effort"] == word


def test_qwen_code_5637_qwen_reads_earlier_thinking_only_if_told_so() -> None:
    """Without `preserve_thinking` what goes back is ignored."""
    assert (
        accepted_body(user_message(), to="qwen", model="qwen3.6-plus")["preserve_thinking"] is True
    )


def test_langchain4j_3974_models_that_think_only_in_a_stream() -> None:
    """Without a stream they refuse or do not think (claude-code-router#948)."""
    crossing = responses_exchange(to=PROVIDERS["qwen"], stream=False)
    assert json.loads(crossing.body)["stream"] is True
    wire = stream(chunk(reasoning_content="I look."), chunk(content="There."), chunk("stop"))
    reply = crossing.whole_reply(wire)
    assert reply.headers["content-type"] == "application/json"
    items = json.loads(reply.body)["output"]
    assert [item["type"] for item in items] == ["reasoning", "message"]


@pytest.mark.parametrize("fields", [{}, {"reasoning": {"effort": "high"}}])
def test_presenton_184_json_excludes_thinking(fields: Json) -> None:
    """`Json mode response is not supported when enable_thinking is true`."""
    body = accepted_body(user_message(), to="qwen", model="qwen3.6-plus", text=FORM, **fields)
    assert body["enable_thinking"] is False
    assert body["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(("model", "thinks"), [("glm-4-plus", False), ("glm-4.5", True)])
def test_opencode_23352_glm_models_that_cannot_think(model: str, thinks: bool) -> None:
    """Sent `thinking`, they answer nothing at all."""
    body = accepted_body(user_message(), to="glm", model=model, reasoning={"effort": "high"})
    assert ("thinking" in body) is thinks
    assert tool_names(body) == ["f"]


def test_codex_32267_thinking_alone_is_shown() -> None:
    """A reply with reasoning alone ends the turn without an answer."""
    items = output(reply_events(chunk(reasoning_content="The oven is hot."), chunk("stop")))
    assert [item["type"] for item in items] == ["reasoning", "message"]
    assert items[1]["content"][0]["text"] == "The oven is hot."
