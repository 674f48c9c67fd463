"""Tools lost or bent on their way between Codex and Chat providers, by the report that told of it.

What became of their calls and outputs is in test_calls.py.

Elsewhere, as the real Codex is needed: NVIDIA-NeMo/Switchyard#384 (a live MCP server over stdio),
in tests/codex/test_known_defects.py.
"""

import json
import logging

import pytest

from addons.exchange import fallback as turn
from tests.addons.exchange.test_addon import answered, relay, said, says
from tests.addons.proxy import bounded
from tests.known.support import (
    APPLY_PATCH,
    CODE_MODE,
    GRAMMAR,
    PATCH,
    TINY,
    accepted,
    call,
    called,
    called_custom,
    delta,
    developer,
    function,
    names,
    out,
    roles,
    user,
)
from tests.translate.support import (
    PROVIDERS,
    Json,
    carry,
    chunk,
    events_of,
    output,
    replied,
    stream,
)
from translate.providers.catalog import TEMPLATE, Entry, to_codex

EVERY_KIND: list[Json] = [
    function(), APPLY_PATCH, TINY, {"type": "tool_search"}, {"type": "local_shell"},
]  # fmt: skip
THEIR_NAMES = ["f", "apply_patch", "mcp__tiny__add", "tool_search", "local_shell"]


def extra(*tools: Json) -> Json:
    """Tools as Codex sends them for some models: in the input, under a role."""
    return {"type": "additional_tools", "role": "developer", "tools": list(tools)}


def test_cc_switch_7451_additional_tools_and_unknown_items() -> None:
    """An item that is not known becomes a message without content: every request is a 400."""
    unknown = {"type": "brand_new", "role": "developer", "data": 1}
    crossing = carry(input=[extra(function()), developer("Be brief."), unknown, user()])
    body = json.loads(crossing.body)
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
    ]
    assert names(body) == ["f"]
    assert crossing.dropped == ["input[2] (brand_new)"]


def test_chatgpt_codex_proxy_9_additional_tools_are_no_message() -> None:
    """The item is rewritten to a developer message, and its tools are gone."""
    body = accepted(extra(APPLY_PATCH), user(), tools=[function()])
    assert roles(body) == ["user"]
    assert names(body) == ["f", "apply_patch"]


def test_codex_relay_6_namespace_comes_back() -> None:
    """A call without its namespace: Codex answers `unsupported call`."""
    by = carry(tools=[TINY])
    [item] = called(delta(id="c", name="mcp__tiny__add", arguments="{}"), by=by)
    assert (item["name"], item["namespace"]) == ("add", "mcp__tiny")


def test_codex_33263_namespace_is_flattened_in_the_history_too() -> None:
    """Endpoints other than OpenAI's ignore namespaces, so that no MCP tool is left."""
    items = [user(), call("c", "add", namespace="mcp__tiny"), out("c")]
    body = accepted(*items, tools=[TINY])
    assert names(body) == ["mcp__tiny__add"]
    [made] = body["messages"][1]["tool_calls"]
    assert made["function"]["name"] == "mcp__tiny__add"


@pytest.mark.parametrize("to", ["ollama", "lmstudio", "openrouter"])
def test_codex_26234_mcp_tools_of_local_servers(to: str) -> None:
    """MCP tools never reach Ollama, LM Studio and OpenRouter."""
    assert names(accepted(user(), to=to, tools=[TINY])) == ["mcp__tiny__add"]


@bounded
async def test_codex_36942_dropped_tools_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Tools vanish without a word, and the agent seems to have become stupid."""
    turn._told.clear()
    tools = [TINY, {"type": "web_search"}, {"type": "image_generation"}]
    with caplog.at_level(logging.WARNING):
        async with relay(says()) as (above, port):
            for _ in range(2):
                answer = await answered(port, tools=tools)
                assert said(answer) == "Hi."
                assert answer.headers["x-relay-dropped"] == (
                    "tools[web_search], tools[image_generation]"
                )
            await answered(port, tools=tools, model="another")
    assert names(json.loads(above.seen[0].body)) == ["mcp__tiny__add"]
    told = [line.partition(" (")[2] for line in caplog.messages if "did not get" in line]
    assert told == [  # once for each model
        "gpt-5.5) did not get tools[web_search]",
        "gpt-5.5) did not get tools[image_generation]",
        "another) did not get tools[web_search]",
        "another) did not get tools[image_generation]",
    ]


@pytest.mark.parametrize(
    "said", ["mcp__tiny.add", "mcp__tiny-add", "mcp.tiny.add", "mcp__tiny/add"]
)
def test_codex_23186_any_joiner(said: str) -> None:
    """Models write the joined name with a joiner of their own."""
    [item] = called(delta(id="c", name=said, arguments="{}"), by=carry(tools=[TINY]))
    assert (item["name"], item["namespace"]) == ("add", "mcp__tiny")


def test_vllm_46737_flattened_names_never_reach_codex() -> None:
    """The joined name comes back as it was sent up."""
    by = carry(to=PROVIDERS["vllm"], tools=[TINY])
    chunks = delta(id="c", name="mcp__tiny__add", arguments="{}"), chunk("tool_calls")
    wire = by.feed(stream(*chunks)) + by.feed(b"")
    items = [event["item"] for event in events_of(wire) if "item" in event]
    assert [(one["name"], one["namespace"]) for one in items] == [("add", "mcp__tiny")] * 2
    assert b"mcp__tiny__add" not in wire


def test_vllm_49493_no_namespace_goes_up() -> None:
    """Models behind vLLM's harmony parser refuse the field."""
    items = [user(), call("c", "add", namespace="mcp__tiny"), out("c")]
    body = accepted(*items, to="vllm", tools=[TINY, CODE_MODE])
    assert '"namespace"' not in json.dumps(body)


