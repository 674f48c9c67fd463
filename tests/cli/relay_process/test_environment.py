import pytest

from scripts.cli.relay_process.environment import provider_variables, relay_environment

KEY, UPSTREAM, PROVIDER, MODEL = (
    f"CODEX_RELAY_{name}" for name in ("API_KEY", "UPSTREAM", "PROVIDER", "MODEL")
)


@pytest.mark.parametrize(
    ("options", "environment", "variables"),
    [
        (("", "", ""), {KEY: "sk-1"}, {}),
        (("", "", "qwen3"), {}, {MODEL: "qwen3"}),
        # The key of relay.toml is for the provider of relay.toml.
        (("kimi", "", ""), {}, {PROVIDER: "kimi", UPSTREAM: "", KEY: "", MODEL: ""}),
        (
            ("", "https://x/v1", "m"),
            {KEY: "sk-1"},
            {PROVIDER: "", UPSTREAM: "https://x/v1", KEY: "sk-1", MODEL: "m"},
        ),
        (
            ("kimi", "", ""),
            {KEY: "sk-1", PROVIDER: "deepseek"},
            {PROVIDER: "kimi", UPSTREAM: "", KEY: "", MODEL: ""},
        ),
    ],
)
def test_key_goes_to_no_other_provider(
    options: tuple[str, str, str], environment: dict[str, str], variables: dict[str, str]
) -> None:
    assert provider_variables(*options, environment) == variables


def test_relay_is_not_its_own_proxy() -> None:
    kept = {"https_proxy": "http://proxy.lan:8080", "HTTP_PROXY": "127.0.0.1:3128", "LANG": "C"}
    dropped = {
        "HTTPS_PROXY": "http://127.0.0.1:8080",
        "all_proxy": "http://relay:KEY@localhost:8080/",
        "http_proxy": "[::1]:8080",
        "RELAY_PARENT": "1",
        "RELAY_MARK": "of another relay",
    }
    broken = {"ALL_PROXY": "http://[1"}
    assert relay_environment({**kept, **dropped, **broken}, 8080) == {**kept, **broken}
