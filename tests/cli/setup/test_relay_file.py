"""relay.toml as `mitmcodex setup` changes it."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from scripts.cli.setup.relay_file import HEADING, SETUP_KEYS, edit_relay_file, masked_text

OWN = """\
# mine
heartbeat = 2.5  # seconds
provider = "kimi" # until June
ports = ["groq"]

# which model for which name
[model_map]
"gpt-5*" = "kimi/kimi-k3"

[providers.box]
like = "vllm"
base_urls = ["http://192.168.1.5:8000/v1"]
"""


def test_new_file_has_a_heading_and_the_settings() -> None:
    text = edit_relay_file("", {"provider": "deepseek", "model": "deepseek-chat"})
    assert text == HEADING + 'provider = "deepseek"\nmodel = "deepseek-chat"\n'


def test_existing_file_keeps_comments_order_and_other_settings() -> None:
    text = edit_relay_file(OWN, {"provider": "deepseek", "model": "deepseek-chat"})
    assert text.replace('model = "deepseek-chat"\n', "") == OWN.replace('"kimi"', '"deepseek"', 1)
    assert text.index("model =") < text.index("[model_map]")


def test_settings_of_the_former_provider_go() -> None:
    former = edit_relay_file(OWN, {"upstream": "http://h/v1", "api_key": "sk-1", "model": "a"})
    text = edit_relay_file(former, {"provider": "demo"})
    assert {"upstream", "api_key", "model"}.isdisjoint(tomllib.loads(text))
    assert tomllib.loads(text)["providers"] == tomllib.loads(OWN)["providers"]


SETTINGS = ("# c", "", 'model = "m"', 'api_key = "k"  # x', "isolate = false")
LINES = st.sampled_from([*SETTINGS, "[role_map]", "[providers.a]"])


@given(
    st.lists(LINES, unique=True),
    st.dictionaries(st.sampled_from(SETUP_KEYS), st.text(min_size=1, max_size=8)),
)
def test_every_valid_file_can_be_edited(lines: list[str], values: dict[str, str]) -> None:
    text = "\n".join(lines)
    data = tomllib.loads(text)
    edited = tomllib.loads(edit_relay_file(text, values))
    assert edited == {k: v for k, v in data.items() if k not in SETUP_KEYS} | values


def test_keys_and_passwords_are_not_shown() -> None:
    key, others = 'sk-a"b\\\\c-0123456789-wxyz', "client-secret"
    text = edit_relay_file(
        f"client_key = ['a:{others}'] # mine\nstore = 'redis://:{others}@h/0'\n\n"
        "[model_map]\na = 'b'\n"
        f"[providers.box]\nheaders = {{ x-key = '{others}' }}\n",
        {"provider": "kimi", "api_key": key},
    )
    shown = masked_text(text)
    assert "0123" not in shown and others not in shown
    assert 'api_key = "sk-…wxyz"' in shown and "# mine" in shown and "[model_map]" in shown
    assert "keyring:kimi" in masked_text('api_key = "keyring:kimi"')
