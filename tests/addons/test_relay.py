import os
import shutil
import time
import urllib.request
from pathlib import Path

from addons.launch import available_port
from tests.addons.config.test_addon import ROOT, mitmdump


def test_touching_the_script_reloads_all_modules(tmp_path: Path) -> None:
    for name in ("addons", "translate"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    port = available_port(0)
    options = ["--listen-port", str(port), "--set", "relay_api_key=key-by-option"]
    with mitmdump(tmp_path, *options, root=tmp_path, CODEX_RELAY_ISOLATE="on") as running:
        try:
            assert "mitmcodex" in front_page(port)
            page_file = tmp_path / "addons" / "endpoints" / "own_port.py"
            edit_file(page_file, "mitmcodex {version}", "Edited {version}")
            edit_file(
                tmp_path / "translate" / "providers" / "providers.toml",
                "The demonstration",
                "Another",
            )
            os.utime(tmp_path / "addons" / "relay.py")
            assert "Another" in front_page(port, "Edited")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=10) as reply:
                assert b'"demo"' in reply.read()
        finally:
            running.terminate()
        output, _ = running.communicate(timeout=30)
    assert "Traceback" not in output and "key-by-option" not in output
    assert "error" not in output.lower()


def edit_file(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def front_page(port: int, part: str = "") -> str:
    """The front page, as soon as it contains this text; it must within 20 s."""
    deadline = time.monotonic() + 20
    text = ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as reply:
                text = reply.read().decode()
        except OSError:
            text = ""
        if text and part in text:
            return text
        time.sleep(0.05)
    raise AssertionError(f"no page with {part!r}, but {text!r}")
