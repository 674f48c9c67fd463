import json
from pathlib import Path
from typing import Any

import pytest

from addons.config.addon import (
    Config,
    additional_providers,
    available_providers,
    current_settings,
)
from addons.config.config_file import (
    ConfigFile,
    WrongSettings,
    collect_values,
    default_path,
    deprecation_notices,
    find_line,
    read_settings,
)
from addons.config.option_types import RetryLimits, StoreLimits, ViewLimits
from addons.config.settings import FIELD_OF_OPTION, Settings
from addons.flow_data import MASK
from tests.addons.proxy import bounded, proxy
from tests.small_keyring import SmallKeyring

WHOLE = """\
# mine
upstream = "https://h.example/v1"
heartbeat = 0.5
isolate = false
hosts = ["a.lan", "b.lan"]
ports = ["deepseek"]

[model_map]
"gpt-5.5" = "deepseek/deepseek-chat"
"gpt-6*" = ["kimi/kimi-k3", "box/qwen3"]

[role_map]
subagent = "box/small"

[providers.box]
like = "vllm"
base_urls = ["http://192.168.1.5:8000/v1"]
model = "qwen3"

[providers.deepseek]
omits = ["logprobs"]
tools_off = ["view_image"]
extra = { user_tag = "me" }

[providers.deepseek.models."deepseek-v4*"]
context_window = 1000000
"""


def write_file(tmp_path: Path, text: str) -> ConfigFile:
    path = tmp_path / "relay.toml"
    path.write_text(text)
    return ConfigFile.from_path(str(path))


def test_settings_and_providers_in_one_file(tmp_path: Path) -> None:
    file = write_file(tmp_path, WHOLE)
    settings = read_settings({"relay_heartbeat": "2"}, {"CODEX_RELAY_ISOLATE": "on"}, file)
    assert settings.upstream == "https://h.example/v1"
    assert (settings.heartbeat, settings.isolate) == (2.0, True)
    assert settings.hosts == ("a.lan", "b.lan")
    assert settings.ports == (("deepseek", 4446),)
    assert settings.model_map[1] == ("gpt-6*", ("kimi/kimi-k3", "box/qwen3"))
    assert settings.role_map == (("subagent", ("box/small",)),)
    box, deepseek = file.providers["box"], file.providers["deepseek"]
    assert box.quirks == file.providers["vllm"].quirks and not box.key_env
    assert (box.title, box.model) == ("box", "qwen3")
    assert deepseek.omits == {"logprobs"} and deepseek.extra == {"user_tag": "me"}
    assert deepseek.for_model("deepseek-v4-flash").context_window == 1_000_000
    assert deepseek.for_model("deepseek-v4-flash").tools_off == ("view_image",)
    assert file.user_providers == ("box", "deepseek")


def test_users_table_of_a_provider_overrides_its_builtin_models(tmp_path: Path) -> None:
    file = write_file(tmp_path, "[providers.qwen]\nextra = { seed = 1 }")
    qwen = file.providers["qwen"]
    assert qwen.extra == {"preserve_thinking": True, "seed": 1}
    assert qwen.for_model("qwen3-coder-plus").extra == {"seed": 1}


WRONG = [
    ("upstraem = 1", "1: upstraem is unknown: did you mean upstream?"),
    ("# a\n\nheartbeat = -1", "3: heartbeat is -1: should be greater than or equal to 0"),
    ('upstream = "h"', "1: upstream is 'h': not an http(s) URL"),
    ('api_key = "a b"', "1: api_key is (hidden): has spaces"),
    ("port = [1]", "1: port is [1]: should be a valid integer"),
    ("ports = 4446", "1: ports is 4446"),
    ("model_map = 5", "1: model_map is 5"),
    ('[model_map]\n"a" = []', "1: model_map is"),
    ("config = 'x'", "1: config is unknown"),
    ("a = ", "Invalid value (at"),
    ("providers = 3", "1: providers must have a table for each provider"),
    ("[providers]\nbox = 3", "2: providers.box: must be a table"),
    ("[providers.box]\nzzz = 1", "2: providers.box.zzz: no provider has such a field: remove it"),
    (
        "[providers.box]\nlike = 'grok'",
        "2: providers.box.like: there is no provider 'grok': did you mean groq?",
    ),
    ("[providers.box]\nlike = 'x'", "2: providers.box.like: there is no provider 'x'"),
    (
        "[providers.box]\n\nimagse = true",
        "3: providers.box.imagse: no provider has such a field: did you mean images?",
    ),
    ("[providers.kimi]\nimages = 'no idea'", "2: providers.kimi.images: should be a valid"),
    (
        '[providers.kimi.models."k*"]\nport = 0',
        "2: providers.kimi.models.k*.port: should be greater",
    ),
    ("[providers.kimi]\nquirks = ['x']", "2: providers.kimi.quirks: 'x' is not a quirk"),
]


