"""Providers are data: what is wrong in it is told with its place."""

import pytest

from tests.translate.support import PROVIDERS
from translate import providers


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
