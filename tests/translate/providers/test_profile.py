"""Provider profiles: the built-in tables are consistent, and errors name the path of a mistake."""

import pytest

from tests.translate.support import PROVIDERS, ROOT, provider
from translate import QUIRKS, Provider, load_providers
from translate.providers.profile import COMMON_PARAMETERS


def test_table_without_fields_describes_a_plain_server() -> None:
    [profile] = load_providers('[mine]\ntitle = "Mine"').values()
    assert (profile.name, profile.title, profile.dialect, profile.reasoning_back) == (
        *("mine", "Mine", "chat", "echo"),
    )


@pytest.mark.parametrize(
    ("toml", "path"),
    [
        ('[mine]\ntitle = "M"\nsecret = "x"', "^mine.secret: "),
        ("[mine]", "^mine.title: "),
        ('[mine]\ntitle = "M"\ndialect = "morse"', "^mine.dialect: "),
        ('[mine]\ntitle = "M"\nreasoning_back = "maybe"', "^mine.reasoning_back: "),
        ("title =", "Invalid value"),
        ("title = 5", "^title: "),
    ],
)
def test_wrong_table_is_a_value_error_that_names_the_field(toml: str, path: str) -> None:
    with pytest.raises(ValueError, match=path):
        load_providers(toml)


def test_every_provider_has_a_title() -> None:
    assert {"generic", "demo", "openai", "deepseek"} <= PROVIDERS.keys()
    assert all(upstream.title and upstream.name == name for name, upstream in PROVIDERS.items())
    for url in (url for upstream in PROVIDERS.values() for url in upstream.base_urls):
        assert url.startswith(("https://", "http://localhost:")) and not url.endswith("/")


REAL = sorted(PROVIDERS.keys() - {"generic", "demo"})


@pytest.mark.parametrize("name", REAL)
def test_every_provider_has_its_cases(name: str) -> None:
    """A tool loop with thinking and parallel calls, and an error in its own form."""
    folders = [path for path in (ROOT / "tests/cases" / name).iterdir() if path.is_dir()]
    assert (ROOT / "tests/cases" / name / "tool_loop") in folders
    assert any(path.name.startswith("error_") for path in folders)


def all_profiles(upstream: Provider) -> list[Provider]:
    return [upstream, *upstream.models.values()]


@pytest.mark.parametrize("upstream", PROVIDERS.values(), ids=PROVIDERS)
def test_every_table_is_consistent(upstream: Provider) -> None:
    for profile in all_profiles(upstream):
        assert set(profile.quirks) <= QUIRKS
        assert profile.refuses <= COMMON_PARAMETERS and not profile.takes & COMMON_PARAMETERS
        assert profile.name == upstream.name and not profile.models or profile is upstream
        assert all(pattern == pattern.lower() for pattern in profile.models)


@pytest.mark.parametrize(
    ("name", "model", "effort"),
    [
        ("glm", "GLM-4.6", {"thinking": {"type": "enabled", "clear_thinking": False}}),
        ("glm", "zai-org/glm-4.5-air", {"thinking": {"type": "enabled"}}),
        ("glm", "glm-4-plus", {}),
        ("kimi", "kimi-k2.5", {"thinking": {"type": "enabled"}}),
        ("groq", "openai/gpt-oss-20b", {"*": "unused"}),
    ],
)
def test_model_has_its_own_layer(name: str, model: str, effort: dict[str, str]) -> None:
    profile = PROVIDERS[name].for_model(model)
    assert profile.efforts.get("*", {"*": "unused"}) == effort


def test_layer_of_models_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"^mine.models.m\*.images: "):
        load_providers('[mine]\ntitle = "M"\n[mine.models."m*"]\nimages = "maybe"')
    with pytest.raises(ValueError, match="^mine.models: "):
        load_providers('[mine]\ntitle = "M"\nmodels = 5')
    with pytest.raises(ValueError, match=r"^mine.models.m\*: "):
        load_providers('[mine]\ntitle = "M"\nmodels = {"m*" = 5}')


def test_quirks_are_switched_off_for_models_too() -> None:
    upstream = provider(quirks=["dsml_calls", "tagged_calls"], models={"m*": {}})
    assert upstream.switch_off([]) is upstream
    off = upstream.switch_off(["dsml_calls"])
    assert off.quirks == off.for_model("m1").quirks == ("tagged_calls",)


def test_key_goes_into_its_header() -> None:
    assert provider().key_headers(None) == {}
    assert provider().key_headers("k") == {"authorization": "Bearer k"}
    assert provider(key_header="api-key").key_headers("k") == {"api-key": "k"}


def test_unknown_upstream_is_named_by_its_host_and_an_account_is_not() -> None:
    server = provider(models={"m*": {}}).at_host("box.example")
    assert server.title == server.for_model("m1").title == "The upstream box.example"
    assert server.identity == server.for_model("m1").identity == f"{server.name}@box.example"
    for host in ("box.example:8000", "box.example"):
        assert provider().at_host(host).title == f"The upstream {host}"
        assert provider().at_host(host).identity == server.identity  # its thinking stays readable
    account = provider(accounts=True, title="ChatGPT").at_host("account-1")
    assert (account.title, account.identity) == ("ChatGPT", f"{account.name}@account-1")
    assert provider().identity == provider().name
