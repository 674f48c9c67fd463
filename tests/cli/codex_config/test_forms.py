"""Which form of lines suits whom."""

from pathlib import Path

import pytest

from scripts.cli.codex_config.forms import (
    CodexFacts,
    ConfigForm,
    choose_form,
    codex_facts,
    usage_notes,
)
from scripts.cli.codex_config.home import CodexLogin
from scripts.cli.errors import CommandFailed


@pytest.mark.parametrize(
    ("facts", "form"),
    [
        (CodexFacts(CodexLogin.CHATGPT), ConfigForm.BASE_URL),
        (CodexFacts(CodexLogin.NONE), ConfigForm.PROVIDER),
        (CodexFacts(CodexLogin.CHATGPT, other_provider="azure"), ConfigForm.PROVIDER),
        (CodexFacts(CodexLogin.CHATGPT, has_client_key=True), ConfigForm.PROVIDER),
    ],
)
def test_sessions_stay_where_codex_has_a_login_of_its_own(
    facts: CodexFacts, form: ConfigForm
) -> None:
    assert choose_form(facts) is form
    assert choose_form(facts, ConfigForm.PROVIDER) is ConfigForm.PROVIDER


def test_base_url_without_effect_is_refused() -> None:
    facts = CodexFacts(CodexLogin.CHATGPT, other_provider="azure")
    with pytest.raises(CommandFailed, match="chooses the provider 'azure'"):
        choose_form(facts, ConfigForm.BASE_URL)


def test_facts_come_from_the_folder_of_codex(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    assert codex_facts(config) == CodexFacts(CodexLogin.NONE)
    config.write_text('model_provider = "azure"\n')
    (tmp_path / "auth.json").write_text('{"tokens": {"id_token": "x"}}')
    assert codex_facts(config) == CodexFacts(CodexLogin.CHATGPT, other_provider="azure")


def test_what_the_user_has_to_do_beside_is_told() -> None:
    [login] = usage_notes(ConfigForm.BASE_URL, CodexFacts(CodexLogin.NONE))
    assert "codex login" in login
    [models] = usage_notes(ConfigForm.BASE_URL, CodexFacts(CodexLogin.KEY))
    assert "--provider-table has the list" in models
    assert usage_notes(ConfigForm.BASE_URL, CodexFacts(CodexLogin.CHATGPT)) == []
    [key] = usage_notes(ConfigForm.PROVIDER, CodexFacts(CodexLogin.KEY, has_client_key=True))
    assert "RELAY_KEY" in key
