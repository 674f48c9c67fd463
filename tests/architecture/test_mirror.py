"""The tests mirror the source: `addons/<package>/<module>.py` is tested by
`tests/addons/<package>/test_<module>.py`, and every other test file there says what it is about."""

from pathlib import Path

from tests.architecture.sources import ROOT, TREES

# Test files of no single module → what they test.
SCENARIOS = {
    "tests/addons/accounts/test_gateway.py": "the whole relay, with accounts",
    "tests/addons/exchange/test_chat_clients.py": "the whole relay, with Chat clients",
    "tests/addons/exchange/test_compaction.py": "the whole relay, as Codex compacts",
    "tests/addons/exchange/test_leaks.py": "the whole relay, and upstreams that repeat its key",
    "tests/addons/exchange/test_native_upstreams.py": "the whole relay, with Responses upstreams",
    "tests/translate/test_cases.py": "the golden cases",
    "tests/translate/test_laws.py": "what holds for every case and machine",
}


def untested_modules(root: Path) -> list[str]:
    return [
        path.as_posix()
        for path in python_files(root, Path())
        if path.name != "__init__.py"
        and not (root / "tests" / path.with_name(f"test_{path.name}")).is_file()
    ]


def stray_tests(root: Path) -> list[str]:
    return [
        path.as_posix()
        for path in python_files(root, Path("tests"))
        if path.name.startswith("test_") and path.as_posix() not in SCENARIOS
        if not (root / module_under_test(path)).is_file()
    ]


def python_files(root: Path, folder: Path) -> list[Path]:
    """Those of both trees in this folder, relative to the root."""
    files = (file for tree in TREES for file in (root / folder / tree).rglob("*.py"))
    return sorted(file.relative_to(root) for file in files)


def module_under_test(path: Path) -> Path:
    """`addons/relay.py` for `tests/addons/test_relay.py`."""
    return path.relative_to("tests").with_name(path.name.removeprefix("test_"))


def test_each_module_has_its_test_file() -> None:
    assert not untested_modules(ROOT)


def test_each_test_file_has_its_module() -> None:
    assert not stray_tests(ROOT)


def test_scenarios_exist() -> None:
    for test in SCENARIOS:
        assert (ROOT / test).is_file() and not (ROOT / module_under_test(Path(test))).exists()


def test_file_without_its_counterpart_is_named(tmp_path: Path) -> None:
    for file in (
        *("addons/__init__.py", "addons/relay.py", "addons/config/addon.py", "translate/new.py"),
        *("tests/addons/test_relay.py", "tests/addons/chain.py", "tests/translate/test_old.py"),
        *("tests/addons/test_addon.py", "tests/translate/test_laws.py"),
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert untested_modules(tmp_path) == ["addons/config/addon.py", "translate/new.py"]
    assert stray_tests(tmp_path) == [
        "tests/addons/test_addon.py",
        "tests/translate/test_old.py",
    ]
