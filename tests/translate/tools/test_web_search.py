"""`web_search` becomes the provider's own search where its table has one."""

from typing import Any

import pytest

from tests.translate.support import Json, provider, responses_exchange, sent_body

SEARCHING = provider(
    web_search={
        "tool": {"type": "their_search", "parameters": {"engine": "auto"}},
        "fields": {"search_language": "en"},
        "options": {
            "filters.allowed_domains": "parameters.only.domains",
            "search_context_size": "size",
        },
    }
)
SEARCHING_BY_FIELD = provider(web_search={"fields": {"enable_search": True}})
LIVE = {"type": "web_search", "external_web_access": True}
RUN = {"type": "function", "name": "run", "parameters": {"type": "object"}}
PROVIDER_SEARCH = {"type": "their_search", "parameters": {"engine": "auto"}}


def declared_searches(*tools: Json, **fields: Any) -> list[Json]:
    declared: list[Json] = sent_body(to=SEARCHING, tools=list(tools), **fields).get("tools", [])
    return [tool for tool in declared if tool["type"] != "function"]


@pytest.mark.parametrize(
    "kind",
    ["web_search", "web_search_preview", "web_search_2025_08_26", "web_search_preview_2025_03_11"],
)
def test_search_is_recognised_by_every_name(kind: str) -> None:
    body = sent_body(to=SEARCHING, tools=[RUN, {"type": kind}])
    assert [tool["type"] for tool in body["tools"]] == ["function", "their_search"]
    assert body["search_language"] == "en"


def test_search_may_be_a_field_without_a_tool() -> None:
    body = sent_body(to=SEARCHING_BY_FIELD, tools=[LIVE])
    assert body["enable_search"] is True and "tools" not in body


def test_options_have_the_providers_names_and_others_are_reported() -> None:
    tool = LIVE | {
        "filters": {"allowed_domains": ["a.example"], "blocked_domains": ["b.example"]},
        "search_context_size": "low",
        "user_location": {"country": "AT"},
        "search_content_types": [],
    }
    exchange = responses_exchange(to=SEARCHING, tools=[tool])
    assert exchange.dropped == [
        "tools[web_search].filters.blocked_domains",
        "tools[web_search].user_location",
    ]
    parameters = {"engine": "auto", "only": {"domains": ["a.example"]}}
    search = {"type": "their_search", "size": "low", "parameters": parameters}
    assert declared_searches(tool) == [search]
    assert declared_searches(LIVE) == [PROVIDER_SEARCH]  # the table has not changed


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search", "external_web_access": False},  # OpenAI's own cache
        {"type": "web_searching"},
        {"type": "image_generation"},
    ],
)
def test_other_hosted_tools_are_reported(tool: Json) -> None:
    exchange = responses_exchange(to=SEARCHING, tools=[tool, RUN])
    assert exchange.dropped == [f"tools[{tool['type']}]"]
    assert declared_searches(tool, RUN) == []


def test_search_is_declared_once_whatever_tools_follow() -> None:
    assert declared_searches(LIVE, {"type": "web_search"}, {"type": "image_generation"}) == [
        PROVIDER_SEARCH
    ]


@pytest.mark.parametrize(
    ("choice", "is_sent"),
    [
        ("auto", True),
        ("none", False),
        ("required", True),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "run"}]}, False),
        ({"type": "allowed_tools", "tools": [{"type": "web_search"}]}, True),
    ],
)
def test_search_follows_the_tool_choice(choice: str | Json, is_sent: bool) -> None:
    assert bool(declared_searches(LIVE, RUN, tool_choice=choice)) is is_sent


def test_search_is_reported_where_the_provider_has_none() -> None:
    assert responses_exchange(tools=[LIVE]).dropped == ["tools[web_search]"]