@pytest.mark.parametrize(("text", "why"), WRONG, ids=[text for text, _ in WRONG])
def test_fault_is_reported_with_file_key_and_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(WrongSettings) as caught:
        read_settings({}, {}, write_file(tmp_path, text))
    [fault] = caught.value.args
    assert fault.startswith(f"{tmp_path / 'relay.toml'}:")
    assert why in fault, fault


def test_named_file_must_exist_and_default_one_need_not(tmp_path: Path) -> None:
    assert default_path().name == "relay.toml" and not default_path().exists()
    assert ConfigFile.from_path("") == ConfigFile.empty()
    with pytest.raises(WrongSettings, match="No such file"):
        ConfigFile.from_path(str(tmp_path / "none.toml"))


def test_default_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    default_path().parent.mkdir(parents=True, exist_ok=True)
    default_path().write_text("heartbeat = 1.25")
    assert read_settings({}, {}, ConfigFile.from_path("")).heartbeat == 1.25


def test_lines_of_dotted_and_quoted_keys_are_found() -> None:
    text = "a.b = 1\n[x]\n'y z' = 2\n[x.\"w.v\"]\nq = 3"
    for path, line in ((["a", "b"], 1), (["x", "y z"], 3), (["x", "w.v", "q"], 5), (["x", "n"], 2)):
        assert find_line(text, path) == line
    assert find_line(text, ["nowhere"]) == 1


