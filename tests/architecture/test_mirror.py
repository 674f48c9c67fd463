"""The tests mirror the source: `addons/<package>/<module>.py` is tested by
`tests/addons/<package>/test_<module>.py`, and every other test file there says what it is about.

Much of the command line is tested by its commands, as a user runs them: there, each package has its
tests, and each test file its module."""

from collections.abc import Iterable
from pathlib import Path

from tests.architecture.sources import CLI, RELAY, ROOT, TREES

# Test files of no single module → what they test.
SCENARIOS = {
    "tests/addons/accounts/test_gateway.py": "the whole relay, with accounts",
    "tests/addons/exchange/test_chat_clients.py": "the whole relay, with Chat clients",
    "tests/addons/exchange/test_compaction.py": "the whole relay, as Codex compacts",
    "tests/addons/exchange/test_leaks.py": "the whole relay, and upstreams that repeat its key",
    "tests/addons/exchange/test_native_upstreams.py": "the whole relay, with Responses upstreams",
    "tests/cli/commands/test_looking_commands.py": "the commands that change nothing",
    "tests/translate/test_cases.py": "the golden cases",
    "tests/translate/test_laws.py": "what holds for every case and machine",
}


TEST_FOLDERS = {tree: f"tests/{tree.removeprefix('scripts/')}" for tree in TREES}


def untested_modules(root: Path) -> list[str]:
    return [
        path.as_posix()
        for path in python_files(root, RELAY)
        if path.name != "__init__.py" and not (root / mirrored_test(path)).is_file()
    ]


def untested_packages(root: Path) -> list[str]:
    """Those of the command line."""
    return [
        path.parent.as_posix()
        for path in python_files(root, [CLI])
        if path.name == "__init__.py"
        and not list((root / mirrored_test(path)).parent.glob("test_*.py"))
    ]


def stray_tests(root: Path) -> list[str]:
    return [
        path.as_posix()
        for path in python_files(root, TEST_FOLDERS.values())
        if path.name.startswith("test_") and path.as_posix() not in SCENARIOS
        if not (root / module_under_test(path)).is_file()
    ]


def python_files(root: Path, folders: Iterable[str]) -> list[Path]:
    """Those in these folders, relative to the root."""
    files = (file for folder in folders for file in (root / folder).rglob("*.py"))
    return sorted(file.relative_to(root) for file in files)


def mirrored_test(path: Path) -> Path:
    """`tests/addons/test_relay.py` for `addons/relay.py`."""
    [(tree, tests)] = [pair for pair in TEST_FOLDERS.items() if path.is_relative_to(pair[0])]
    return Path(tests, path.relative_to(tree)).with_name(f"test_{path.name}")


def module_under_test(path: Path) -> Path:
    """`addons/relay.py` for `tests/addons/test_relay.py`."""
    [(tree, tests)] = [pair for pair in TEST_FOLDERS.items() if path.is_relative_to(pair[1])]
    return Path(tree, path.relative_to(tests)).with_name(path.name.removeprefix("test_"))


def test_each_module_has_its_test_file() -> None:
    assert not untested_modules(ROOT)


def test_each_package_of_the_command_line_has_its_tests() -> None:
    assert not untested_packages(ROOT)


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
        *("scripts/cli/__init__.py", "scripts/cli/app.py", "scripts/cli/errors.py"),
        *("scripts/cli/setup/__init__.py", "scripts/cli/doctor/__init__.py"),
        *("tests/cli/test_app.py", "tests/cli/doctor/test_plan.py"),
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert untested_modules(tmp_path) == ["addons/config/addon.py", "translate/new.py"]
    assert untested_packages(tmp_path) == ["scripts/cli/setup"]
    assert stray_tests(tmp_path) == [
        "tests/addons/test_addon.py",
        "tests/cli/doctor/test_plan.py",
        "tests/translate/test_old.py",
    ]
