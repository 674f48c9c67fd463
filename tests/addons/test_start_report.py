"""The report of the start, as lines for people and as JSON."""

import json
from dataclasses import replace

import pytest

from addons.start_report import (
    ExtraPort,
    StartReport,
    codex_line,
    codex_proxy_line,
    report_from_json,
    report_lines,
    report_to_json,
)

REPORT = StartReport(
    version="1.2.3",
    address="http://127.0.0.1:8080",
    serves_others=False,
    provider="deepseek",
    title="DeepSeek",
    upstream="https://api.deepseek.com/v1",
    codex_command="mitmcodex codex",
    dashboard="http://127.0.0.1:8080/relay/",
    ports=(ExtraPort("http://127.0.0.1:4444"), ExtraPort("http://127.0.0.1:4447", "kimi")),
    model_count=2,
    model="deepseek-chat",
    mitmweb="http://127.0.0.1:8081/?token=0123456789abcdef",
)


def test_a_report_is_a_few_lines() -> None:
    assert report_lines(REPORT) == [
        "mitmcodex 1.2.3 listens at http://127.0.0.1:8080 and serves this machine only",
        "  also         http://127.0.0.1:4444, http://127.0.0.1:4447 (kimi)",
        "  provider     DeepSeek, https://api.deepseek.com/v1, 2 models, default deepseek-chat",
        "  start Codex  mitmcodex codex",
        "  dashboard    http://127.0.0.1:8080/relay/",
        "  mitmweb      http://127.0.0.1:8081/?token=0123456789abcdef",
    ]


def test_a_fault_comes_with_its_next_step() -> None:
    report = replace(
        REPORT, model_count=None, fault="the key was refused (401)", next_step="check the key"
    )
    assert "  problem      the key was refused (401); check the key" in report_lines(report)
    assert "  provider     DeepSeek, https://api.deepseek.com/v1, default deepseek-chat" in (
        report_lines(report)
    )


def test_the_demonstration_says_how_to_set_a_provider_up() -> None:
    step = "mitmcodex setup or set CODEX_RELAY_UPSTREAM=…"
    lines = report_lines(replace(REPORT, provider="demo", model="demo", next_step=step))
    assert "  provider     none is set up: a demonstration answers, without a model" in lines
    assert f"  next step    {step}" in lines
    assert not any("problem" in line for line in lines)


def test_an_unknown_provider_goes_by_its_url() -> None:
    report = replace(REPORT, provider="generic", title="The upstream box", model_count=1, model="")
    assert "  provider     https://api.deepseek.com/v1, 1 model" in report_lines(report)


def test_other_machines_are_mentioned_only_if_they_are_served() -> None:
    [line, *_] = report_lines(replace(REPORT, serves_others=True))
    assert line.endswith("serves this machine and others that have a key")


def test_a_providers_texts_cannot_control_the_terminal() -> None:
    report = replace(REPORT, title="\x1b[2J", model="a\nb", fault="c\x07" + 1000 * "d")
    lines = report_lines(report)
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 400


def test_a_report_comes_back_from_its_json_without_the_token() -> None:
    text = json.dumps(report_to_json(REPORT))
    assert "token" not in text and "0123456789abcdef" not in text
    assert report_from_json(json.loads(text)) == replace(REPORT, mitmweb="http://127.0.0.1:8081/")


@pytest.mark.parametrize("value", [None, {}, [], {"version": "1.2.3"}, {"ports": 7}])
def test_json_of_no_report_is_none(value: object) -> None:
    assert report_from_json(value) is None


@pytest.mark.parametrize(
    ("port", "line"), [(8080, "mitmcodex codex"), (9090, "mitmcodex codex --port 9090")]
)
def test_our_command_starts_codex_on_any_port(port: int, line: str) -> None:
    assert codex_line("mitmcodex", port, 8080) == line


@pytest.mark.parametrize(
    ("needs_key", "system", "line"),
    [
        (
            False,
            "posix",
            "HTTPS_PROXY=http://127.0.0.1:8080 CODEX_CA_CERTIFICATE='/home/a b/ca.pem' codex",
        ),
        (
            True,
            "posix",
            "HTTPS_PROXY=http://relay:KEY@127.0.0.1:8080"
            " CODEX_CA_CERTIFICATE='/home/a b/ca.pem' codex",
        ),
        (
            False,
            "nt",
            '$env:HTTPS_PROXY="http://127.0.0.1:8080";'
            ' $env:CODEX_CA_CERTIFICATE="/home/a b/ca.pem"; codex',
        ),
    ],
)
def test_variables_start_codex_without_our_command(needs_key: bool, system: str, line: str) -> None:
    assert codex_proxy_line("http://127.0.0.1:8080", "/home/a b/ca.pem", needs_key, system) == line
