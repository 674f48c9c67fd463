"""Tools that are lost or altered between Codex and Chat providers; named for the reports.

What became of their calls and outputs is in test_calls.py.

Elsewhere, as the real Codex is needed: NVIDIA-NeMo/Switchyard#384 (a live MCP server over stdio),
in tests/codex/test_known_defects.py.
"""

import json
import logging

import pytest

from addons.exchange import fallback
from tests.addons.exchange.test_addon import ask_once, completed_text, relay, says
from tests.addons.proxy import bounded
from tests.known.support import (
    APPLY_PATCH,
    CODE_MODE,
    GRAMMAR,
    PATCH,
    TINY,
    accepted_body,
    call_delta,
    call_item,
    call_items,
    call_output,
    developer_message,
    function_tool,
    message_roles,
    patch_call,
    tool_names,
    user_message,
)
from tests.translate.support import (
    PROVIDERS,
    Json,
    chunk,
    events_of,
    output,
    reply_events,
    responses_exchange,
    stream,
)
from translate.providers.catalog import DEFAULT_CATALOG_TEMPLATE, CatalogModel, models_to_codex

EVERY_KIND: list[Json] = [
    function_tool(), APPLY_PATCH, TINY, {"type": "tool_search"}, {"type": "local_shell"},
]  # fmt: skip
THEIR_NAMES = ["f", "apply_patch", "mcp__tiny__add", "tool_search", "local_shell"]


def extra(*tools: Json) -> Json:
    """Tools as an item of the input, as Codex sends them for some models."""
    return {"type": "additional_tools", "role": "developer", "tools": list(tools)}


def test_cc_switch_7451_additional_tools_and_unknown_items() -> None:
    """An unknown item becomes a message without content: every request is a 400."""
    unknown = {"type": "brand_new", "role": "developer", "data": 1}
    crossing = responses_exchange(
        input=[extra(function_tool()), developer_message("Be brief."), unknown, user_message()]
    )
    body = json.loads(crossing.body)
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
    ]
    assert tool_names(body) == ["f"]
    assert crossing.dropped == ["input[2] (brand_new)"]


def test_chatgpt_codex_proxy_9_additional_tools_are_no_message() -> None:
    """The item becomes a developer message, and its tools are lost."""
    body = accepted_body(extra(APPLY_PATCH), user_message(), tools=[function_tool()])
    assert message_roles(body) == ["user"]
    assert tool_names(body) == ["f", "apply_patch"]


def test_codex_relay_6_namespace_comes_back() -> None:
    """A call without its namespace: Codex answers `unsupported call`."""
    by = responses_exchange(tools=[TINY])
    [item] = call_items(call_delta(id="c", name="mcp__tiny__add", arguments="{}"), by=by)
    assert (item["name"], item["namespace"]) == ("add", "mcp__tiny")


def test_codex_33263_namespace_is_flattened_in_the_history_too() -> None:
    """Endpoints other than OpenAI's ignore namespaces, so that no MCP tool is left."""
    items = [user_message(), call_item("c", "add", namespace="mcp__tiny"), call_output("c")]
    body = accepted_body(*items, tools=[TINY])
    assert tool_names(body) == ["mcp__tiny__add"]
    [call_sent] = body["messages"][1]["tool_calls"]
    assert call_sent["function"]["name"] == "mcp__tiny__add"


@pytest.mark.parametrize("to", ["ollama", "lmstudio", "openrouter"])
def test_codex_26234_mcp_tools_of_local_servers(to: str) -> None:
    """MCP tools never reach Ollama, LM Studio and OpenRouter."""
    assert tool_names(accepted_body(user_message(), to=to, tools=[TINY])) == ["mcp__tiny__add"]


@bounded
async def test_codex_36942_dropped_tools_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Tools are dropped without a report."""
    fallback._known_losses.clear()
    tools = [TINY, {"type": "web_search"}, {"type": "image_generation"}]
    with caplog.at_level(logging.WARNING):
        async with relay(says()) as (above, port):
            for _ in range(2):
                answer = await ask_once(port, tools=tools)
                assert completed_text(answer) == "Hi."
                assert answer.headers["x-relay-dropped"] == (
                    "tools[web_search], tools[image_generation]"
                )
            await ask_once(port, tools=tools, model="another")
    assert tool_names(json.loads(above.seen[0].body)) == ["mcp__tiny__add"]
    reports = [message for message in caplog.messages if "dropped tools" in message]
    assert [report.partition(" ")[0] for report in reports] == ["gpt-5.5", "another"]  # once each
    assert all("dropped tools[web_search], tools[image_generation]" in line for line in reports)


@pytest.mark.parametrize(
    "written", ["mcp__tiny.add", "mcp__tiny-add", "mcp.tiny.add", "mcp__tiny/add"]
)
def test_codex_23186_any_joiner(written: str) -> None:
    """Models write the joined name with another joiner."""
    [item] = call_items(
        call_delta(id="c", name=written, arguments="{}"), by=responses_exchange(tools=[TINY])
    )
    assert (item["name"], item["namespace"]) == ("add", "mcp__tiny")


def test_vllm_46737_flattened_names_never_reach_codex() -> None:
    """The joined name reaches Codex as the provider wrote it."""
    by = responses_exchange(to=PROVIDERS["vllm"], tools=[TINY])
    chunks = call_delta(id="c", name="mcp__tiny__add", arguments="{}"), chunk("tool_calls")
    wire = by.feed(stream(*chunks)) + by.feed(b"")
    items = [event["item"] for event in events_of(wire) if "item" in event]
    assert [(item["name"], item["namespace"]) for item in items] == [("add", "mcp__tiny")] * 2
    assert b"mcp__tiny__add" not in wire


def test_vllm_49493_no_namespace_goes_up() -> None:
    """Models behind vLLM's harmony parser refuse the field."""
    items = [user_message(), call_item("c", "add", namespace="mcp__tiny"), call_output("c")]
    body = accepted_body(*items, to="vllm", tools=[TINY, CODE_MODE])
    assert '"namespace"' not in json.dumps(body)


