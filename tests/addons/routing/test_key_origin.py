"""Messages about a key that an upstream refuses."""

import pytest

from addons.routing.key_origin import KeyOrigin

SETTINGS = ("DEEPSEEK_API_KEY", "relay_api_key")


@pytest.mark.parametrize(
    ("origin", "refusal", "advice"),
    [
        (
            KeyOrigin("DEEPSEEK_API_KEY", SETTINGS),
            ("the key was refused (401)", "check the key in DEEPSEEK_API_KEY"),
            "check the key in DEEPSEEK_API_KEY",
        ),
        (
            KeyOrigin("", SETTINGS),
            ("no key was sent (401)", "set DEEPSEEK_API_KEY or relay_api_key"),
            "no key was sent; set DEEPSEEK_API_KEY or relay_api_key",
        ),
    ],
)
def test_words_name_the_place_of_the_key(
    origin: KeyOrigin, refusal: tuple[str, str], advice: str
) -> None:
    assert origin.refusal(401) == refusal
    assert origin.refusal_advice(401) == advice


def test_a_403_may_be_about_the_model() -> None:
    advice = KeyOrigin("the client's request").refusal_advice(403)
    assert advice == "check that the key in the client's request may use this model"


def test_provider_without_any_variable_needs_one() -> None:
    assert "key_env" in KeyOrigin().refusal_advice(401)
    assert KeyOrigin().refusal(403)[0] == "no key was sent (403)"