@bounded
async def test_running_relay_reads_its_file(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("heartbeat = 3\n[providers.mine]\nbase_urls = ['http://127.0.0.1:9/v1']")
    async with proxy(Config(), relay_config=str(file)) as (master, _):
        assert current_settings().heartbeat == 3
        assert additional_providers() == ["mine"]
        file.write_text("heartbeat = 4")
        options: Any = master.options
        options.update(relay_retries="1")  # any change reads everything again
        assert current_settings().heartbeat == 4
        assert json.dumps(sorted(available_providers())).count("mine") == 0


# Options, variables and the file together


def test_without_values_all_settings_have_their_defaults() -> None:
    defaults = Settings.model_validate({})
    assert read_settings({}, {}) == defaults
    assert read_settings(dict.fromkeys(FIELD_OF_OPTION), {"HOME": "/"}) == defaults


def test_empty_option_is_the_default_and_beats_the_variable() -> None:
    environment = {"CODEX_RELAY_UPSTREAM": "https://h/v1", "CODEX_RELAY_PORT": ""}
    assert read_settings({"relay_upstream": ""}, environment) == Settings.model_validate({})


def test_limits_may_be_lists_in_the_file(tmp_path: Path) -> None:
    file = write_file(tmp_path, "keep = [100, '80MB']\nretries = 2\n")
    settings = read_settings({}, {}, file)
    assert (settings.keep.exchanges, settings.keep.megabytes) == (100, 80)
    assert settings.retries.further_attempts == 2


def test_deprecated_setting_extends_the_one_that_replaces_it(tmp_path: Path) -> None:
    file = write_file(tmp_path, "keep = [100]\n\nstore_days = 2")
    options = {
        "relay_keep_megabytes": "60",
        "relay_store_megabytes": "",
        "relay_retry_budget": None,
    }
    settings = read_settings(options, {"CODEX_RELAY_RETRY_BUDGET": "5"}, file)
    assert (settings.keep.exchanges, settings.keep.megabytes) == (100, 60)
    assert (settings.retries.further_attempts, settings.retries.seconds) == (3, 5)
    assert (settings.store_limit.days, settings.store_limit.megabytes) == (2, 256)
    values = collect_values(options, {"CODEX_RELAY_RETRY_BUDGET": "5"}, file)
    assert list(deprecation_notices(values)) == [
        "relay_keep_megabytes is deprecated: write relay_keep=100,60MB",
        "CODEX_RELAY_RETRY_BUDGET is deprecated: write CODEX_RELAY_RETRIES=5s",
        f'{file.path}:3: store_days is deprecated: write store_limit = "2d"',
    ]


BOTH_NAMES = [
    # option, variable, file; a setting and its value; the notice, with `*` for the file
    (
        {"relay_retries": "5,120s"},
        {"CODEX_RELAY_RETRY_BUDGET": "60"},
        "",
        ("retries", RetryLimits(5, 120)),
        "CODEX_RELAY_RETRY_BUDGET is deprecated: remove it, as relay_retries overrides it",
    ),
    (
        {},
        {"CODEX_RELAY_RETRIES": "5,120 S"},
        "retry_budget = 60",
        ("retries", RetryLimits(5, 120)),
        "*:1: retry_budget is deprecated: remove it, as CODEX_RELAY_RETRIES overrides it",
    ),
    (
        {"relay_store_limit": "30d"},
        {"CODEX_RELAY_STORE_DAYS": "nonsense, which is not read"},
        "",
        ("store_limit", StoreLimits(30, 256)),
        "CODEX_RELAY_STORE_DAYS is deprecated: remove it, as relay_store_limit overrides it",
    ),
    (
        {"relay_keep_megabytes": "60"},
        {},
        "keep = [100, '80MB']",
        ("keep", ViewLimits(100, 80)),
        "relay_keep_megabytes is deprecated: remove it, as *:1: keep overrides it",
    ),
    (
        {"relay_keep": "100", "relay_keep_megabytes": "20"},
        {},
        "",
        ("keep", ViewLimits(100, 20)),
        "relay_keep_megabytes is deprecated: write relay_keep=100,20MB",
    ),
    (
        {"relay_retries": "5"},
        {},
        "retry_budget = 90",
        ("retries", RetryLimits(5, 90)),
        "*:1: retry_budget is deprecated: write relay_retries=5,90s",
    ),
    (
        {},
        {},
        "store_days = 7\nstore_megabytes = 100",
        ("store_limit", StoreLimits(7, 100)),
        '*:1: store_days and *:2: store_megabytes are deprecated: write store_limit = "7d,100MB"',
    ),
    (
        {},
        {"CODEX_RELAY_STORE_DAYS": "9", "CODEX_RELAY_STORE_LIMIT": "7d"},
        "store_megabytes = 1e3",
        ("store_limit", StoreLimits(7, 1000)),
        "CODEX_RELAY_STORE_DAYS and *:1: store_megabytes are deprecated: "
        "write CODEX_RELAY_STORE_LIMIT=7d,1000MB",
    ),
]


@pytest.mark.parametrize(("options", "environment", "text", "setting", "notice"), BOTH_NAMES)
def test_deprecated_setting_fills_only_amounts_that_the_new_one_leaves_out(
    options: dict[str, str],
    environment: dict[str, str],
    text: str,
    setting: tuple[str, object],
    notice: str,
    tmp_path: Path,
) -> None:
    file = write_file(tmp_path, text)
    name, value = setting
    assert getattr(read_settings(options, environment, file), name) == value
    values = collect_values(options, environment, file)
    assert list(deprecation_notices(values)) == [notice.replace("*", str(file.path))]


@pytest.mark.parametrize(
    ("text", "seconds"), [("1e2", 100), ("2.5e-5", 0.000025), ("1_000", 1000), (".5", 0.5)]
)
def test_deprecated_setting_takes_a_number_in_any_form(text: str, seconds: float) -> None:
    assert read_settings({"relay_retry_budget": text}, {}).retries == RetryLimits(3, seconds)


WRONG_DEPRECATED = [
    ("retry_budget", "60s", "neither 0 nor a positive number; for example relay_retry_budget=120"),
    ("retry_budget", "-1", "neither 0 nor a positive number"),
    ("retry_budget", "inf", "neither 0 nor a positive number"),
    ("retry_budget", "1e9", "should be less than or equal to 86400"),
    ("store_days", "0", "should be greater than 0; for example relay_store_days=7"),
    ("store_megabytes", "x", "neither 0 nor a positive number"),
    ("keep_megabytes", "1.5", "should be a valid integer"),
]


@pytest.mark.parametrize(("name", "text", "why"), WRONG_DEPRECATED)
def test_wrong_deprecated_value_is_reported_as_it_is_written(
    name: str, text: str, why: str
) -> None:
    with pytest.raises(WrongSettings) as caught:
        read_settings({f"relay_{name}": text}, {})
    [fault] = caught.value.args
    assert fault.startswith(f"relay_{name} is {text!r}: {why}")


def test_wrong_values_of_both_names_are_reported_separately() -> None:
    with pytest.raises(WrongSettings) as caught:
        read_settings({"relay_retries": "500"}, {"CODEX_RELAY_RETRY_BUDGET": "soon"})
    old, new = caught.value.args
    assert old.startswith("CODEX_RELAY_RETRY_BUDGET is 'soon': ")
    assert new.startswith("relay_retries is '500': should be less than or equal to 100")


def test_config_in_the_home_of_an_unknown_user_is_a_fault_with_its_name() -> None:
    with pytest.raises(WrongSettings, match="relay_config is '~nobody-of-that-name/r.toml'") as why:
        ConfigFile.from_path("~nobody-of-that-name/r.toml")
    assert "there is no user" in str(why.value)


def test_names_of_clients_in_a_table_have_the_form_of_those_in_text(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('[client_key]\n"lap top" = "k-1"\n')
    with pytest.raises(WrongSettings, match="is not the name of a client"):
        read_settings({}, {}, ConfigFile.from_path(str(file)))
    file.write_text('[client_key]\nlaptop = "k-1"\n')
    [key] = read_settings({}, {}, ConfigFile.from_path(str(file))).client_key
    assert key.name == "laptop"


# A key in the system's keyring


def test_keyring_entry_stands_for_the_key_in_every_source(
    tmp_path: Path, small_keyring: SmallKeyring
) -> None:
    small_keyring.passwords["codex-relay", "box"] = "sk-in-the-keyring"
    file = write_file(tmp_path, 'api_key = "keyring:box"\n')
    assert read_settings({}, {}, file).api_key.get_secret_value() == "sk-in-the-keyring"
    from_variable = read_settings({}, {"CODEX_RELAY_API_KEY": "keyring:box"})
    assert from_variable.api_key.get_secret_value() == "sk-in-the-keyring"


def test_missing_keyring_entry_names_the_place_and_the_cure(
    tmp_path: Path, small_keyring: SmallKeyring
) -> None:
    file = write_file(tmp_path, 'provider = "kimi"\napi_key = "keyring:box"\n')
    with pytest.raises(WrongSettings) as missing:
        read_settings({}, {}, file)
    assert str(missing.value).startswith(f"{file.path}:2: api_key is {MASK}: the system's keyring")
    assert "has no key 'box': run `mitmcodex setup` again" in str(missing.value)


def test_keyring_that_refuses_is_named(small_keyring: SmallKeyring) -> None:
    small_keyring.trouble = OSError("on strike")
    with pytest.raises(WrongSettings, match=r"fails \(OSError\): unlock it"):
        read_settings({"relay_api_key": "keyring:box"}, {})


def test_key_from_the_keyring_must_fit_into_a_header(small_keyring: SmallKeyring) -> None:
    small_keyring.passwords["codex-relay", "box"] = "two words"
    with pytest.raises(WrongSettings, match="no HTTP header can carry"):
        read_settings({"relay_api_key": "keyring:box"}, {})


def test_misspelt_variable_is_a_fault_beside_wrong_values() -> None:
    environment = {"CODEX_RELAY_UPSTRAEM": "https://a.example/v1", "CODEX_RELAY_TIMEOUT": "soon"}
    with pytest.raises(WrongSettings) as raised:
        read_settings({}, environment)
    misspelt, wrong = raised.value.args
    assert misspelt == "CODEX_RELAY_UPSTRAEM is unknown: did you mean CODEX_RELAY_UPSTREAM?"
    assert wrong.startswith("CODEX_RELAY_TIMEOUT is 'soon'")


@pytest.mark.parametrize(
    ("line", "example"),
    [
        ("port = 'abc'", "port = 4444"),
        ("redact = 'perhaps'", "redact = false"),
        ("upstream = 'box'", 'upstream = "https://api.deepseek.com/v1"'),
        ("store_days = 'x'", "store_days = 7"),
    ],
)
def test_example_for_the_file_is_toml(line: str, example: str, tmp_path: Path) -> None:
    """It was `port=4444`, as for a variable."""
    (tmp_path / "relay.toml").write_text(line)
    with pytest.raises(WrongSettings) as caught:
        read_settings({}, {}, ConfigFile.from_path(str(tmp_path / "relay.toml")))
    assert caught.value.args[0].endswith(f"; for example {example}")


def test_misspelt_provider_is_named_with_its_nearest(tmp_path: Path) -> None:
    """It was "unknown provider" and the names of all, without the one at fault."""
    (tmp_path / "relay.toml").write_text('ports = ["kimi", "grok"]')
    with pytest.raises(WrongSettings) as caught:
        read_settings({}, {}, ConfigFile.from_path(str(tmp_path / "relay.toml")))
    assert caught.value.args[0].endswith(": there is no provider 'grok': did you mean groq?")
