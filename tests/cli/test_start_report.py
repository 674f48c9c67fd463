import pytest

from addons.start_report import StartReport, report_to_json
from scripts.cli import start_report
from scripts.cli.running_relay import RunningRelay
from scripts.cli.start_report import fetch_report, relay_lines

REPORT = StartReport(
    version="1.0",
    address="http://127.0.0.1:4711",
    serves_others=False,
    provider="kimi",
    title="Kimi",
    upstream="https://kimi.example/v1",
    codex_command="mitmcodex codex",
    dashboard="http://127.0.0.1:4711/relay/",
    mitmweb="http://127.0.0.1:8081/?token=abc",
)
BEFORE_REPORT = {"version": "1.0", "provider": "kimi", "upstream": REPORT.upstream, "report": None}
HEALTH = {**BEFORE_REPORT, "report": report_to_json(REPORT)}


def test_report_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([BEFORE_REPORT, HEALTH])
    monkeypatch.setattr(start_report, "POLL_INTERVAL", 0.0)
    monkeypatch.setattr(start_report, "read_health", lambda port, key: next(answers))
    relay = RunningRelay(4711, BEFORE_REPORT)
    assert fetch_report(relay) is None
    report = fetch_report(relay, 60)
    assert report and (report.title, report.mitmweb) == ("Kimi", "http://127.0.0.1:8081/")
    assert "abc" not in str(HEALTH)


def test_relay_with_keys_tells_its_owner_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_health(port: int, key: str) -> dict[str, object]:
        return HEALTH if key == "a-long-random-text" else {"version": "1.0"}

    monkeypatch.setattr(start_report, "read_health", read_health)
    relay = RunningRelay(4711, {"version": "1.0"})
    assert "relay_client_key" in "\n".join(relay_lines(relay))
    monkeypatch.setenv("CODEX_RELAY_CLIENT_KEY", "a-long-random-text")
    assert "Kimi" in "\n".join(relay_lines(relay))


def test_lines_of_an_older_relay_have_its_upstream() -> None:
    lines = relay_lines(RunningRelay(4711, {"version": "0.2", "provider": "x", "upstream": "u"}))
    assert "http://127.0.0.1:4711" in lines[0] and lines[1].endswith(" u")
