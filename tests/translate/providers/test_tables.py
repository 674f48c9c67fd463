"""Provider tables are merged with the user's, and checked."""

import pytest

from tests.translate.support import ROOT, sent_body
from translate import InvalidTable, load_providers

BUILT_IN = (ROOT / "translate/providers/providers.toml").read_text()


def test_tables_of_the_user_lie_over_the_built_in_ones() -> None:
    provider = load_providers(BUILT_IN, {"kimi": {"efforts": {"low": "high"}, "images": False}})[
        "kimi"
    ]
    assert provider.efforts["low"] == "high" and provider.efforts["none"] == "low"
    assert not provider.images and not provider.for_model("kimi-k2.7").images
    assert provider.base_urls == load_providers(BUILT_IN)["kimi"].base_urls


def test_the_users_patterns_come_first() -> None:
    user_tables = {
        "models": {"kimi-k2.7-mine": {"images": False}, "kimi-k2*": {"context_window": 7}}
    }
    provider = load_providers(BUILT_IN, {"kimi": user_tables})["kimi"]
    assert list(provider.models)[:2] == ["kimi-k2.7-mine", "kimi-k2*"]
    assert provider.for_model("kimi-k2.5").context_window == 7
    assert provider.for_model("kimi-k2.5").efforts == {"*": {}}  # from the built-in kimi-k2*


def test_table_like_another_inherits_all_but_its_location() -> None:
    provider = load_providers(BUILT_IN, {"mine": {"like": "kimi", "base_urls": ["http://h/v1"]}})[
        "mine"
    ]
    kimi = load_providers(BUILT_IN)["kimi"]
    assert provider.reasoning_back == kimi.reasoning_back and provider.subset == kimi.subset
    assert (provider.title, provider.base_urls, provider.key_env, provider.port) == (
        "mine",
        ("http://h/v1",),
        (),
        None,
    )
    assert "kimi-k2.7*" in provider.models


def test_new_table_is_a_plain_server() -> None:
    provider = load_providers(BUILT_IN, {"mine": {"title": "My box"}})["mine"]
    assert provider.title == "My box" and provider.images and not provider.quirks


@pytest.mark.parametrize(
    ("user_tables", "path"),
    [
        ({"mine": 5}, ("mine",)),
        ({"mine": {"like": "nobody"}}, ("mine", "like")),
        ({"mine": {"like": ["kimi"]}}, ("mine", "like")),
        ({"kimi": {"quirks": ["x"]}}, ("kimi", "quirks")),
        ({"kimi": {"quirks_off": ["x"]}}, ("kimi", "quirks_off")),
        ({"kimi": {"models": {"k*": {"quirks": ["x"]}}}}, ("kimi", "models", "k*", "quirks")),
        ({"kimi": {"models": 5}}, ("kimi", "models")),
        ({"kimi": {"models": {"k*": 5}}}, ("kimi", "models", "k*")),
        ({"kimi": {"efforts": 5}}, ("kimi", "efforts")),
    ],
)
def test_mistake_has_its_path(user_tables: dict[str, object], path: tuple[str, ...]) -> None:
    with pytest.raises(InvalidTable) as error:
        load_providers(BUILT_IN, user_tables)
    assert error.value.key_path == path
    assert str(error.value).startswith(".".join(path))


def test_omits_reach_into_lists() -> None:
    user_tables = {
        "x": {"omits": ["messages.content.detail", "tools.function.strict", "nothing.here"]}
    }
    provider = load_providers(BUILT_IN, user_tables)["x"]
    tool = {"type": "function", "name": "f", "parameters": {}, "strict": True}
    body = sent_body(to=provider, tools=[tool])
    assert "strict" not in body["tools"][0]["function"]
    assert body["messages"][0]["content"] == "Hello."


def test_tools_that_are_off_are_not_sent() -> None:
    user_tables = {"x": {"tools_off": ["view_*", "mcp__x.read"]}}
    tools = [
        {"type": "function", "name": "view_image"},
        {"type": "function", "name": "read"},
        {"type": "namespace", "name": "mcp__x", "tools": [{"type": "function", "name": "read"}]},
        {"type": "tool_search"},
    ]
    for provider in (
        load_providers(BUILT_IN, user_tables)["x"],
        load_providers(BUILT_IN)["generic"].switch_off((), ["view_*", "mcp*"]),
    ):
        names = [tool["function"]["name"] for tool in sent_body(to=provider, tools=tools)["tools"]]
        assert names == ["read", "tool_search"]


def test_tools_that_are_off_are_taken_out_of_namespaces_that_pass_whole() -> None:
    provider = load_providers(BUILT_IN, {"openai": {"tools_off": ["mcp__x.read", "view_*"]}})[
        "openai"
    ]
    inner = [{"type": "function", "name": name} for name in ("read", "write")]
    scope = {"type": "namespace", "name": "mcp__x", "description": "", "tools": inner}
    input_item = {
        "type": "additional_tools",
        "tools": [scope, {"type": "function", "name": "view_a"}],
    }
    body = sent_body(
        to=provider, tools=[scope], input=[input_item, {"role": "user", "content": "Hi."}]
    )
    remaining = {**scope, "tools": inner[1:]}
    assert body["tools"] == [remaining]
    assert body["input"][0]["tools"] == [remaining]


def test_users_model_inherits_the_pattern_that_matches_it() -> None:
    user_tables = {"models": {"kimi-k2.6": {"context_window": 262_144}}}
    provider = load_providers(BUILT_IN, {"kimi": user_tables})["kimi"].for_model("kimi-k2.6")
    assert provider.context_window == 262_144
    assert provider.efforts == load_providers(BUILT_IN)["kimi"].for_model("kimi-k2.6").efforts
