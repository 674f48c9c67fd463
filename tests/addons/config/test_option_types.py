"""Which texts the types of settings accept, and which they refuse."""

from pathlib import Path

import pytest

from addons.config.config_file import WrongSettings, read_settings
from addons.config.option_types import RetryLimits, StoreLimits, ViewLimits, setting_text

VALID: list[tuple[str, str, object]] = [
    ("upstream", "https://api.deepseek.com/v1/", "https://api.deepseek.com/v1"),
    ("upstream", " http://[::1]:8000/v1 ", "http://[::1]:8000/v1"),
    ("upstream", "https://h/v1/chat/completions", "https://h/v1"),
    ("provider", "deepseek", "deepseek"),
    ("model", "deepseek-chat", "deepseek-chat"),
    (
        "model_map",
        "gpt-5.5:qwen3:32b, gpt-6*:r1,",
        (("gpt-5.5", ("qwen3:32b",)), ("gpt-6*", ("r1",))),
    ),
    ("model_map", "a : b | c/d", (("a", ("b", "c/d")),)),
    (
        "role_map",
        "subagent:m,compaction:kimi/k",
        (("subagent", ("m",)), ("compaction", ("kimi/k",))),
    ),
    ("port", "4444", 4444),
    ("ports", "deepseek, kimi,ollama:4460", (("deepseek", 4446), ("kimi", 4447), ("ollama", 4460))),
    ("isolate", "off", False),
    ("isolate", "On", True),
    ("hosts", "Relay.lan, 192.168.1.5,fe80::1", ("relay.lan", "192.168.1.5", "fe80::1")),
    ("quirks_off", "dsml_calls, tagged_calls", ("dsml_calls", "tagged_calls")),
    ("tools_off", "view_image, mcp__x.*", ("view_image", "mcp__x.*")),
    ("heartbeat", "0.5", 0.5),
    ("timeout", "10", 10.0),
    ("models_ttl", "0", 0.0),
    ("keep", "100", ViewLimits(100, 40)),
    ("keep", "200mb", ViewLimits(500, 200)),
    ("keep", "200 MB, 100", ViewLimits(100, 200)),
    ("retries", "0", RetryLimits(0, 60.0)),
    ("retries", "1s", RetryLimits(3, 1.0)),
    ("retries", "5,0.5s", RetryLimits(5, 0.5)),
    ("store", "Off", "off"),
    ("store", "redis://:secret@[::1]:6379/0", "redis://:secret@[::1]:6379/0"),
    ("store", "unix:///run/redis.sock", "unix:///run/redis.sock"),
    ("store", "sqlite:///var/kept.db", "/var/kept.db"),
    ("store", "sqlite:////var/kept.db", "/var/kept.db"),
    ("store", "sqlite:///C:/kept.db", "C:/kept.db"),
    ("store", "~/kept.db", str(Path("~/kept.db").expanduser())),
    ("vault", "~/logins", str(Path("~/logins").expanduser())),
    ("chatgpt_auth", "~/.codex/auth.json", str(Path("~/.codex/auth.json").expanduser())),
    ("record", "~/corpus", str(Path("~/corpus").expanduser())),
    ("record", "corpus", "corpus"),
    ("store_limit", "0.5d", StoreLimits(0.5, 256.0)),
    ("store_limit", "10MB", StoreLimits(30.0, 10.0)),
    ("store_limit", "7d,1024MB", StoreLimits(7.0, 1024.0)),
]


@pytest.mark.parametrize(("name", "text", "value"), VALID)
def test_valid_text_has_the_same_value_in_option_and_variable(
    name: str, text: str, value: object
) -> None:
    variable = f"CODEX_RELAY_{name.upper()}"
    for settings in (
        read_settings({f"relay_{name}": text}, {}),
        read_settings({}, {variable: text}),
        read_settings({f"relay_{name}": text}, {variable: "nonsense, which is not read"}),
    ):
        assert getattr(settings, name) == value


WRONG = [
    ("upstream", "api.deepseek.com", "not an http(s) URL"),
    ("upstream", "ftp://h", "not an http(s) URL"),
    ("upstream", "http://", "not an http(s) URL"),
    ("upstream", "http://a b", "not an http(s) URL"),
    ("upstream", "http://h:x", "Port could not be cast"),
    ("upstream", "https://h/v1?key=1", "has a query"),
    ("provider", "zzz", "there is no provider 'zzz': there are azure"),
    ("model_map", "a", "not a list of name:value pairs"),
    ("model_map", "a:b,:c", "not a list of name:value pairs"),
    ("role_map", "subagents:m", "should be 'subagent', 'compaction', 'review' or 'title'"),
    ("ports", "ollama", "say ollama:4460"),
    ("ports", "nobody", "there is no provider 'nobody': there are azure"),
    ("ports", "deepseek,kimi:4446", "two providers on one port"),
    ("ports", "ollama:x", "'x' is not a port"),
    ("port", "abc", "valid integer"),
    ("port", "70000", "less than or equal to 65535"),
    ("isolate", "maybe", "valid boolean"),
    ("hosts", "http://h", "not a host name"),
    ("hosts", "h:80", "not a host name"),
    ("quirks_off", "no_such", "there is no quirk 'no_such': there are "),
    ("heartbeat", "-1", "greater than or equal to 0"),
    ("heartbeat", "inf", "less than or equal"),
    ("heartbeat", "nan", "equal to"),
    ("timeout", "0", "greater than 0"),
    ("keep", "1", "greater than or equal to 2"),
    ("keep", "0MB", "greater than or equal to 1"),
    ("keep", "many", "'many' is neither a number of exchanges nor a number of megabytes (MB)"),
    ("keep", "100,200", "says the exchanges twice"),
    ("retries", "1.5", "valid integer"),
    ("retries", "101", "less than or equal to 100"),
    ("retries", "60d", "'60d' is neither a number of further attempts nor a number of seconds (s)"),
    ("store", "postgres://h/db", "neither a file"),
    ("store", "redis://", "names no host"),
    ("store", "redis://h:x", "Port could not be cast"),
    ("store", "/var/", "neither a file"),
    ("store", "~nobody-of-that-name/kept.db", "there is no user 'nobody-of-that-name'"),
    ("record", "~nobody-of-that-name", "there is no user"),
    ("vault", "~nobody-of-that-name/logins", "there is no user"),
    ("chatgpt_auth", "~nobody-of-that-name/auth.json", "there is no user"),
    ("vault", "a\0b", "has a null byte in it"),
    ("store_limit", "0d", "greater than 0"),
    ("store_limit", "1000001MB", "less than or equal"),
    ("store_limit", "7", "'7' is neither a number of days (d) nor a number of megabytes (MB)"),
    ("store_limit", "infMB", "is neither a number of days"),
]


