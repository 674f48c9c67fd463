"""`web_search` becomes the provider's own search, where the table has one."""

from typing import Any

import pytest

from tests.translate.support import Json, carry, provider, sent

HAS = provider(
    web_search={
        "tool": {"type": "their_search", "parameters": {"engine": "auto"}},
        "fields": {"search_language": "en"},
        "options": {
            "filters.allowed_domains": "parameters.only.domains",
            "search_context_size": "size",
        },
    }
)
BY_FIELD = provider(web_search={"fields": {"enable_search": True}})
LIVE = {"type": "web_search", "external_web_access": True}
RUN = {"type": "function", "name": "run", "parameters": {"type": "object"}}
THEIRS = {"type": "their_search", "parameters": {"engine": "auto"}}


def searched(*tools: Json, **fields: Any) -> list[Json]:
    made: list[Json] = sent(to=HAS, tools=list(tools), **fields).get("tools", [])
    return [tool for tool in made if tool["type"] != "function"]


@pytest.mark.parametrize(
    "kind",
    ["web_search", "web_search_preview", "web_search_2025_08_26", "web_search_preview_2025_03_11"],
)
def test_every_name_of_the_search(kind: str) -> None:
    body = sent(to=HAS, tools=[RUN, {"type": kind}])
    assert [tool["type"] for tool in body["tools"]] == ["function", "their_search"]
    assert body["search_language"] == "en"


def test_search_by_a_field_alone() -> None:
    body = sent(to=BY_FIELD, tools=[LIVE])
    assert body["enable_search"] is True and "tools" not in body


def test_options_go_to_their_places_and_the_rest_is_reported() -> None:
    tool = LIVE | {
        "filters": {"allowed_domains": ["a.example"], "blocked_domains": ["b.example"]},
        "search_context_size": "low",
        "user_location": {"country": "AT"},
        "search_content_types": [],
    }
    made = carry(to=HAS, tools=[tool])
    assert made.dropped == [
        "tools[web_search].filters.blocked_domains",
        "tools[web_search].user_location",
    ]
    [found] = searched(tool)
    only = {"engine": "auto", "only": {"domains": ["a.example"]}}
    assert found == {"type": "their_search", "size": "low", "parameters": only}
    assert searched(LIVE) == [THEIRS]  # the table is as it was


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search", "external_web_access": False},  # OpenAI's own cache
        {"type": "web_searching"},
        {"type": "image_generation"},
    ],
)
def test_other_hosted_tools_are_reported(tool: Json) -> None:
    made = carry(to=HAS, tools=[tool, RUN])
    assert made.dropped == [f"tools[{tool['type']}]"]
    assert searched(tool, RUN) == []


def test_search_is_declared_once_and_stays_though_other_tools_follow() -> None:
    assert searched(LIVE, {"type": "web_search"}, {"type": "image_generation"}) == [THEIRS]


@pytest.mark.parametrize(
    ("choice", "stays"),
    [
        ("auto", True),
        ("none", False),
        ("required", True),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "run"}]}, False),
        ({"type": "allowed_tools", "tools": [{"type": "web_search"}]}, True),
    ],
)
def test_search_is_chosen_like_any_tool(choice: str | Json, stays: bool) -> None:
    assert bool(searched(LIVE, RUN, tool_choice=choice)) is stays


def test_no_search_where_none_is_known() -> None:
    assert carry(tools=[LIVE]).dropped == ["tools[web_search]"]
