"""The lines of Codex's config.toml."""

import tomllib

import pytest

from addons.codex_blocks import base_url_block, provider_block

RELAY = "http://127.0.0.1:4446"


@pytest.mark.parametrize("model", ["deepseek-chat", 'a"b\\c', "größe/⏳", ""])
def test_blocks_are_toml_for_any_model(model: str) -> None:
    chosen = {"model": model} if model else {}
    provider = tomllib.loads(provider_block(RELAY, model))
    assert provider | chosen == provider and provider["model_provider"] == "relay"
    table = provider["model_providers"]["relay"]
    assert table["base_url"] == f"{RELAY}/v1"
    assert table["model_catalog_url"] == f"{RELAY}/v1/models"
    assert tomllib.loads(base_url_block(RELAY, model)) == {
        **chosen,
        "openai_base_url": f"{RELAY}/v1",
    }


def test_codex_has_some_key_with_which_it_asks_for_the_models() -> None:
    [open_table] = tomllib.loads(provider_block(RELAY))["model_providers"].values()
    assert open_table["experimental_bearer_token"] == "none"
    keyed = provider_block(RELAY, has_client_key=True)
    assert 'env_key = "RELAY_KEY"' in keyed and "bearer" not in keyed
