import json
from pathlib import Path
from typing import Any

import pytest

from addons.config import addon as config
from addons.config.addon import Config
from addons.config.config_file import File, Wrong, line_of, usual
from addons.config.given import read
from addons.config.settings import IN_FILE
from tests.addons.proxy import bounded, proxy

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


def written(tmp_path: Path, text: str) -> File:
    path = tmp_path / "relay.toml"
    path.write_text(text)
    return File.read(str(path), IN_FILE)


def test_settings_and_providers_in_one_file(tmp_path: Path) -> None:
    file = written(tmp_path, WHOLE)
    settings = read({"relay_heartbeat": "2"}, {"CODEX_RELAY_ISOLATE": "on"}, file)
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
    assert deepseek.of("deepseek-v4-flash").context_window == 1_000_000
    assert deepseek.of("deepseek-v4-flash").tools_off == ("view_image",)
    assert file.served == ("box", "deepseek")


def test_what_the_user_says_of_a_provider_holds_for_its_known_models(tmp_path: Path) -> None:
    file = written(tmp_path, "[providers.qwen]\nextra = { seed = 1 }")
    qwen = file.providers["qwen"]
    assert qwen.extra == {"preserve_thinking": True, "seed": 1}
    assert qwen.of("qwen3-coder-plus").extra == {"seed": 1}


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
    ("providers = 3", "1: providers must have a table a provider"),
    ("[providers]\nbox = 3", "2: providers.box: must be a table"),
    ("[providers.box]\nlike = 'x'", "2: providers.box.like: there is no provider 'x'"),
    ("[providers.box]\n\nimagse = true", "3: providers.box.imagse: Extra inputs are not permitted"),
    ("[providers.kimi]\nimages = 'no idea'", "2: providers.kimi.images: Input should be a valid"),
    (
        '[providers.kimi.models."k*"]\nport = 0',
        "2: providers.kimi.models.k*.port: Input should be greater",
    ),
    ("[providers.kimi]\nquirks = ['x']", "2: providers.kimi.quirks: 'x' is no quirk"),
]


@pytest.mark.parametrize(("text", "why"), WRONG, ids=[text for text, _ in WRONG])
def test_a_typo_is_told_with_file_key_and_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(Wrong) as caught:
        read({}, {}, written(tmp_path, text))
    [line] = caught.value.args
    assert line.startswith(f"{tmp_path / 'relay.toml'}:")
    assert why in line, line


def test_a_named_file_must_be_there_and_the_usual_one_need_not(tmp_path: Path) -> None:
    assert usual().name == "relay.toml" and not usual().exists()
    assert File.read("", IN_FILE) == File.none()
    with pytest.raises(Wrong, match="No such file"):
        File.read(str(tmp_path / "none.toml"), IN_FILE)


def test_the_usual_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    usual().parent.mkdir(parents=True, exist_ok=True)
    usual().write_text("heartbeat = 1.25")
    assert read({}, {}, File.read("", IN_FILE)).heartbeat == 1.25


def test_lines_of_dotted_and_quoted_keys() -> None:
    text = "a.b = 1\n[x]\n'y z' = 2\n[x.\"w.v\"]\nq = 3"
    for path, line in ((["a", "b"], 1), (["x", "y z"], 3), (["x", "w.v", "q"], 5), (["x", "n"], 2)):
        assert line_of(text, path) == line
    assert line_of(text, ["nowhere"]) == 1


@bounded
async def test_a_running_relay_reads_its_file(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("heartbeat = 3\n[providers.mine]\nbase_urls = ['http://127.0.0.1:9/v1']")
    async with proxy(Config(), relay_config=str(file)) as (master, _):
        assert config.settings().heartbeat == 3
        assert config.served() == ["mine"]
        file.write_text("heartbeat = 4")
        options: Any = master.options
        options.update(relay_retries="1")  # any change reads all anew
        assert config.settings().heartbeat == 4
        assert json.dumps(sorted(config.providers())).count("mine") == 0