@pytest.mark.parametrize(("name", "text", "why"), WRONG)
def test_wrong_value_is_reported_with_an_example(name: str, text: str, why: str) -> None:
    for full_name, options, environment in (
        (f"relay_{name}", {f"relay_{name}": text}, {}),
        (f"CODEX_RELAY_{name.upper()}", {}, {f"CODEX_RELAY_{name.upper()}": text}),
    ):
        with pytest.raises(WrongSettings) as caught:
            read_settings(options, environment)
        [fault] = caught.value.args
        assert fault.startswith(f"{full_name} is {text!r}: ")
        assert why in fault
        assert f"; for example {full_name}=" in fault
        assert "\n" not in fault


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("api_key", "sk-hush\u00e4"),
        ("api_key", "sk-hush hush"),
        ("client_key", "ok,sk-hush hush"),
        ("client_key", " , "),
        ("upstream", "https://user:sk-hush@h/v1"),
    ],
)
def test_wrong_secret_is_not_repeated(name: str, text: str) -> None:
    with pytest.raises(WrongSettings) as caught:
        read_settings({f"relay_{name}": text}, {})
    [fault] = caught.value.args
    assert "hush" not in fault
    assert "(hidden)" in fault


def test_secrets_do_not_show_in_texts() -> None:
    variables = {"CODEX_RELAY_CLIENT_KEY": "hush1, laptop:hush2"}
    settings = read_settings({"relay_api_key": "sk-hush"}, variables)
    assert settings.api_key.get_secret_value() == "sk-hush"
    keys = [(key.name, key.secret.get_secret_value()) for key in settings.client_key]
    assert keys == [("", "hush1"), ("laptop", "hush2")]
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump_json()}"
    assert "hush" not in repr(read_settings({"relay_store": "redis://:hush@h"}, {}))
    with pytest.raises(WrongSettings, match=r"redis://\(hidden\)@h:x") as wrong:
        read_settings({"relay_store": "redis://:hush@h:x"}, {})
    assert "hush" not in str(wrong.value)


@pytest.mark.parametrize("name", ["azure", "generic"])
def test_provider_without_a_url_of_its_own_needs_an_upstream(name: str) -> None:
    with pytest.raises(WrongSettings, match="relay_upstream must say where it is"):
        read_settings({"relay_provider": name}, {})
    upstream = {"CODEX_RELAY_UPSTREAM": "https://mine.openai.azure.com/openai/v1"}
    assert read_settings({"relay_provider": name}, upstream).provider == name
    with pytest.raises(WrongSettings) as wrong:
        read_settings({"relay_provider": name, "relay_upstream": "nowhere"}, {})
    assert len(wrong.value.args) == 1  # the wrong upstream does not count as a missing one
    assert read_settings({"relay_provider": "demo"}, {}).provider == "demo"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (False, "off"),
        (4446, "4446"),
        (["a.lan", "b.lan"], "a.lan,b.lan"),
        (
            {"gpt-6*": ["kimi/kimi-k3", "groq/qwen3"], "m": "n"},
            "gpt-6*:kimi/kimi-k3|groq/qwen3,m:n",
        ),
        ({"deepseek": 4446}, "deepseek:4446"),
    ],
)
def test_values_of_yaml_and_python_have_a_text_form(value: object, text: str) -> None:
    assert setting_text(value) == text


def test_limits_are_written_as_they_are_read() -> None:
    settings = read_settings({}, {})
    for name in ("keep", "retries", "store_limit"):
        limits = getattr(settings, name)
        assert getattr(read_settings({f"relay_{name}": str(limits)}, {}), name) == limits


def test_private_relay_has_no_folder_and_no_storage() -> None:
    options = {"relay_store": "/kept.db", "relay_record": "/corpus", "relay_vault": "/logins"}
    for private in ({}, {"relay_store": None, "relay_record": None}):
        settings = read_settings({**options, **private, "relay_private": "on"}, {})
        assert (settings.store, settings.record, settings.vault) == ("off", "", "/logins")
    settings = read_settings({**options, "relay_private": "off"}, {})
    assert (settings.store, settings.record) == ("/kept.db", "/corpus")
    with pytest.raises(WrongSettings, match="neither a file"):  # wrong values are still reported
        read_settings({"relay_store": "postgres://h/db", "relay_private": "on"}, {})
