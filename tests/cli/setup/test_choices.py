"""The steps of the interview."""

import pytest

from addons.config import ConfigFile
from scripts.cli.setup.choices import (
    MOST_MODELS,
    choose_upstream,
    default_model,
    key_from_variables,
    match_choice,
    match_model,
    model_choices,
    provider_choices,
)
from scripts.cli.setup.local_servers import LocalServer
from translate import CatalogModel

PROVIDERS = ConfigFile.empty().providers
OLLAMA = LocalServer(PROVIDERS["ollama"], "http://localhost:11434/v1", 1)
MODELS = [CatalogModel(f"model-{number}") for number in range(40)]


def test_servers_here_come_first_then_providers_whose_key_is_at_hand() -> None:
    choices = provider_choices(PROVIDERS, [OLLAMA], {"GROQ_API_KEY": "gsk-1", "KIMI_API_KEY": " "})
    notes = {choice.answer: choice.note for choice in choices}
    assert [choice.answer for choice in choices[:2]] == ["ollama", "groq"]
    assert notes["ollama"] == "runs here, at localhost:11434, with 1 model"
    assert notes["groq"] == "its key is in GROQ_API_KEY" and notes["kimi"] == ""
    assert list(notes)[-3:] == ["chatgpt", "url", "demo"]
    assert len(notes) == len(choices) and "vllm" not in notes and "generic" not in notes


def test_server_that_asks_for_a_key_is_offered_with_that() -> None:
    [first, *_] = provider_choices(
        PROVIDERS, [LocalServer(PROVIDERS["vllm"], "http://x/v1", None)], {}
    )
    assert first.note.endswith("asks for a key")


@pytest.mark.parametrize(
    ("text", "answer"),
    [("1", "ollama"), ("LM Studio", None), ("kimi", "kimi"), ("GROQ", "groq"), (" demo ", "demo")],
)
def test_answers_are_numbers_names_and_titles(text: str, answer: str | None) -> None:
    choices = provider_choices(PROVIDERS, [OLLAMA], {})
    if answer is None:
        with pytest.raises(ValueError, match="there is no"):
            match_choice(text, choices)
    else:
        assert match_choice(text, choices) == answer


@pytest.mark.parametrize(
    ("name", "url", "settings"),
    [
        ("deepseek", "", {"provider": "deepseek"}),
        ("", "https://api.deepseek.com/v1", {"provider": "deepseek"}),
        ("", "https://api.deepseek.com/beta/", {"upstream": "https://api.deepseek.com/beta"}),
        ("", "http://box:9/v1/chat/completions", {"upstream": "http://box:9/v1"}),
        ("", "localhost:9/v1", {"upstream": "http://localhost:9/v1"}),
        ("", "api.deepseek.com/v1", {"provider": "deepseek"}),
        ("vllm", "http://box:9/v1", {"provider": "vllm", "upstream": "http://box:9/v1"}),
        ("demo", "", {"provider": "demo"}),
        ("chatgpt", "", {"provider": "chatgpt"}),
        ("ollama", "", {"provider": "ollama"}),
    ],
)
def test_settings_name_what_the_relay_cannot_know(
    name: str, url: str, settings: dict[str, str]
) -> None:
    assert choose_upstream(name, url, PROVIDERS).settings == settings


def test_key_for_another_host_is_not_taken_from_the_providers_variable() -> None:
    variables = {"DEEPSEEK_API_KEY": "sk-1"}
    own = key_from_variables(choose_upstream("deepseek", "", PROVIDERS), variables)
    assert own and own.place == "$DEEPSEEK_API_KEY" and "sk-1" not in repr(own)
    elsewhere = choose_upstream("deepseek", "http://box:9/v1", PROVIDERS)
    assert key_from_variables(elsewhere, variables) is None


def test_titles_of_upstreams_without_a_table_are_their_hosts() -> None:
    assert choose_upstream("", "http://box:9/v1", PROVIDERS).title == "box:9"
    assert choose_upstream("kimi", "", PROVIDERS).title == "Kimi"


def test_default_model_is_the_current_the_usual_or_the_first_one() -> None:
    upstream = choose_upstream("deepseek", "", PROVIDERS)
    assert default_model(upstream, MODELS, "model-7") == "model-7"
    assert default_model(upstream, MODELS, "gone") == "model-0"
    assert default_model(upstream, [], "gone") == ""


def test_long_lists_are_cut_and_searched() -> None:
    choices, hidden_count = model_choices(MODELS, "model-7")
    assert choices[0].answer == "model-7" and len(choices) == MOST_MODELS
    assert hidden_count == 40 - MOST_MODELS
    found_models, hidden_count = model_choices(MODELS, "model-7", "L-3")
    assert {choice.answer for choice in found_models} > {"model-3", "model-39"}
    assert hidden_count == 0


def test_models_are_numbers_or_names() -> None:
    choices, _ = model_choices(MODELS, "model-7")
    assert match_model("1", MODELS, choices) == "model-7"
    assert match_model("model-39", MODELS, choices) == "model-39"
    assert match_model("whatever", []) == "whatever"
    with pytest.raises(ValueError, match="did you mean model-39"):
        match_model("modl-39", MODELS, choices)
