"""What a user reads in the terminal while Codex works: the start, and one line an exchange."""

from pathlib import Path

from tests.codex.driver import Codex, Mode, Relay

PROMPT = 'call exec_command {"cmd": "echo hello > hello.txt"}'


def test_a_turn_with_a_call_is_two_lines_after_the_start(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "relay")
    try:
        run = Codex(tmp_path / "codex", Mode.PROXY_CHATGPT, relay).exec(PROMPT, model="demo")
    finally:
        relay.stop()
    assert run.files == {"hello.txt": "hello\n"}
    loading, listening, *labelled = relay.log.splitlines()
    assert "Loading script" in loading
    assert f"listens at {relay.url} and serves this machine only" in listening
    report = [line for line in labelled if line.startswith("  ")]
    assert [line.split("  ")[1] for line in report] == [
        *("provider", "next step", "start Codex", "dashboard"),
    ]
    assert report[2].endswith(f"mitmcodex codex --port {relay.port}")
    exchanges = labelled[len(report) :]
    assert len(exchanges) == 2 and all("] demo → demo · " in line for line in exchanges)
