import os
import shutil
import time
import urllib.request
from pathlib import Path

from addons.launch import bindable
from tests.addons.config.test_addon import ROOT, mitmdump


def test_a_touch_reads_all_of_our_code_anew(tmp_path: Path) -> None:
    for name in ("addons", "translate"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    port = bindable(0)
    options = ["--listen-port", str(port), "--set", "relay_api_key=key-by-option"]
    with mitmdump(tmp_path, *options, root=tmp_path, CODEX_RELAY_ISOLATE="on") as running:
        try:
            assert "codex-relay" in page(port)
            page_file = tmp_path / "addons" / "endpoints" / "codex_calls.py"
            edit(page_file, "codex-relay {version}", "Edited {version}")
            edit(
                tmp_path / "translate" / "providers" / "providers.toml",
                "The demonstration",
                "Another",
            )
            os.utime(tmp_path / "addons" / "relay.py")
            assert "Another" in page(port, "Edited")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=10) as reply:
                assert b'"demo"' in reply.read()
        finally:
            running.terminate()
        output, _ = running.communicate(timeout=30)
    assert "Traceback" not in output and "key-by-option" not in output
    assert "error" not in output.lower()


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def page(port: int, wanted: str = "") -> str:
    """The front page, as soon as there is one with this text."""
    end = time.monotonic() + 20
    text = ""
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as reply:
                text = reply.read().decode()
        except OSError:
            text = ""
        if text and wanted in text:
            return text
        time.sleep(0.05)
    raise AssertionError(f"no page with {wanted!r}, but {text!r}")
