"""Names that Chat takes, and the way back from whatever a model makes of them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import Json, carry, provider, sent
from translate import BadRequest
from translate.tools.kinds import CUSTOM, FUNCTION, LOCAL_SHELL, TOOL_SEARCH
from translate.tools.tool_map import Entry, ToolMap


def function(name: str, **more: Any) -> Json:
    return {"type": "function", "name": name, **more}


def space(name: str, *tools: Json) -> Json:
    return {"type": "namespace", "name": name, "tools": list(tools)}


def declared(*tools: Json) -> ToolMap:
    made = ToolMap([])
    made.declare(list(tools))
    return made


def names(tools: ToolMap) -> list[str]:
    return [tool["function"]["name"] for tool in tools.declared]


ENTRIES = st.lists(
    st.builds(
        Entry,
        st.sampled_from([FUNCTION, CUSTOM]),
        st.text("ab_.- é", min_size=1, max_size=80),
        st.text("ab_.", max_size=70),
    ),
    unique=True,
)


@given(ENTRIES)
def test_any_names_are_legal_unique_stable_and_lead_back(entries: list[Entry]) -> None:
    tools, again = ToolMap([]), ToolMap([])
    made = [tools.name(entry) for entry in entries]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in made)
    assert len(set(made)) == len(entries)
    assert [tools.find(name) for name in made] == entries
    assert [again.name(entry) for entry in entries] == made == [tools.name(e) for e in entries]


def test_plain_name_is_kept_as_it_is() -> None:
    tools = declared(function("exec_command"), space("mcp__tiny", function("add")))
    assert names(tools) == ["exec_command", "mcp__tiny__add"]


def test_tool_declared_again_is_taken_once() -> None:
    tools = declared(function("a"), space("n", function("b")), function("a"))
    tools.declare([space("n", function("b", defer_loading=True))])
    assert names(tools) == ["a", "n__b"]


def test_kinds_of_one_name_stay_apart() -> None:
    tools = declared(function("exec"), {"type": "custom", "name": "exec"})
    one, two = names(tools)
    assert (tools.find(one).kind, tools.find(two).kind) == (FUNCTION, CUSTOM)


@pytest.mark.parametrize(
    "said",
    [
        "mcp__tiny__add", "mcp__tiny.add", "mcp__tiny-add", "mcp__tiny/add", "mcp.tiny.add",
        "MCP__Tiny__Add", "functions.mcp__tiny__add", "functions.mcp__tiny.add",
    ],
)  # fmt: skip
def test_loose_names_are_looked_up(said: str) -> None:
    tools = declared(space("mcp__tiny", function("add")), function("add_all"))
    assert tools.find(said) == Entry(FUNCTION, "add", "mcp__tiny")


@pytest.mark.parametrize("said", ["", "unheard_of", "工具"])
def test_unknown_name_is_passed_on_as_a_function(said: str) -> None:
    tools = declared(function("a"), function("天气"))
    assert tools.find(said) == Entry(FUNCTION, said)


@pytest.mark.parametrize("said", ["exec", "functions.exec", "functions.Exec", "tools__exec"])
def test_name_without_its_namespace_is_found_if_it_is_the_only_one(said: str) -> None:
    scoped = {"type": "custom", "name": "exec"}
    tools = declared(space("tools", scoped), function("wait"))
    assert tools.find(said) == Entry(CUSTOM, "exec", "tools")
    both = declared(space("tools", scoped), space("more", scoped))
    assert said.startswith("tools") or both.find(said).kind is FUNCTION


def test_ambiguous_loose_name_is_not_guessed() -> None:
    tools = declared(function("a_b"), function("a-b"))
    assert tools.find("ab") == Entry(FUNCTION, "ab")
    assert tools.find("a-b").name == "a-b"


def test_nameless_kinds_are_called_by_their_type() -> None:
    tools = declared({"type": "tool_search"}, {"type": "local_shell"})
    assert names(tools) == ["tool_search", "local_shell"]
    assert tools.find("tool_search").kind is TOOL_SEARCH
    assert tools.names([{"type": "local_shell"}, {"type": "web_search"}]) == ["local_shell"]


def test_search_without_parameters_gets_those_of_codex() -> None:
    [tool] = declared({"type": "tool_search"}).declared
    assert tool["function"]["parameters"]["required"] == ["query"]


@pytest.mark.parametrize(
    ("parameters", "declares"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"properties": {}}, {"type": "object", "properties": {}}),
        (
            {"type": "object", "properties": {"encrypted": {"type": "boolean", "encrypted": True}}},
            {"type": "object", "properties": {"encrypted": {"type": "boolean"}}},
        ),
        (
            {"type": "object", "anyOf": [{"encrypted": True}, {"encrypted": False}]},
            {"type": "object", "anyOf": [{}, {"encrypted": False}]},
        ),
        (
            {"properties": {"encrypted": True, "properties": {"properties": {"encrypted": True}}}},
            {
                "type": "object",
                "properties": {
                    "encrypted": True,
                    "properties": {"properties": {"encrypted": True}},
                },
            },
        ),
        (
            {"properties": {"const": {"encrypted": True}}, "default": {"encrypted": True}},
            {"type": "object", "properties": {"const": {}}, "default": {"encrypted": True}},
        ),
    ],
)
def test_schema_is_an_objects_without_marks(parameters: Json | None, declares: Json) -> None:
    [tool] = declared(function("a", parameters=parameters)).declared
    assert tool["function"]["parameters"] == declares


@pytest.mark.parametrize(("strict", "kept"), [(True, True), (False, None), (None, None)])
def test_strict_is_kept_where_it_says_something(strict: bool | None, kept: bool | None) -> None:
    [tool] = declared(function("a", strict=strict)).declared
    assert tool["function"].get("strict") == kept


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ({"description": "Edits."}, "Edits."),
        ({"format": {"type": "text"}}, ""),
        ({"format": None, "description": None}, ""),
        (
            {"format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
            "`input` must match this regex grammar:\na+",
        ),
    ],
)
def test_grammar_is_kept_in_the_description(tool: Json, told: str) -> None:
    [made] = declared({"type": "custom", "name": "p", **tool}).declared
    assert made["function"]["description"] == told


TOOLS = [function("a"), {"type": "custom", "name": "p"}, space("n", function("b"))]


@pytest.mark.parametrize(
    ("choice", "chosen"),
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
def test_choice_of_a_declared_tool_crosses(choice: Any, chosen: Any) -> None:
    crossing = carry(tools=TOOLS, tool_choice=choice)
    assert sent(tools=TOOLS, tool_choice=choice).get("tool_choice") == chosen
    assert crossing.dropped == []


@pytest.mark.parametrize(
    "choice", [{"type": "function", "name": "x"}, {"type": "web_search"}, {"type": "function"}, {}]
)
def test_choice_of_anything_else_is_reported_once(choice: Json) -> None:
    crossing = carry(tools=TOOLS, tool_choice=choice)
    assert crossing.dropped == [f"tool_choice[{choice.get('type')}]"]
    assert "tool_choice" not in sent(tools=TOOLS, tool_choice=choice)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "a"}, "none"])
def test_choice_without_tools_means_nothing(choice: Any) -> None:
    crossing = carry(tools=[], tool_choice=choice, parallel_tool_calls=False)
    assert crossing.dropped == []
    assert b"tool" not in crossing.body


@pytest.mark.parametrize(
    ("mode", "allowed", "left", "chosen"),
    [
        ("required", [{"type": "function", "name": "a"}], ["a"], "required"),
        ("auto", [{"type": "custom", "name": "p"}, {"type": "mcp"}], ["p"], None),
        ("required", [{"type": "function", "name": "x"}], None, None),
        ("auto", None, None, None),
    ],
)
def test_allowed_tools_narrow_what_is_declared(
    mode: str, allowed: list[Json] | None, left: list[str] | None, chosen: str | None
) -> None:
    choice = {"type": "allowed_tools", "mode": mode, "tools": allowed}
    body = sent(tools=TOOLS, tool_choice=choice)
    made = [tool["function"]["name"] for tool in body["tools"]] if "tools" in body else None
    assert (made, body.get("tool_choice")) == (left, chosen)
    assert carry(tools=TOOLS, tool_choice=choice).dropped == []


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"type": "function"}], "tools[0].name"),
        ([function("a"), {"type": "custom", "name": ""}], "tools[1].name"),
        ([space("n", {"type": "function"})], "tools[0].tools[0].name"),
        ([{"type": "namespace", "name": "n", "tools": 5}], "tools[0].tools"),
        ([{"type": "namespace", "name": "n", "tools": [5]}], "tools[0].tools[0]"),
        ([{"type": "function", "name": 5}], "tools[0].name"),
        ([function("a", parameters=[])], "tools[0].parameters"),
        ([{"type": "custom", "name": "p", "format": "text"}], "tools[0].format"),
    ],
)
def test_bad_tool_is_named(tools: list[Any], param: str) -> None:
    with pytest.raises(BadRequest) as error:
        carry(tools=tools)
    assert error.value.param == param and str(error.value).startswith(param)


def test_tools_come_in_three_places() -> None:
    body = sent(
        tools=[function("a")],
        input=[
            {"type": "additional_tools", "role": "developer", "tools": [function("b")]},
            {"role": "user", "content": "Go."},
            {"type": "tool_search_call", "call_id": "s", "arguments": {"query": "c"}},
            {"type": "tool_search_output", "call_id": "s", "tools": [space("n", function("c"))]},
        ],
    )
    assert [tool["function"]["name"] for tool in body["tools"]] == ["a", "b", "n__c"]


def test_hosted_tools_are_reported_by_type() -> None:
    assert carry(tools=[{"type": "web_search"}, function("a")]).dropped == ["tools[web_search]"]


@pytest.mark.parametrize(
    ("arguments", "carried"),
    [
        ('{"a":1}', '{"a":1}'),
        ({"a": 1}, '{"a":1}'),
        (None, "{}"),
        ("", "{}"),
        ("oops", '{"arguments":"oops"}'),
        ("[1]", '{"arguments":"[1]"}'),
    ],
)
def test_history_holds_objects_only(arguments: Any, carried: str) -> None:
    item = {"type": "function_call", "name": "a", "call_id": "c", "arguments": arguments}
    assert ToolMap([]).to_chat(item)["function"]["arguments"] == carried


@pytest.mark.parametrize(
    ("kind", "arguments", "payload"),
    [
        (CUSTOM, '{"input":"a"}', {"input": "a"}),
        (CUSTOM, '{"patch":"a"}', {"input": "a"}),
        (CUSTOM, '"a"', {"input": "a"}),
        (CUSTOM, "a\nb", {"input": "a\nb"}),
        (CUSTOM, '{"a":"b","c":"d"}', {"input": '{"a":"b","c":"d"}'}),
        (CUSTOM, '{"input":5}', {"input": '{"input":5}'}),
        (CUSTOM, "[1]", {"input": "[1]"}),
        (FUNCTION, "", {"arguments": "{}"}),
        (TOOL_SEARCH, "", {"execution": "client", "arguments": {}}),
        (TOOL_SEARCH, "oven", {"execution": "client", "arguments": {"query": "oven"}}),
        (TOOL_SEARCH, "[1]", {"execution": "client", "arguments": {"query": "[1]"}}),
        (
            LOCAL_SHELL,
            "ls -l",
            {"action": {"type": "exec", "command": ["sh", "-c", "ls -l"], "env": {}}},
        ),
        (LOCAL_SHELL, "", {"action": {"type": "exec", "command": [], "env": {}}}),
    ],
)
def test_odd_arguments_make_the_best_of_it(kind: Any, arguments: str, payload: Json) -> None:
    assert kind.payload(arguments) == payload


LONG = "Bakes bread. " * 20


def test_long_description_moves_whole_to_the_leading_instructions() -> None:
    tools = [function("bake", description=LONG), function("eat", description="Eats.")]
    body = sent(to=provider(description_limit=90), instructions="Be brief.", tools=tools)
    lead, asked = body["messages"]
    assert lead["content"] == f"Be brief.\n\n# The tool bake\n\n{LONG}"
    assert asked["content"] == "Hello."
    short, untouched = (tool["function"]["description"] for tool in body["tools"])
    assert len(short) == 90 and short.startswith("Bakes bread. Bakes")
    assert short.endswith("(whole in the instructions, under “The tool bake”)")
    assert untouched == "Eats."
    assert body == sent(to=provider(description_limit=90), instructions="Be brief.", tools=tools)


@pytest.mark.parametrize("limit", [1, 20])
def test_no_limit_of_descriptions_is_too_small(limit: int) -> None:
    body = sent(to=provider(description_limit=limit), tools=[function("bake", description=LONG)])
    assert len(body["tools"][0]["function"]["description"]) == limit
    assert body["messages"][0]["content"].endswith(LONG)


def test_description_as_long_as_the_limit_stays() -> None:
    body = sent(to=provider(description_limit=5), tools=[function("eat", description="Eats.")])
    assert body["tools"][0]["function"]["description"] == "Eats."
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_more_tools_than_the_provider_takes_are_refused_in_clear_words() -> None:
    few = provider(tools_limit=2)
    tools = [function(name) for name in "abc"]
    assert len(sent(to=few, tools=tools[:2])["tools"]) == 2
    with pytest.raises(BadRequest, match="^tools: 3, and Odd takes 2$") as refused:
        carry(to=few, tools=tools)
    assert refused.value.param == "tools"
