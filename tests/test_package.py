"""A release is built in a copy of this repository, installed in empty environments and used there,
without a network: uv installs the package itself, and the libraries are those of these tests."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

import pytest
from filelock import FileLock

from addons.launch import available_port
from tests.codex.driver import base_environment
from tests.pages.checkout import BASH, copy_repository, is_healthy
from tests.pages.markdown import ROOT

VERSION = "9.9.0"
WHEEL_PLACES = {  # folder of the repository → its place in the wheel
    "addons": "mitmcodex/addons",
    "translate": "mitmcodex/translate",
    "scripts/cli": "mitmcodex/cli",
    "scripts/package/mitmcodex": "mitmcodex",
}
ENTRY_POINTS = "[console_scripts]\nmitmcodex = mitmcodex.cli.app:main\n"
MITMDUMP = """#!{python}
from mitmproxy.tools.main import mitmdump
mitmdump()
"""
# A user's program whose own packages have the names that the relay's modules call one another.
PROGRAM = """
import addons.launch, http.client, json, sys, translate
path, own = list(sys.path), addons.launch

from mitmcodex import NotStarted, RelayProcess, start

assert sys.path == path
import addons.late, translate.late
assert sys.modules["addons.launch"] is addons.launch is own and own.OWNER == "the user"
assert NotStarted.__module__ == "mitmcodex" and issubclass(NotStarted, RuntimeError)
with start() as relay:
    assert isinstance(relay, RelayProcess)
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hello!"}]}
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=20)
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    reply = json.loads(connection.getresponse().read())
    print(reply["choices"][0]["message"]["content"])
    connection.close()
"""
TYPED_PROGRAM = """
from mitmcodex import start
with start(8080, upstream="http://127.0.0.1:9/v1") as relay:
    reveal_type(relay.url)
start("8080")
"""


def find_uv() -> str:
    uv = shutil.which("uv") or shutil.which("uv", path=ROOT / ".uv" / "bin")
    if uv is None:
        pytest.skip("no uv is installed (./scripts/test brings one)")
    return uv


def run(
    *command: str | Path, cwd: Path, programs: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program with nothing of this process's environment; `programs` come first on PATH."""
    environment = base_environment(cwd) | variables
    if programs:
        environment["PATH"] = f"{programs}:{environment['PATH']}"
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=50
    )


def run_well(
    *command: str | Path, cwd: Path, programs: Path | None = None, **variables: str
) -> str:
    """What the program prints. Fails the test unless the program ends with 0."""
    done = run(*command, cwd=cwd, programs=programs, **variables)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def commit_all(folder: Path) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    run_well("git", "add", "--all", cwd=folder)
    run_well("git", *who, "commit", "--quiet", "--message", "a release", cwd=folder)


