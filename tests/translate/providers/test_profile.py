"""Providers are data: what is wrong in it is told with its place."""

import pytest

from tests.translate.support import PROVIDERS, ROOT, provider
from translate import QUIRKS, Provider, providers
from translate.providers.profile import COMMON


def test_table_without_fields_describes_a_plain_server() -> None:
    [made] = providers('[mine]\ntitle = "Mine"').values()
    assert (made.name, made.title, made.dialect, made.reasoning_back) == (
        *("mine", "Mine", "chat", "echo"),
    )


@pytest.mark.parametrize(
    ("toml", "place"),
    [
        ('[mine]\ntitle = "M"\nsecret = "x"', "^mine.secret: "),
        ("[mine]", "^mine.title: "),
        ('[mine]\ntitle = "M"\ndialect = "morse"', "^mine.dialect: "),
        ('[mine]\ntitle = "M"\nreasoning_back = "maybe"', "^mine.reasoning_back: "),
        ("title =", "Invalid value"),
        ("title = 5", "^title: "),
    ],
)
def test_wrong_table_is_a_value_error_that_names_the_field(toml: str, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        providers(toml)


def test_every_provider_says_how_it_is_called() -> None:
    assert {"generic", "demo", "openai", "deepseek"} <= PROVIDERS.keys()
    assert all(one.title and one.name == name for name, one in PROVIDERS.items())
    for url in (url for one in PROVIDERS.values() for url in one.base_urls):
        assert url.startswith(("https://", "http://localhost:")) and not url.endswith("/")


REAL = sorted(PROVIDERS.keys() - {"generic", "demo"})


@pytest.mark.parametrize("name", REAL)
def test_every_provider_has_its_cases(name: str) -> None:
    """A tool loop with thinking and parallel calls, and an error in its own form."""
    folders = [path for path in (ROOT / "tests/cases" / name).iterdir() if path.is_dir()]
    assert (ROOT / "tests/cases" / name / "tool_loop") in folders
    assert any(path.name.startswith("error_") for path in folders)


def whole(one: Provider) -> list[Provider]:
    return [one, *one.models.values()]


@pytest.mark.parametrize("one", PROVIDERS.values(), ids=PROVIDERS)
def test_every_table_says_what_can_be(one: Provider) -> None:
    for made in whole(one):
        assert set(made.quirks) <= QUIRKS
        assert made.refuses <= COMMON and not made.takes & COMMON
        assert made.name == one.name and not made.models or made is one
        assert all(pattern == pattern.lower() for pattern in made.models)


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
    made = PROVIDERS[name].of(model)
    assert made.efforts.get("*", {"*": "unused"}) == effort


def test_layer_of_models_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"^mine.models.m\*.images: "):
        providers('[mine]\ntitle = "M"\n[mine.models."m*"]\nimages = "maybe"')
    with pytest.raises(ValueError, match="^mine.models: "):
        providers('[mine]\ntitle = "M"\nmodels = 5')
    with pytest.raises(ValueError, match=r"^mine.models.m\*: "):
        providers('[mine]\ntitle = "M"\nmodels = {"m*" = 5}')


def test_quirks_are_switched_off_for_models_too() -> None:
    one = provider(quirks=["dsml_calls", "tagged_calls"], models={"m*": {}})
    assert one.without([]) is one
    off = one.without(["dsml_calls"])
    assert off.quirks == off.of("m1").quirks == ("tagged_calls",)


def test_key_goes_into_its_header() -> None:
    assert provider().credentials(None) == {}
    assert provider().credentials("k") == {"authorization": "Bearer k"}
    assert provider(key_header="api-key").credentials("k") == {"api-key": "k"}
