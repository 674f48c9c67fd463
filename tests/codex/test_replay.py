"""A recorded session of the real Codex is translated again, and one exchange exported as a case."""

from pathlib import Path

import pytest

from tests.addons.replay.test_check import check_capture, summary_line
from tests.codex.conftest import PIXEL
from tests.codex.driver import Codex, Mode, Relay
from tests.fake_provider import FakeProvider
from tests.replies import call, say, think

MODES = pytest.mark.parametrize("mode", [Mode.PROVIDER, Mode.PROXY_CHATGPT])


@MODES
def test_session_in_a_file_is_checked(mode: Mode, tmp_path: Path, provider: FakeProvider) -> None:
    file = tmp_path / "session.mitm"
    relay = Relay(
        tmp_path / "relay", "-w", str(file), upstream=provider.url, api_key=provider.key or ""
    )
    try:
        codex = Codex(tmp_path / "codex", mode, relay)
        provider.reply(think("First."), say("Writing."), call("exec_command", cmd="echo ok"))
        provider.reply(say("Done."))
        run = codex.exec("Write it.", "-i", str(PIXEL))
        assert run.exit_code == 0
        provider.reply(say("And again."))
        assert codex.resume(run.thread_id, "Once more.").text == "And again."
    finally:
        relay.stop()
    sent = len(provider.posted_requests)
    code, output = check_capture(tmp_path, file)
    assert summary_line(output) == (
        f"{sent} exchanges, {sent} without a difference, 0 changed, 0 that cannot be re-checked"
    )
    assert code == 0
    toml = tmp_path / "relay.toml"
    toml.write_text('[providers.generic]\nomits = ["tools.function.description"]')
    code, output = check_capture(tmp_path, file, "--set", f"relay_config={toml}")
    assert code == 1
    assert f"{sent} changed" in summary_line(output)
    assert '-    "description": ' in output
