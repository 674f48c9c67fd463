"""Roles, schemas and pictures that providers refuse; each test is named for its report.

| report | why there is no test here |
|---|---|
| claude-code-proxy#59 (tool pictures toward Codex) | the other direction: a Chat client before a \
Responses upstream. Toward Chat they are lifted: cc-switch#4465 below. |
"""

import json

import pytest

from addons.exchange import images
from tests.known.support import (
    PICTURE,
    PIXEL,
    accepted_body,
    call_item,
    call_output,
    developer_message,
    function_tool,
    message,
    message_roles,
    reply_items,
    user_message,
)
from tests.provider_rules import RULES_OF_PROVIDERS
from tests.translate.support import PROVIDERS, Json, chunk, responses_exchange
from translate.mappings.outcome import estimate_tokens

TALK = [
    developer_message("Lead."),
    user_message(),
    message("assistant", "Yes."),
    developer_message("Late."),
    user_message("Go."),
]


@pytest.mark.parametrize("to", sorted(RULES_OF_PROVIDERS))
def test_cc_switch_2981_developer_role(to: str) -> None:
    """The role is refused by nearly every provider (ccx#161, plexus#77)."""
    sent_roles = set(message_roles(accepted_body(*TALK, to=to)))
    assert ("developer" in sent_roles) is (to in ("openai", "azure"))


@pytest.mark.parametrize("to", ["minimax", "llamacpp", "vllm", "generic"])
def test_minimax_2013_one_system_message_at_the_head(to: str) -> None:
    """`invalid message role: system (2013)`: MiniMax and chat templates take one."""
    body = accepted_body(*TALK, to=to, instructions="First.")
    assert message_roles(body) == ["system", "user", "assistant", "user", "user"]
    assert body["messages"][0]["content"] == "First.\n\nLead."
    assert body["messages"][3]["content"] == "<system>\nLate.\n</system>"


@pytest.mark.parametrize("to", sorted(PROVIDERS))
def test_litellm_40198_cached_prefix(to: str) -> None:
    """Instructions moved to the top change each request's start: nothing is cached (#39339)."""
    later = [
        *TALK,
        message("assistant", "Done."),
        developer_message("Even later."),
        user_message("On."),
    ]
    field = "messages" if PROVIDERS[to].dialect == "chat" else "input"
    first = accepted_body(*TALK, to=to, instructions="First.")[field]
    second = accepted_body(*later, to=to, instructions="First.")[field]
    assert json.dumps(second[: len(first)]) == json.dumps(first)
    assert len(second) == len(first) + 3


@pytest.mark.parametrize("to", ["deepseek", "openrouter", "minimax"])
def test_litellm_40288_thinking_goes_back_byte_for_byte(to: str) -> None:
    """Rebuilt thinking differs from what the provider has cached."""
    details = [{"type": "reasoning.text", "text": "  Ünd\n\n", "index": 0, "signature": "s/+="}]
    field = (
        {"reasoning_content": "  Ünd\n\n"} if to == "deepseek" else {"reasoning_details": details}
    )
    items = reply_items(to, chunk(**field), chunk(content="Hi."), chunk("stop"))
    bodies = [
        responses_exchange(to=PROVIDERS[to], input=[user_message(), *items, user_message()]).body
        for _ in range(2)
    ]
    assert bodies[0] == bodies[1]
    [name] = field
    value = json.loads(bodies[0])["messages"][1][name]
    assert json.dumps(value) == json.dumps(field[name])


PROPERTIES = {
    "ref": {"$ref": "#/$defs/one"},
    "either": {"anyOf": [{"minLength": 1}, {"type": "null"}], "type": ["string", "null"]},
    "pair": {
        "type": "array",
        "items": False,
        "prefixItems": [{"type": "string"}, {"type": "integer"}],
    },
    "map": {"type": "object", "additionalProperties": {"type": "string"}},
    "kinds": {"type": ["string", "integer"]},
}
ODD = function_tool(
    properties=PROPERTIES, **{"$defs": {"one": {"type": "string", "format": "uri"}}}
)


def sent_properties(to: str, model: str) -> Json:
    """The properties as the provider gets them, with keywords that it accepts."""
    body = accepted_body(user_message(), to=to, model=model, tools=[ODD])
    properties: Json = body["tools"][0]["function"]["parameters"]["properties"]
    return properties


def test_gitnexus_2703_moonshots_schemas() -> None:
    """One odd schema of an MCP tool, and every request is a 400 (opencode#39995, kimi-cli#2061)."""
    properties = sent_properties("kimi", "kimi-k2.6")
    assert properties["ref"] == {"type": "string"}
    strings = {"type": "string", "minLength": 1}, {"type": "string"}
    assert properties["either"] in [{"anyOf": [schema, {"type": "null"}]} for schema in strings]
    assert properties["pair"]["items"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert properties["kinds"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}


def test_promptfoo_6902_geminis_schemas() -> None:
    """`additionalProperties` and lists of types are unknown to it (genoffice#186)."""
    properties = sent_properties("gemini", "gemini-3-pro")
    assert properties["map"] == {"type": "object"}
    assert properties["kinds"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert properties["either"]["nullable"] is True
    assert '"null"' not in json.dumps(properties)


def test_cc_switch_4465_pictures_are_not_text() -> None:
    """A picture of 113 KB as base64 text was 106,652 tokens (CodexPlusPlus#1701, Grimoire#208)."""
    large = {**PICTURE, "image_url": "data:image/png;base64," + PIXEL * 1000}
    items = user_message(), call_item("c"), call_output("c", [large])
    _, _, tool, follows = accepted_body(*items)["messages"]
    assert estimate_tokens(tool) < 50 and PIXEL not in json.dumps(tool)
    assert follows["content"][1]["image_url"]["url"] == large["image_url"]
    exchange = responses_exchange(
        to=PROVIDERS["deepseek"], input=list(items)
    )  # whose models cannot see
    assert PIXEL.encode() not in exchange.body
    content = json.loads(exchange.body)["messages"][2]["content"]
    assert content == f"[image: image/png, {len(PIXEL) * 1000 * 3 // 4} bytes, not shown]"
    assert exchange.dropped == ["input[2].output (image_url)"]


@pytest.mark.parametrize(
    "output",
    ["ok", [{"type": "input_text", "text": "ok"}], [PICTURE], {"a": 1}, ["a"], [], None],
    ids=str,
)
def test_llama_cpp_23465_output_of_a_tool_is_text(output: object) -> None:
    """`Output of tool call should be 'Input text'`: a list of parts is a 400."""
    body = accepted_body(user_message(), call_item("c"), call_output("c", output), to="llamacpp")
    [tool] = [message for message in body["messages"] if message["role"] == "tool"]
    assert isinstance(tool["content"], str)


def test_codex_5346_picture_of_a_wrong_type() -> None:
    """A wrong or broken picture stays in the session: each further turn is a 400."""
    wrong = {**PICTURE, "image_url": f"data:image/webp;base64,{PIXEL}"}
    broken = {**PICTURE, "image_url": "data:image/png;base64,bm8gcGljdHVyZQ=="}
    body, dropped = images.replace_images(
        {"input": [call_output("c", [wrong, broken])]}, PROVIDERS["generic"]
    )
    mended, words = body["input"][0]["output"]
    assert mended == PICTURE
    assert words["type"] == "input_text" and "image" in words["text"]
    assert [part.partition(" ")[0] for part in dropped] == [
        "input[0].output[0]",
        "input[0].output[1]",
    ]
