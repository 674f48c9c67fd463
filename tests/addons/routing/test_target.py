"""Which provider a URL means, and whose key goes there in which header."""

import pytest

from addons.config import addon as config
from addons.config.config_file import known
from addons.routing import target as upstream
from addons.routing.target import Target, lives, recognised, secrets, usual_key

KNOWN = known()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.deepseek.com/beta", "deepseek"),
        ("https://mine.openai.azure.com/openai/v1", "azure"),
        ("https://dashscope-us.aliyuncs.com/compatible-mode/v1", "qwen"),
        ("http://127.0.0.1:11434/v1", "ollama"),
        ("http://[::1]:1234/v1", "lmstudio"),
        ("http://localhost:4321/v1", "generic"),
        ("http://192.168.1.5:11434/v1", "generic"),
        ("https://api.deepseek.com.evil.example/v1", "generic"),
        ("https://openai.azure.com.evil.example/v1", "generic"),
    ],
)
def test_provider_is_recognised_by_its_host(url: str, name: str) -> None:
    assert recognised(url).name == name


NOBODYS = {"generic", "responses", "demo"}


@pytest.mark.parametrize("name", sorted(KNOWN.keys() - NOBODYS))
def test_every_provider_is_recognised_at_home(name: str) -> None:
    provider = KNOWN[name]
    assert provider.base_urls or provider.hosts
    assert all(recognised(url) == provider for url in provider.base_urls)


def test_usual_key_is_the_first_variable_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    kimi, url = KNOWN["kimi"], "https://api.moonshot.cn/v1"
    for name in kimi.key_env:
        monkeypatch.delenv(name, raising=False)
    assert usual_key(kimi, url) is None
    monkeypatch.setenv("KIMI_API_KEY", " sk-second ")
    assert usual_key(kimi, url) == "sk-second"
    monkeypatch.setenv("MOONSHOT_API_KEY", "sk-first")
    assert usual_key(kimi, url) == "sk-first"


def test_usual_key_never_goes_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-mine")
    assert usual_key(KNOWN["deepseek"], "https://gateway.example/v1") is None
    assert not lives(KNOWN["openai"], "https://api.deepseek.com/v1")


def test_variable_that_no_header_can_carry_is_told_and_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "two words")
    assert config.variable("GROQ_API_KEY") is None
    assert "GROQ_API_KEY has characters" in caplog.text
    assert "two words" not in caplog.text


def test_key_goes_into_the_providers_own_header() -> None:
    plain = secrets(Target(KNOWN["groq"], "https://h/v1", "sk-1"))
    azure = secrets(Target(KNOWN["azure"], "https://h/v1", "sk-1"))
    assert plain["authorization"] == "Bearer sk-1"
    assert azure["api-key"] == "sk-1" and "authorization" not in azure
    assert "authorization" not in secrets(Target(KNOWN["groq"], "https://h/v1", None))


def test_loopback_names_are_one_host() -> None:
    assert len({upstream.home(f"http://{host}:1/") for host in ("localhost", "127.0.0.1")}) == 1
