"""Roles, schemas and pictures that providers refuse, by the report that told of it.

| report | why there is no test here |
|---|---|
| claude-code-proxy#59 (tool pictures toward Codex) | the other direction: a Chat client before a \
Responses upstream. Toward Chat they are lifted: cc-switch#4465 below. |
"""

import json

import pytest

from addons.exchange import request_images as images
from tests.known.support import (
    PICTURE,
    PIXEL,
    accepted,
    call,
    developer,
    function,
    message,
    out,
    reply_of,
    roles,
    user,
)
from tests.provider_rules import RULES
from tests.translate.support import PROVIDERS, Json, carry, chunk
from translate.mappings.outcome import tokens

TALK = [developer("Lead."), user(), message("assistant", "Yes."), developer("Late."), user("Go.")]


@pytest.mark.parametrize("to", sorted(RULES))
def test_cc_switch_2981_developer_role(to: str) -> None:
    """The role is refused by nearly every provider (ccx#161, plexus#77)."""
    told = set(roles(accepted(*TALK, to=to)))
    assert ("developer" in told) is (to in ("openai", "azure"))


@pytest.mark.parametrize("to", ["minimax", "llamacpp", "vllm", "generic"])
def test_minimax_2013_one_system_message_at_the_head(to: str) -> None:
    """`invalid message role: system (2013)`: MiniMax and chat templates take one."""
    body = accepted(*TALK, to=to, instructions="First.")
    assert roles(body) == ["system", "user", "assistant", "user", "user"]
    assert body["messages"][0]["content"] == "First.\n\nLead."
    assert body["messages"][3]["content"] == "<system>\nLate.\n</system>"


@pytest.mark.parametrize("to", sorted(PROVIDERS))
def test_litellm_40198_cached_prefix(to: str) -> None:
    """Hoisted instructions change the head of each request: nothing of it is cached (#39339)."""
    later = [*TALK, message("assistant", "Done."), developer("Even later."), user("On.")]
    field = "messages" if PROVIDERS[to].dialect == "chat" else "input"
    first = accepted(*TALK, to=to, instructions="First.")[field]
    second = accepted(*later, to=to, instructions="First.")[field]
    assert json.dumps(second[: len(first)]) == json.dumps(first)
    assert len(second) == len(first) + 3


@pytest.mark.parametrize("to", ["deepseek", "openrouter", "minimax"])
def test_litellm_40288_thinking_goes_back_byte_for_byte(to: str) -> None:
    """Rebuilt thinking differs from what the provider has cached."""
    details = [{"type": "reasoning.text", "text": "  Ünd\n\n", "index": 0, "signature": "s/+="}]
    field = (
        {"reasoning_content": "  Ünd\n\n"} if to == "deepseek" else {"reasoning_details": details}
    )
    items = reply_of(to, chunk(**field), chunk(content="Hi."), chunk("stop"))
    bodies = [carry(to=PROVIDERS[to], input=[user(), *items, user()]).body for _ in range(2)]
    assert bodies[0] == bodies[1]
    [name] = field
    made = json.loads(bodies[0])["messages"][1][name]
    assert json.dumps(made) == json.dumps(field[name])


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
ODD = function(properties=PROPERTIES, **{"$defs": {"one": {"type": "string", "format": "uri"}}})


def properties(to: str, model: str) -> Json:
    """As the provider gets them; `accepted` has checked every keyword in them."""
    body = accepted(user(), to=to, model=model, tools=[ODD])
    made: Json = body["tools"][0]["function"]["parameters"]["properties"]
    return made


def test_gitnexus_2703_moonshots_schemas() -> None:
    """One odd schema of an MCP tool, and every request is a 400 (opencode#39995, kimi-cli#2061)."""
    made = properties("kimi", "kimi-k2.6")
    assert made["ref"] == {"type": "string"}
    strings = {"type": "string", "minLength": 1}, {"type": "string"}
    assert made["either"] in [{"anyOf": [one, {"type": "null"}]} for one in strings]
    assert made["pair"]["items"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert made["kinds"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}


def test_promptfoo_6902_geminis_schemas() -> None:
    """`additionalProperties` and lists of types are unknown names there (genoffice#186)."""
    made = properties("gemini", "gemini-3-pro")
    assert made["map"] == {"type": "object"}
    assert made["kinds"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert made["either"]["nullable"] is True
    assert '"null"' not in json.dumps(made)


def test_cc_switch_4465_pictures_are_not_text() -> None:
    """A picture of 113 KB as base64 text was 106,652 tokens (CodexPlusPlus#1701, Grimoire#208)."""
    large = {**PICTURE, "image_url": "data:image/png;base64," + PIXEL * 1000}
    items = user(), call("c"), out("c", [large])
    _, _, tool, follows = accepted(*items)["messages"]
    assert tokens(tool) < 50 and PIXEL not in json.dumps(tool)
    assert follows["content"][1]["image_url"]["url"] == large["image_url"]
    crossing = carry(to=PROVIDERS["deepseek"], input=list(items))  # whose models cannot see
    assert PIXEL.encode() not in crossing.body
    told = json.loads(crossing.body)["messages"][2]["content"]
    assert told == f"[image: image/png, {len(PIXEL) * 1000 * 3 // 4} bytes, not shown]"
    assert crossing.dropped == ["input[2].output (image_url)"]


@pytest.mark.parametrize(
    "output",
    ["ok", [{"type": "input_text", "text": "ok"}], [PICTURE], {"a": 1}, ["a"], [], None],
    ids=str,
)
def test_llama_cpp_23465_output_of_a_tool_is_text(output: object) -> None:
    """`Output of tool call should be 'Input text'`: a list of parts is a 400."""
    body = accepted(user(), call("c"), out("c", output), to="llamacpp")
    [tool] = [one for one in body["messages"] if one["role"] == "tool"]
    assert isinstance(tool["content"], str)


def test_codex_5346_picture_of_a_wrong_type() -> None:
    """A wrong or broken picture stays in the session: each further turn is a 400."""
    wrong = {**PICTURE, "image_url": f"data:image/webp;base64,{PIXEL}"}
    broken = {**PICTURE, "image_url": "data:image/png;base64,bm8gcGljdHVyZQ=="}
    body, told = images.fit({"input": [out("c", [wrong, broken])]}, PROVIDERS["generic"])
    mended, words = body["input"][0]["output"]
    assert mended == PICTURE
    assert words["type"] == "input_text" and "image" in words["text"]
    assert [one.partition(" ")[0] for one in told] == ["input[0].output[0]", "input[0].output[1]"]
