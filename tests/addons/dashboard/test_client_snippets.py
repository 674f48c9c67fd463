"""The texts that set up clients, read as those clients read them."""

import json
import tomllib

import pytest
from ruamel.yaml import YAML

from addons.dashboard.client_snippets import PLACEHOLDER, client_snippets


@pytest.mark.parametrize("keyed", [False, True])
def test_clients_can_read_their_snippets(keyed: bool) -> None:
    text_by_name = {
        entry["name"]: entry["text"]
        for entry in client_snippets("http://h:1", "a/b-1", "/ca.pem", keyed)
    }
    key = PLACEHOLDER if keyed else "none"
    codex = tomllib.loads(text_by_name["Codex"])
    table = codex["model_providers"][codex["model_provider"]]
    assert (codex["model"], table["base_url"]) == ("a/b-1", "http://h:1/v1")
    assert ("env_key" in table) == keyed
    [model] = YAML(typ="safe").load(text_by_name["Continue"])["models"]
    assert (model["apiBase"], model["apiKey"], model["model"]) == ("http://h:1/v1", key, "a/b-1")
    compile(text_by_name["Python"], "snippet", "exec")
    assert json.loads(text_by_name["curl"].split("-d '")[1].rstrip("'\n"))["model"] == "a/b-1"
    for name in ("Cursor", "aider", "Python", "Node", "curl"):
        assert key in text_by_name[name] and "http://h:1/v1" in text_by_name[name], name
    by_proxy = text_by_name["Codex, by proxy"]
    proxy_url = f"http://relay:{PLACEHOLDER}@h:1" if keyed else "http://h:1"
    assert f"HTTPS_PROXY={proxy_url}\n" in by_proxy


def test_model_name_cannot_break_out_of_its_quotes() -> None:
    for entry in client_snippets("http://h", 'x"; rm -rf "$HOME', "/ca.pem", False):
        assert "rm -rf" not in entry["text"]