def test_omlx_3371_every_kind_is_a_function() -> None:
    """Whatever is not a function is dropped."""
    crossing = carry(tools=EVERY_KIND)
    assert names(json.loads(crossing.body)) == THEIR_NAMES
    assert crossing.dropped == []


@pytest.mark.parametrize("streams", [True, False])
def test_cliproxyapi_5753_custom_tools_on_every_path(streams: bool) -> None:
    """One of two paths leaves freeform tools as they are."""
    by = carry(tools=[APPLY_PATCH], stream=streams)
    arguments = json.dumps({"input": PATCH})
    wire = stream(delta(id="c", name="apply_patch", arguments=arguments), chunk("tool_calls"))
    if streams:
        made = output(events_of(by.feed(wire) + by.feed(b"")))
    else:
        made = json.loads(by.whole(wire).body)["output"]
    assert [(one["type"], one["input"]) for one in made] == [("custom_tool_call", PATCH)]


def test_copilot_api_242_patch_is_not_json() -> None:
    """apply_patch gets `{"input": …}` as its patch, also in the deltas."""
    by = carry(tools=[APPLY_PATCH])
    arguments = json.dumps({"input": PATCH})
    events = replied(delta(id="c", name="apply_patch", arguments=arguments), chunk("stop"), by=by)
    deltas = [e["delta"] for e in events if e["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == output(events)[0]["input"] == PATCH


def test_workbuddy2api_intl_12_custom_tools_stay() -> None:
    """The freeform tool is dropped: a 200, and nothing is edited."""
    crossing = carry(tools=[APPLY_PATCH])
    assert names(json.loads(crossing.body)) == ["apply_patch"]
    assert crossing.dropped == []


def test_maxx_813_apply_patch_by_openrouter() -> None:
    """Without apply_patch the model "got dumb"."""
    body = accepted(user(), to="openrouter", tools=[APPLY_PATCH])
    [tool] = body["tools"]
    assert tool["function"]["parameters"]["required"] == ["input"]
    assert GRAMMAR in tool["function"]["description"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"input": f"```diff\n{PATCH}```"},
        {"input": f"apply_patch <<'EOF'\n{PATCH}EOF\n"},
        {"patch": PATCH},
        {"command": ["apply_patch", PATCH]},
    ],
    ids=["fence", "heredoc", "patch", "command"],
)
def test_cc_switch_3669_wrapped_patches(arguments: Json) -> None:
    """Models wrap the patch as their training had it; the parser sees the wrapping."""
    assert called_custom(json.dumps(arguments))["input"].rstrip() == PATCH.rstrip()


def test_codex_33405_freeform_tools_of_code_mode() -> None:
    """Third parties cannot call freeform tools, so they can neither edit nor run anything."""
    by = carry(tools=[CODE_MODE])
    script = 'text("hi");\n'
    arguments = json.dumps({"input": script})
    [item] = called(delta(id="c", name="functions__exec", arguments=arguments), by=by)
    assert item["type"] == "custom_tool_call"
    assert (item["namespace"], item["name"], item["input"]) == ("functions", "exec", script)


def test_unsloth_9121_catalog_says_freeform() -> None:
    """`apply_patch_tool_type: "function"` is refused by Codex since 0.131: no catalog at all."""
    [model] = to_codex([Entry("m")], TEMPLATE, owner="x")["models"]
    assert model["apply_patch_tool_type"] == "freeform"


def test_llama_cpp_20156_type_of_every_tool_is_function() -> None:
    """`'type' of tool must be 'function'` (also llama.cpp#22389, #10635)."""
    tools = [*EVERY_KIND, {"type": "web_search"}, {"type": "image_generation"}]
    body = accepted(user(), to="llamacpp", tools=tools)
    assert {tool["type"] for tool in body["tools"]} == {"function"}
    assert names(body) == THEIR_NAMES


def test_command_code_804_tool_search() -> None:
    """A search for tools is answered with "unsupported", and what it finds is never declared."""
    by = carry(tools=[{"type": "tool_search"}])
    searched = delta(id="s", name="tool_search", arguments='{"query": "add"}'), chunk("tool_calls")
    [item] = output(replied(*searched, by=by))
    assert (item["type"], item["arguments"]) == ("tool_search_call", {"query": "add"})
    found = {"type": "tool_search_output", "call_id": "s", "execution": "client", "tools": [TINY]}
    body = accepted(user(), item, found, tools=[{"type": "tool_search"}])
    assert names(body) == ["tool_search", "mcp__tiny__add"]
    assert "mcp__tiny__add" in body["messages"][-1]["content"]
