import pytest

from tests.translate.support import ROOT, sent
from translate import WrongTable, providers

OURS = (ROOT / "translate/providers/providers.toml").read_text()


def test_tables_of_the_user_lie_over_ours() -> None:
    made = providers(OURS, {"kimi": {"efforts": {"low": "high"}, "images": False}})["kimi"]
    assert made.efforts["low"] == "high" and made.efforts["none"] == "low"
    assert not made.images and not made.of("kimi-k2.7").images
    assert made.base_urls == providers(OURS)["kimi"].base_urls


def test_the_users_patterns_come_first() -> None:
    over = {"models": {"kimi-k2.7-mine": {"images": False}, "kimi-k2*": {"context_window": 7}}}
    made = providers(OURS, {"kimi": over})["kimi"]
    assert list(made.models)[:2] == ["kimi-k2.7-mine", "kimi-k2*"]
    assert made.of("kimi-k2.5").context_window == 7
    assert made.of("kimi-k2.5").efforts == {"*": {}}  # of ours, for kimi-k2*


def test_like_another_but_elsewhere() -> None:
    made = providers(OURS, {"mine": {"like": "kimi", "base_urls": ["http://h/v1"]}})["mine"]
    kimi = providers(OURS)["kimi"]
    assert made.reasoning_back == kimi.reasoning_back and made.subset == kimi.subset
    assert (made.title, made.base_urls, made.key_env, made.port) == (
        "mine",
        ("http://h/v1",),
        (),
        None,
    )
    assert "kimi-k2.7*" in made.models


def test_a_new_one_is_a_plain_server() -> None:
    made = providers(OURS, {"mine": {"title": "My box"}})["mine"]
    assert made.title == "My box" and made.images and not made.quirks


@pytest.mark.parametrize(
    ("over", "place"),
    [
        ({"mine": 5}, ("mine",)),
        ({"mine": {"like": "nobody"}}, ("mine", "like")),
        ({"kimi": {"quirks": ["x"]}}, ("kimi", "quirks")),
        ({"kimi": {"models": {"k*": {"quirks": ["x"]}}}}, ("kimi", "models", "k*", "quirks")),
        ({"kimi": {"models": 5}}, ("kimi", "models")),
        ({"kimi": {"models": {"k*": 5}}}, ("kimi", "models", "k*")),
        ({"kimi": {"efforts": 5}}, ("kimi", "efforts")),
    ],
)
def test_a_fault_has_its_place(over: dict[str, object], place: tuple[str, ...]) -> None:
    with pytest.raises(WrongTable) as caught:
        providers(OURS, over)
    assert caught.value.place == place
    assert str(caught.value).startswith(".".join(place))


def test_omits_reach_into_lists() -> None:
    over = {"x": {"omits": ["messages.content.detail", "tools.function.strict", "nothing.here"]}}
    to = providers(OURS, over)["x"]
    tool = {"type": "function", "name": "f", "parameters": {}, "strict": True}
    body = sent(to=to, tools=[tool])
    assert "strict" not in body["tools"][0]["function"]
    assert body["messages"][0]["content"] == "Hello."


def test_tools_that_are_off() -> None:
    over = {"x": {"tools_off": ["view_*", "mcp__x.read"]}}
    tools = [
        {"type": "function", "name": "view_image"},
        {"type": "function", "name": "read"},
        {"type": "namespace", "name": "mcp__x", "tools": [{"type": "function", "name": "read"}]},
        {"type": "tool_search"},
    ]
    for to in (
        providers(OURS, over)["x"],
        providers(OURS)["generic"].without((), ["view_*", "mcp*"]),
    ):
        names = [tool["function"]["name"] for tool in sent(to=to, tools=tools)["tools"]]
        assert names == ["read", "tool_search"]


def test_tools_that_are_off_are_off_where_namespaces_pass_whole() -> None:
    to = providers(OURS, {"openai": {"tools_off": ["mcp__x.read", "view_*"]}})["openai"]
    inner = [{"type": "function", "name": name} for name in ("read", "write")]
    scope = {"type": "namespace", "name": "mcp__x", "description": "", "tools": inner}
    more = {"type": "additional_tools", "tools": [scope, {"type": "function", "name": "view_a"}]}
    body = sent(to=to, tools=[scope], input=[more, {"role": "user", "content": "Hi."}])
    left = {**scope, "tools": inner[1:]}
    assert body["tools"] == [left]
    assert body["input"][0]["tools"] == [left]


def test_a_users_model_keeps_what_is_known_of_its_kind() -> None:
    over = {"models": {"kimi-k2.6": {"context_window": 262_144}}}
    made = providers(OURS, {"kimi": over})["kimi"].of("kimi-k2.6")
    assert made.context_window == 262_144
    assert made.efforts == providers(OURS)["kimi"].of("kimi-k2.6").efforts