def name_version(folder: Path) -> None:
    """Make the checkout one of a version that is ready for its release."""
    identity, changelog = folder / "addons" / "identity.py", folder / "CHANGELOG.md"
    begin, _, rest = identity.read_text().partition('VERSION = "')
    identity.write_text(f'{begin}VERSION = "{VERSION}"{rest.partition('"')[2]}')
    released = f"## [Unreleased]\n\n## [{VERSION}] - 2027-01-01\n"
    changelog.write_text(changelog.read_text().replace("## [Unreleased]\n", released))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A uv that has nothing to install, as the environment of the tests is complete, and that
    notes what it is asked for in the user's home."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "uv").write_text('#!/bin/sh\necho "$@" >>"$HOME/uv.log"\n')
    (folder / "uv").chmod(0o755)
    return folder


def build_once(name: str, factory: pytest.TempPathFactory, build: Callable[[Path], object]) -> Path:
    """The folder of this name, which the first of the workers that needs it builds. Tests do not
    change it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    mark = folder.with_name(f"{name}.built")
    with FileLock(f"{folder}.lock", timeout=50):
        if not mark.exists():
            build(folder)
            mark.touch()
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout, in which lie files that git ignores and that no release may have."""
    if not shutil.which("git"):
        pytest.skip("no git is installed (Debian: apt-get install git)")
    return build_once("checkout", tmp_path_factory, build_checkout)


def build_checkout(folder: Path) -> None:
    copy_repository(folder)
    name_version(folder)
    run_well("git", "init", "--quiet", cwd=folder)
    (folder / ".git" / "info" / "exclude").write_text("*.mitm\n.venv\n")
    for name in ("addons/__pycache__/a.pyc", "tests/capture.mitm", "scripts/cli/capture.mitm"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no part of a release")
    commit_all(folder)


@pytest.fixture(scope="module")
def release(checkout: Path, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ./scripts/release writes."""

    def build_release(folder: Path) -> None:
        run_well(checkout / "scripts" / "release", cwd=checkout, programs=programs)
        (checkout / "dist").rename(folder)

    return build_once("release", tmp_path_factory, build_release)


def empty_environment(folder: Path, *arguments: str | Path) -> Path:
    """The programs of a new environment in which uv has installed this package, and no other."""
    uv = find_uv()
    run_well(uv, "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    command = (uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python)
    libraries = sysconfig.get_path("purelib")
    paths = sysconfig.get_path("purelib", vars={"base": str(folder)})
    Path(paths, "libraries.pth").write_text(f"{libraries}\n")
    run_well(*command, *arguments, cwd=folder.parent)
    mitmdump = folder / "bin" / "mitmdump"
    mitmdump.write_text(MITMDUMP.format(python=python))
    mitmdump.chmod(0o755)
    return folder / "bin"


@pytest.fixture(scope="module")
def installed_programs(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    [wheel] = release.glob("*.whl")
    environment = build_once(
        "environment", tmp_path_factory, lambda folder: empty_environment(folder, wheel)
    )
    return environment / "bin"


def files_of_commit(checkout: Path) -> list[str]:
    return run_well("git", "ls-files", cwd=checkout).splitlines()


def wheel_names(files: list[str]) -> set[str]:
    """What a wheel of these files has in it."""
    return {
        f"{place}{file.removeprefix(folder)}"
        for file in files
        for folder, place in WHEEL_PLACES.items()
        if file.startswith(f"{folder}/") and not file.endswith("README.md")
    }


def test_wheel_has_the_package_and_nothing_else(checkout: Path, release: Path) -> None:
    [path] = release.glob("*.whl")
    assert path.name == f"mitmcodex-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path) as wheel:
        contents = {name: wheel.read(name) for name in wheel.namelist()}
    information = f"mitmcodex-{VERSION}.dist-info"
    own = {name for name in contents if not name.startswith(information)}
    assert own == wheel_names(files_of_commit(checkout))
    assert {f"mitmcodex/{name}" for name in ("__main__.py", "py.typed", "addons/relay.py")} <= own
    assert contents[f"{information}/entry_points.txt"].decode() == ENTRY_POINTS
    assert contents[f"{information}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    metadata = message_from_bytes(contents[f"{information}/METADATA"])
    assert (metadata["Name"], metadata["Version"]) == ("mitmcodex", VERSION)
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("MIT", ">=3.12")
    assert any(line.startswith("mitmproxy<") for line in metadata.get_all("Requires-Dist", []))
    for machine in (checkout, ROOT, Path(sys.prefix)):
        assert not [name for name, text in contents.items() if str(machine).encode() in text]


def test_source_distribution_is_the_checkout(checkout: Path, release: Path) -> None:
    with tarfile.open(release / f"mitmcodex-{VERSION}.tar.gz") as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    assert names == {*files_of_commit(checkout), "PKG-INFO"}
    assert {"tests/test_package.py", "scripts/requirements.lock", "CHANGELOG.md"} <= names
    time_of_commit = int(run_well("git", "log", "-1", "--format=%ct", cwd=checkout))
    assert {(member.mtime, member.uid) for member in members} == {(time_of_commit, 0)}


def test_wheel_of_the_source_distribution_is_the_same(release: Path, tmp_path: Path) -> None:
    [wheel], [source] = release.glob("*.whl"), release.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
        epoch = str(archive.getmembers()[0].mtime)
    folder = tmp_path / f"mitmcodex-{VERSION}"
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel")
    run_well(*build, cwd=folder, SOURCE_DATE_EPOCH=epoch)
    assert (folder / "dist" / wheel.name).read_bytes() == wheel.read_bytes()


def test_checksums_are_those_of_the_files(release: Path) -> None:
    lines = (release / "SHA256SUMS").read_text().splitlines()
    checksums = {name: checksum for checksum, _, name in (line.partition("  ") for line in lines)}
    files = [path for path in release.iterdir() if path.name != "SHA256SUMS"]
    assert checksums == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert len(files) == 2


@pytest.fixture
def small_checkout(tmp_path: Path) -> Path:
    """A checkout with no more than ./scripts/release looks at before it builds."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("*.lock"))
    (folder / "addons").mkdir()
    for name in ("addons/identity.py", "CHANGELOG.md", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    name_version(folder)
    run_well("git", "init", "--quiet", cwd=folder)
    return folder


def release_complaint(checkout: Path, programs: Path) -> str:
    """Why ./scripts/release builds nothing."""
    done = run(checkout / "scripts" / "release", cwd=checkout, programs=programs)
    assert done.returncode == 1 and not (checkout / "dist").exists()
    return done.stderr


@pytest.mark.parametrize("file", ["addons/identity.py", "addons/new.py"])
def test_release_refuses_a_tree_with_changes(
    file: str, small_checkout: Path, programs: Path
) -> None:
    commit_all(small_checkout)
    with (small_checkout / file).open("a") as changed:
        changed.write("# a change\n")
    complaint = release_complaint(small_checkout, programs)
    assert "release: the tree has changes" in complaint and file in complaint


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (f"## [{VERSION}]", "## [9.8.0]", f"CHANGELOG.md has no section [{VERSION}]"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n- A line.\n", "lines under [Unreleased]"),
    ],
)
def test_release_refuses_a_version_that_is_not_described(
    old: str, new: str, complaint: str, small_checkout: Path, programs: Path
) -> None:
    changelog = small_checkout / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(old, new, 1))
    commit_all(small_checkout)
    assert complaint in release_complaint(small_checkout, programs)


def test_installed_command_starts_the_relay(installed_programs: Path, tmp_path: Path) -> None:
    """`mitmcodex script` is for those who start mitmproxy's programs themselves."""
    lines = ("mitmcodex --version", "mitmcodex script", "python -m mitmcodex --version")
    command = (BASH, "-euc", "; ".join(lines))
    version, script, same = run_well(*command, cwd=tmp_path, programs=installed_programs).split(
        "\n"
    )[:3]
    assert version == same == f"mitmcodex {VERSION}"
    assert Path(script).is_relative_to(installed_programs.parent)
    port = available_port(0)
    relay = subprocess.Popen(
        [BASH, "-euc", f'exec mitmdump -p {port} -s "$(mitmcodex script)"'],
        cwd=tmp_path,
        env=base_environment(tmp_path) | {"PATH": f"{installed_programs}:/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while not is_healthy(port):
            assert relay.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        relay.terminate()
        relay.wait(20)


def test_program_starts_the_relay_beside_packages_of_the_same_names(
    installed_programs: Path, tmp_path: Path
) -> None:
    for package in ("addons", "translate"):
        (tmp_path / package).mkdir()
        for module in ("__init__", "launch", "late"):
            (tmp_path / package / f"{module}.py").write_text('OWNER = "the user"\n')
    # Its own package uses it, too: while that is loaded, it is replaced by ours for a moment.
    (tmp_path / "addons" / "__init__.py").write_text("from mitmcodex import start\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = ("python", "-W", "error", "program.py")
    answer = run_well(*command, cwd=tmp_path, programs=installed_programs)
    assert "demonstration provider" in answer


def test_type_checkers_know_what_start_takes(installed_programs: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TYPED_PROGRAM)
    python = ("--python-executable", installed_programs / "python", "--strict")
    checked = run(sys.executable, "-m", "mypy", *python, "program.py", cwd=tmp_path)
    revealed, error, *_ = checked.stdout.splitlines()
    assert revealed == 'program.py:4: note: Revealed type is "str"', checked.stdout
    assert error.startswith('program.py:5: error: Argument 1 to "start"')


def test_editable_install_follows_the_checkout(checkout: Path, tmp_path: Path) -> None:
    own = shutil.copytree(checkout, tmp_path / "checkout", symlinks=True)
    editable = empty_environment(tmp_path / "environment", "--no-build-isolation", "-e", own)
    identity = own / "addons" / "identity.py"
    identity.write_text(identity.read_text().replace(VERSION, "9.9.1"))
    command = (BASH, "-euc", "mitmcodex --version; mitmcodex script")
    printed = run_well(*command, cwd=tmp_path, programs=editable)
    load = "import mitmcodex; print(mitmcodex.start.__code__.co_filename)"
    source = run_well("python", "-c", load, cwd=tmp_path, programs=editable)
    assert printed == f"mitmcodex 9.9.1\n{own}/addons/relay.py\n"
    assert source == f"{own}/addons/launch.py\n"


@pytest.mark.parametrize(
    ("script", "output"), [("mitmcodex", f"mitmcodex {VERSION}\n"), ("run", "Mitmproxy: ")]
)
def test_checkout_runs_with_locked_libraries_and_no_others(
    script: str, output: str, checkout: Path, programs: Path, tmp_path: Path
) -> None:
    command = (checkout / "scripts" / script, "--version")
    assert run_well(*command, cwd=tmp_path, programs=programs).startswith(output)
    [installation] = (tmp_path / "uv.log").read_text().splitlines()
    assert "--require-hashes" in installation and "--group" not in installation


def test_command_of_a_checkout_may_be_linked(
    checkout: Path, programs: Path, tmp_path: Path
) -> None:
    link = tmp_path / "linked"
    link.symlink_to(checkout / "scripts" / "mitmcodex")
    assert run_well(link, "script", cwd=tmp_path, programs=programs).startswith(str(checkout))


def test_uv_run_brings_no_development_packages() -> None:
    """All groups are for development, and none is a default of uv's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["uv"]["default-groups"] == []