def test_omlx_3371_every_kind_is_a_function() -> None:
    """Every tool that is not a function is dropped."""
    crossing = responses_exchange(tools=EVERY_KIND)
    assert tool_names(json.loads(crossing.body)) == THEIR_NAMES
    assert crossing.dropped == []


@pytest.mark.parametrize("streams", [True, False])
def test_cliproxyapi_5753_custom_tools_on_every_path(streams: bool) -> None:
    """One of two paths does not translate freeform tools."""
    by = responses_exchange(tools=[APPLY_PATCH], stream=streams)
    arguments = json.dumps({"input": PATCH})
    wire = stream(call_delta(id="c", name="apply_patch", arguments=arguments), chunk("tool_calls"))
    if streams:
        items = output(events_of(by.feed(wire) + by.feed(b"")))
    else:
        items = json.loads(by.whole_reply(wire).body)["output"]
    assert [(item["type"], item["input"]) for item in items] == [("custom_tool_call", PATCH)]


def test_copilot_api_242_patch_is_not_json() -> None:
    """apply_patch gets `{"input": …}` as its patch, also in the deltas."""
    by = responses_exchange(tools=[APPLY_PATCH])
    arguments = json.dumps({"input": PATCH})
    events = reply_events(
        call_delta(id="c", name="apply_patch", arguments=arguments), chunk("stop"), exchange=by
    )
    deltas = [e["delta"] for e in events if e["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == output(events)[0]["input"] == PATCH


def test_workbuddy2api_intl_12_custom_tools_stay() -> None:
    """The freeform tool is dropped: the reply is a 200, and nothing is edited."""
    crossing = responses_exchange(tools=[APPLY_PATCH])
    assert tool_names(json.loads(crossing.body)) == ["apply_patch"]
    assert crossing.dropped == []


def test_maxx_813_apply_patch_by_openrouter() -> None:
    """Without apply_patch the model "got dumb"."""
    body = accepted_body(user_message(), to="openrouter", tools=[APPLY_PATCH])
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
    """Models wrap the patch in the forms of their training, which the parser refuses."""
    assert patch_call(json.dumps(arguments))["input"].rstrip() == PATCH.rstrip()


def test_codex_33405_freeform_tools_of_code_mode() -> None:
    """Models of other providers cannot call freeform tools, so they can neither edit nor run."""
    by = responses_exchange(tools=[CODE_MODE])
    script = 'text("hi");\n'
    arguments = json.dumps({"input": script})
    [item] = call_items(call_delta(id="c", name="functions__exec", arguments=arguments), by=by)
    assert item["type"] == "custom_tool_call"
    assert (item["namespace"], item["name"], item["input"]) == ("functions", "exec", script)


def test_unsloth_9121_catalog_says_freeform() -> None:
    """`apply_patch_tool_type: "function"` is refused by Codex since 0.131: no catalog at all."""
    [model] = models_to_codex([CatalogModel("m")], DEFAULT_CATALOG_TEMPLATE, owner="x")["models"]
    assert model["apply_patch_tool_type"] == "freeform"


def test_llama_cpp_20156_type_of_every_tool_is_function() -> None:
    """`'type' of tool must be 'function'` (also llama.cpp#22389, #10635)."""
    tools = [*EVERY_KIND, {"type": "web_search"}, {"type": "image_generation"}]
    body = accepted_body(user_message(), to="llamacpp", tools=tools)
    assert {tool["type"] for tool in body["tools"]} == {"function"}
    assert tool_names(body) == THEIR_NAMES


def test_command_code_804_tool_search() -> None:
    """A tool search is answered with "unsupported", and its tools are never declared."""
    by = responses_exchange(tools=[{"type": "tool_search"}])
    searched = (
        call_delta(id="s", name="tool_search", arguments='{"query": "add"}'),
        chunk("tool_calls"),
    )
    [item] = output(reply_events(*searched, exchange=by))
    assert (item["type"], item["arguments"]) == ("tool_search_call", {"query": "add"})
    search_output = {
        "type": "tool_search_output",
        "call_id": "s",
        "execution": "client",
        "tools": [TINY],
    }
    body = accepted_body(user_message(), item, search_output, tools=[{"type": "tool_search"}])
    assert tool_names(body) == ["tool_search", "mcp__tiny__add"]
    assert "mcp__tiny__add" in body["messages"][-1]["content"]
