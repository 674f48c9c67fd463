"""Tools as declared to Chat, and their names, which are found again even if a model alters them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import Json, provider, responses_exchange, sent_body
from translate import BadRequest
from translate.tools.kinds import CUSTOM, FUNCTION, TOOL_SEARCH
from translate.tools.tool_map import ToolEntry, ToolMap


def function(name: str, **fields: Any) -> Json:
    return {"type": "function", "name": name, **fields}


def namespace(name: str, *tools: Json) -> Json:
    return {"type": "namespace", "name": name, "tools": list(tools)}


def map_of(*tools: Json) -> ToolMap:
    tool_map = ToolMap()
    tool_map.declare_tools(list(tools))
    return tool_map


def chat_names(tools: ToolMap) -> list[str]:
    return [tool["function"]["name"] for tool in tools.functions]


ENTRIES = st.lists(
    st.builds(
        ToolEntry,
        st.sampled_from([FUNCTION, CUSTOM]),
        st.text("ab_.- é", min_size=1, max_size=80),
        st.text("ab_.", max_size=70),
    ),
    unique=True,
)


@given(ENTRIES)
def test_chat_names_are_legal_unique_stable_and_found_again(entries: list[ToolEntry]) -> None:
    tools, other_map = ToolMap(), ToolMap()
    names = [tools.chat_name(entry) for entry in entries]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    assert len(set(names)) == len(entries)
    assert [tools.find_entry(name) for name in names] == entries
    assert [tools.chat_name(entry) for entry in entries] == names
    assert [other_map.chat_name(entry) for entry in entries] == names


def test_legal_name_stays_and_a_namespace_is_joined() -> None:
    tools = map_of(function("exec_command"), namespace("mcp__tiny", function("add")))
    assert chat_names(tools) == ["exec_command", "mcp__tiny__add"]


def test_repeated_tool_is_declared_once() -> None:
    tools = map_of(function("a"), namespace("n", function("b")), function("a"))
    tools.declare_tools([namespace("n", function("b", defer_loading=True))])
    assert chat_names(tools) == ["a", "n__b"]


def test_kinds_of_one_name_stay_apart() -> None:
    tools = map_of(function("exec"), {"type": "custom", "name": "exec"})
    assert [tools.find_entry(name).kind for name in chat_names(tools)] == [FUNCTION, CUSTOM]


@pytest.mark.parametrize(
    "written",
    [
        "mcp__tiny__add", "mcp__tiny.add", "mcp__tiny-add", "mcp__tiny/add", "mcp.tiny.add",
        "MCP__Tiny__Add", "functions.mcp__tiny__add", "functions.mcp__tiny.add",
    ],
)  # fmt: skip
def test_altered_name_is_found(written: str) -> None:
    tools = map_of(namespace("mcp__tiny", function("add")), function("add_all"))
    assert tools.find_entry(written) == ToolEntry(FUNCTION, "add", "mcp__tiny")


@pytest.mark.parametrize("written", ["", "unheard_of", "工具"])
def test_unknown_name_passes_as_a_function(written: str) -> None:
    tools = map_of(function("a"), function("天气"))
    assert tools.find_entry(written) == ToolEntry(FUNCTION, written)


@pytest.mark.parametrize("written", ["exec", "functions.exec", "functions.Exec", "tools__exec"])
def test_name_without_its_namespace_is_found_if_it_is_unique(written: str) -> None:
    scoped = {"type": "custom", "name": "exec"}
    tools = map_of(namespace("tools", scoped), function("wait"))
    assert tools.find_entry(written) == ToolEntry(CUSTOM, "exec", "tools")
    ambiguous = map_of(namespace("tools", scoped), namespace("other", scoped))
    assert written.startswith("tools") or ambiguous.find_entry(written).kind is FUNCTION


def test_ambiguous_name_is_not_guessed() -> None:
    tools = map_of(function("a_b"), function("a-b"))
    assert tools.find_entry("ab") == ToolEntry(FUNCTION, "ab")
    assert tools.find_entry("a-b").name == "a-b"


def test_tool_without_a_name_is_named_by_its_type() -> None:
    tools = map_of({"type": "tool_search"}, {"type": "local_shell"})
    assert chat_names(tools) == ["tool_search", "local_shell"]
    assert tools.find_entry("tool_search").kind is TOOL_SEARCH
    assert tools.chat_names([{"type": "local_shell"}, {"type": "web_search"}]) == ["local_shell"]


@pytest.mark.parametrize(("strict", "sent"), [(True, True), (False, None), (None, None)])
def test_strict_is_sent_only_where_it_is_true(strict: bool | None, sent: bool | None) -> None:
    [tool] = map_of(function("a", strict=strict)).functions
    assert tool["function"].get("strict") == sent


TOOLS = [function("a"), {"type": "custom", "name": "p"}, namespace("n", function("b"))]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", None),
        (None, None),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "a"}, {"type": "function", "function": {"name": "a"}}),
        ({"type": "custom", "name": "p"}, {"type": "function", "function": {"name": "p"}}),
        (
            {"type": "function", "name": "b", "namespace": "n"},
            {"type": "function", "function": {"name": "n__b"}},
        ),
    ],
)
def test_choice_of_a_declared_tool_is_translated(choice: Any, expected: Any) -> None:
    exchange = responses_exchange(tools=TOOLS, tool_choice=choice)
    assert sent_body(tools=TOOLS, tool_choice=choice).get("tool_choice") == expected
    assert exchange.dropped == []


@pytest.mark.parametrize(
    "choice", [{"type": "function", "name": "x"}, {"type": "web_search"}, {"type": "function"}, {}]
)
def test_choice_of_any_other_tool_is_reported_once(choice: Json) -> None:
    exchange = responses_exchange(tools=TOOLS, tool_choice=choice)
    assert exchange.dropped == [f"tool_choice[{choice.get('type')}]"]
    assert "tool_choice" not in sent_body(tools=TOOLS, tool_choice=choice)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "a"}, "none"])
def test_choice_without_tools_is_neither_sent_nor_reported(choice: Any) -> None:
    exchange = responses_exchange(tools=[], tool_choice=choice, parallel_tool_calls=False)
    assert exchange.dropped == []
    assert b"tool" not in exchange.body


@pytest.mark.parametrize(
    ("mode", "allowed", "declared", "choice_sent"),
    [
        ("required", [{"type": "function", "name": "a"}], ["a"], "required"),
        ("auto", [{"type": "custom", "name": "p"}, {"type": "mcp"}], ["p"], None),
        ("required", [{"type": "function", "name": "x"}], None, None),
        ("auto", None, None, None),
    ],
)
def test_only_allowed_tools_are_declared(
    mode: str, allowed: list[Json] | None, declared: list[str] | None, choice_sent: str | None
) -> None:
    choice = {"type": "allowed_tools", "mode": mode, "tools": allowed}
    body = sent_body(tools=TOOLS, tool_choice=choice)
    names = [tool["function"]["name"] for tool in body["tools"]] if "tools" in body else None
    assert (names, body.get("tool_choice")) == (declared, choice_sent)
    assert responses_exchange(tools=TOOLS, tool_choice=choice).dropped == []


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"type": "function"}], "tools[0].name"),
        ([function("a"), {"type": "custom", "name": ""}], "tools[1].name"),
        ([namespace("n", {"type": "function"})], "tools[0].tools[0].name"),
        ([{"type": "namespace", "name": "n", "tools": 5}], "tools[0].tools"),
        ([{"type": "namespace", "name": "n", "tools": [5]}], "tools[0].tools[0]"),
        ([{"type": "function", "name": 5}], "tools[0].name"),
        ([function("a", parameters=[])], "tools[0].parameters"),
        ([{"type": "custom", "name": "p", "format": "text"}], "tools[0].format"),
    ],
)
def test_malformed_tool_is_refused_with_its_path(tools: list[Any], param: str) -> None:
    with pytest.raises(BadRequest) as error:
        responses_exchange(tools=tools)
    assert error.value.param == param and str(error.value).startswith(param)


def test_tools_come_from_the_request_from_items_and_from_searches() -> None:
    body = sent_body(
        tools=[function("a")],
        input=[
            {"type": "additional_tools", "role": "developer", "tools": [function("b")]},
            {"role": "user", "content": "Go."},
            {"type": "tool_search_call", "call_id": "s", "arguments": {"query": "c"}},
            {
                "type": "tool_search_output",
                "call_id": "s",
                "tools": [namespace("n", function("c"))],
            },
        ],
    )
    assert [tool["function"]["name"] for tool in body["tools"]] == ["a", "b", "n__c"]


def test_hosted_tool_is_reported_by_its_type() -> None:
    assert responses_exchange(tools=[{"type": "web_search"}, function("a")]).dropped == [
        "tools[web_search]"
    ]


LONG = "Bakes bread. " * 20


def test_long_description_moves_whole_to_the_leading_instructions() -> None:
    tools = [function("bake", description=LONG), function("eat", description="Eats.")]
    body = sent_body(to=provider(description_limit=90), instructions="Be brief.", tools=tools)
    instructions, prompt = body["messages"]
    assert instructions["content"] == f"Be brief.\n\n# The tool bake\n\n{LONG}"
    assert prompt["content"] == "Hello."
    short, untouched = (tool["function"]["description"] for tool in body["tools"])
    assert len(short) == 90 and short.startswith("Bakes bread. Bakes")
    assert short.endswith("(whole in the instructions, under “The tool bake”)")
    assert untouched == "Eats."
    assert body == sent_body(
        to=provider(description_limit=90), instructions="Be brief.", tools=tools
    )


@pytest.mark.parametrize("limit", [1, 20])
def test_description_limit_may_be_of_any_size(limit: int) -> None:
    body = sent_body(
        to=provider(description_limit=limit), tools=[function("bake", description=LONG)]
    )
    assert len(body["tools"][0]["function"]["description"]) == limit
    assert body["messages"][0]["content"].endswith(LONG)


def test_description_of_exactly_the_limit_stays() -> None:
    body = sent_body(to=provider(description_limit=5), tools=[function("eat", description="Eats.")])
    assert body["tools"][0]["function"]["description"] == "Eats."
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_more_tools_than_the_provider_accepts_are_refused() -> None:
    limited = provider(tools_limit=2)
    tools = [function(name) for name in "abc"]
    assert len(sent_body(to=limited, tools=tools[:2])["tools"]) == 2
    with pytest.raises(BadRequest, match="^tools: 3, and Odd takes 2$") as refused:
        responses_exchange(to=limited, tools=tools)
    assert refused.value.param == "tools"
