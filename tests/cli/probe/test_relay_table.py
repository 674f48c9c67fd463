"""Measured fields in the user's relay.toml."""

import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from addons.config import ConfigFile
from scripts.cli.errors import CommandFailed
from scripts.cli.probe.endpoint import Endpoint
from scripts.cli.probe.relay_table import (
    merge_table,
    model_pattern,
    table_fields,
    table_name,
    table_path,
    write_checked,
)

PROVIDERS = ConfigFile.empty().providers
BOX = Endpoint("http://box.lan:8000/v1", PROVIDERS["generic"], "qwen3:8b", key_variable="BOX_KEY")
DEEPSEEK = Endpoint("https://api.deepseek.com/v1", PROVIDERS["deepseek"], "deepseek-v4")
DAY = date(2026, 11, 22)
FIELDS = {"images": False, "efforts": {"xhigh": "high"}, "subset": {"keywords": ["type"]}}


def merged(endpoint: Endpoint, text: str, fields: dict[str, object] | None = None) -> str:
    name = table_name(endpoint)
    table = table_fields(endpoint, FIELDS if fields is None else fields, name)
    return merge_table(text, table_path(endpoint, name), table, endpoint, DAY)


def test_new_provider_gets_a_table_with_its_place() -> None:
    assert merged(BOX, "") == (
        "[providers.box-lan-8000] # Measured by mitmcodex probe on 2026-11-22: "
        "qwen3:8b at http://box.lan:8000/v1\n"
        'base_urls = ["http://box.lan:8000/v1"]\n'
        'key_env = ["BOX_KEY"]\n'
        'model = "qwen3:8b"\n'
        "images = false\n"
        'efforts = {xhigh = "high"}\n'
        'subset = {keywords = ["type"]}\n'
    )


def test_built_in_provider_is_changed_for_the_measured_model_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    write_checked(path, merged(DEEPSEEK, "", {"images": True}))
    deepseek = ConfigFile.from_path(str(path)).providers["deepseek"]
    assert deepseek.for_model("deepseek-v4").images is True
    assert deepseek.for_model("deepseek-chat").images is False
    assert deepseek.base_urls == PROVIDERS["deepseek"].base_urls


def test_rest_of_the_file_stays_as_it_is() -> None:
    text = (
        "# mine\nretries = 2 # few\n\n[providers.box-lan-8000] # home\n"
        'base_urls = ["http://box.lan:8000/v1"]\n# no pictures yet\nimages = true\nport = 4999\n'
        "\n[providers.other]\nport = 4998 # next\n"
    )
    result = merged(BOX, text)
    for line in ("# mine", "retries = 2 # few", "# no pictures yet", "port = 4998 # next"):
        assert line in result.splitlines()
    assert "port = 4999" in result and "images = false" in result and "images = true" not in result


def test_second_measurement_replaces_the_first() -> None:
    first = merged(BOX, "")
    second = merge_table(first, ("providers", "box-lan-8000"), {"images": True}, BOX, DAY)
    assert second.count("Measured by") == 1
    assert second == first.replace("images = false", "images = true")


def test_users_own_table_is_changed_itself() -> None:
    own = replace(BOX, provider=PROVIDERS["generic"].model_copy(update={"name": "home"}))
    assert table_path(own, table_name(own)) == ("providers", "home")
    assert "base_urls" not in table_fields(own, FIELDS, "home")


@pytest.mark.parametrize(
    "text",
    [
        "[providers]\nbox-lan-8000 = { port = 4999 }\n",
        "providers.box-lan-8000.port = 4999\n",
        "providers = { other = { port = 4998 }, box-lan-8000 = { port = 4999 } }\n",
        "[providers.box-lan-8000.models.a]\nimages = true\n",
    ],
)
def test_tables_in_other_forms_are_merged(text: str, tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    write_checked(path, merged(BOX, text))
    box = ConfigFile.from_path(str(path)).providers["box-lan-8000"]
    assert box.images is False and box.model == "qwen3:8b"
    assert (box.port == 4999) is ("4999" in text)


def test_table_that_the_relay_refuses_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text("retries = 2\n")
    with pytest.raises(CommandFailed, match=f"fit: {path}:7: providers.box-lan-8000.imagse"):
        write_checked(path, merged(BOX, "retries = 2\n", {"imagse": True}))
    assert path.read_text() == "retries = 2\n"
    assert list(tmp_path.iterdir()) == [path]


def test_another_name_for_a_built_in_provider_inherits_from_it(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    table = table_fields(DEEPSEEK, {"images": True}, "work")
    write_checked(path, merge_table("", table_path(DEEPSEEK, "work"), table, DEEPSEEK, DAY))
    work = ConfigFile.from_path(str(path)).providers["work"]
    assert (work.images, work.reasoning_back) == (True, "reasoning_content")
    assert work.key_env == ("DEEPSEEK_API_KEY",)


def test_pattern_matches_the_model_alone() -> None:
    assert model_pattern("Org/Model-[x]*") == "org/model-[[]x][*]"


@pytest.mark.parametrize(
    "text",
    [
        'providers = { box = { base_urls = ["http://b/v1"] } }\n',
        'providers.box.like = "vllm"\nproviders.box.base_urls = []\n',  # tomlkit would lose this
        "[providers.deepseek]\nmodels = {}\n",
        "providers = []\n",
    ],
)
def test_form_that_cannot_be_edited_is_refused(text: str) -> None:
    path = ("providers", "deepseek", "models", "m")
    with pytest.raises(CommandFailed, match="in a form that mitmcodex does not edit"):
        merge_table(text, path, {"images": False}, DEEPSEEK, DAY)


def test_name_of_a_model_cannot_add_lines() -> None:
    endpoint = BOX.with_model("m\n[providers.openai]\nbase_urls = ['http://evil']")
    text = merge_table("", ("providers", "box"), {"images": False}, endpoint, DAY)
    assert tomllib.loads(text) == {"providers": {"box": {"images": False}}}
