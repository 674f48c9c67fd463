"""The newest Codex, which is on npm only. The wheel of tests/codex is older."""

from pathlib import Path

PACKAGES = Path(__file__).with_name("node") / "node_modules" / "@openai"


def newest_codex_path() -> Path | None:
    """The program itself, without its launcher on Node; None if it is not installed."""
    programs = PACKAGES.glob("codex-*/vendor/*/bin/codex*")
    return next((path for path in programs if path.stem == "codex"), None)
