from pathlib import Path

import pytest

from scripts.cli.launcher.environment import (
    authority_environment,
    base_url_environment,
    foreign_proxy,
    proxy_environment,
    proxy_url,
)


def test_a_proxy_with_a_key() -> None:
    assert proxy_url(4446, "") == "http://127.0.0.1:4446"
    assert proxy_url(4446, "a/b@c") == "http://relay:a%2Fb%40c@127.0.0.1:4446"


def test_the_relay_replaces_the_proxy_for_https_only() -> None:
    inherited = {"https_proxy": "http://corp:3128", "HTTP_PROXY": "http://corp:3128", "A": "b"}
    assert proxy_environment(inherited, "http://127.0.0.1:1") == {
        "A": "b",
        "HTTP_PROXY": "http://corp:3128",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "https_proxy": "http://127.0.0.1:1",
        "NO_PROXY": "127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
    }


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        ("localhost, intranet", ",intranet"),
        (".corp.example,10.0.0.0/8", ",.corp.example,10.0.0.0/8"),
        ("*", ""),
        ("openai.com,.openai.com,*.openai.com,api.openai.com:443,chatgpt.com,com", ""),
        ("notopenai.com", ",notopenai.com"),
    ],
)
def test_hosts_without_a_proxy(entries: str, kept: str) -> None:
    environment = proxy_environment({"no_proxy": entries}, "http://127.0.0.1:1")
    assert environment["NO_PROXY"] == environment["no_proxy"] == "127.0.0.1,localhost,::1" + kept


def test_the_users_key_of_openai_is_replaced() -> None:
    inherited = {"OPENAI_API_KEY": "sk-proj-invented"}
    environment = base_url_environment(inherited, 8080, "")
    assert environment["OPENAI_API_KEY"] == "none"
    assert base_url_environment(inherited, 8080, "mine")["OPENAI_API_KEY"] == "mine"
    assert environment["OPENAI_BASE_URL"] == environment["OPENAI_API_BASE"]
    assert environment["OPENAI_BASE_URL"] == "http://127.0.0.1:8080/v1"


@pytest.mark.parametrize(
    ("inherited", "place"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": "http://user:pass@proxy.corp:3128"}, "proxy.corp:3128"),
        ({"https_proxy": "proxy.corp:3128"}, "proxy.corp:3128"),
        ({"HTTPS_PROXY": "http://127.0.0.1:8080"}, ""),
        ({"HTTPS_PROXY": "http://localhost:8080/"}, ""),
        ({"HTTPS_PROXY": "http://127.0.0.1:9090"}, "127.0.0.1:9090"),
        ({"HTTPS_PROXY": "http://[::1"}, ""),
    ],
)
def test_another_proxy_is_named_without_its_password(inherited: dict[str, str], place: str) -> None:
    assert foreign_proxy(inherited, 8080) == place


def test_variables_for_certificates() -> None:
    ca_file, bundle = Path("/ca.pem"), Path("/all.pem")
    environment = authority_environment({}, ca_file, bundle)
    assert environment.pop("NODE_EXTRA_CA_CERTS") == "/ca.pem"
    assert environment == dict.fromkeys(
        ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CODEX_CA_CERTIFICATE"],
        "/all.pem",
    )
    with_own = authority_environment({"NODE_EXTRA_CA_CERTS": "/corp.pem"}, ca_file, bundle)
    assert with_own["NODE_EXTRA_CA_CERTS"] == "/all.pem"
