import tomllib
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.launcher.codex_arguments import (
    codex_command,
    codex_settings,
    has_screen,
    setting_arguments,
)

BASE_URL = "http://127.0.0.1:4446/v1"


@pytest.mark.parametrize(
    ("arguments", "command", "screen"),
    [
        ([], "", True),
        (["fix the exec command"], "", True),
        (["-m", "exec", "hello"], "", True),
        (["--model=exec"], "", True),
        (["--", "exec"], "", True),
        (["resume", "--last"], "resume", True),
        (["--remote", "ws://x", "resume"], "resume", False),
        (["-c", "a=b", "exec", "hi"], "exec", False),
        (["e", "hi"], "e", False),
        (["mcp", "list"], "mcp", False),
        (["--version"], "help", False),
        (["exec", "--help"], "help", False),
        (["exec", "--", "--help"], "exec", False),
    ],
)
def test_which_command(arguments: list[str], command: str, screen: bool) -> None:
    assert codex_command(arguments) == command
    assert has_screen(arguments) is screen


def test_settings_among_the_arguments() -> None:
    arguments = ["-m", "x", "-c", "a=1", "--enable", "f", "--config=b=2", "hello", "-c"]
    assert setting_arguments(arguments) == ["-c", "a=1", "--enable", "f", "--config=b=2", "-c"]


def read_settings(config: dict[str, Any], catalog: Path | None = None) -> dict[str, Any]:
    """The settings as Codex reads them."""
    words = codex_settings(config, BASE_URL, catalog)
    assert set(words[::2]) == {"-c"}
    merged: dict[str, Any] = {}
    for text in words[1::2]:
        merged |= tomllib.loads(text)
    return merged


NO_DAEMON = {"features": {"daemon_auto_start": False}}


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({}, {}),
        ({"model_provider": "openai", "model": "x"}, {}),
        ({"openai_base_url": "http://127.0.0.1:8080/v1"}, {"openai_base_url": BASE_URL}),
        (
            {
                "model_provider": "relay",
                "model_providers": {"relay": {"base_url": "http://localhost:8080/v1"}},
            },
            {"model_providers": {"relay": {"base_url": BASE_URL}}},
        ),
        (
            {
                "model_provider": "a.b",
                "model_providers": {"a.b": {"base_url": "http://localhost:8080/v1"}},
            },
            {"model_provider": "openai"},
        ),
        (
            {
                "model_provider": "azure",
                "model_providers": {"azure": {"base_url": "https://x.example"}},
            },
            {"model_provider": "openai"},
        ),
        ({"model_provider": "missing"}, {"model_provider": "openai"}),
        ({"model_provider": 7}, {}),
    ],
)
def test_settings_lead_to_the_relay(config: dict[str, Any], settings: dict[str, Any]) -> None:
    assert read_settings(config) == NO_DAEMON | settings


def test_a_catalog_is_named_with_any_path() -> None:
    path = Path('/a "b"/models.json')
    assert read_settings({}, path) == NO_DAEMON | {"model_catalog_json": str(path)}
