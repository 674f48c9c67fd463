"""scripts/audit and scripts/sbom, with stand-ins for uv and the tools that it installs: what they
say and how they exit, also without a network."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALLED, OFFLINE = "exit 0", "echo 'error: Failed to fetch' >&2; exit 2"
CLEAN = "echo 'No known vulnerabilities found' >&2"
FOUND = "echo 'Found 1 known vulnerability in 1 package' >&2; echo 'jinja2 2.0 PYSEC-1'; exit 1"
UNREACHABLE = "echo 'ERROR:pip_audit._cli:Connection to the service failed' >&2; exit 1"
CRASHED = "echo 'Traceback (most recent call last):' >&2; exit 1"
SBOM = 'while [ "$1" != --output-file ]; do shift; done; echo "{}" >"$2"'


def write_program(path: Path, commands: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)


def run_script(
    folder: Path, script: str, *arguments: str, uv: str = INSTALLED, **tools: str
) -> tuple[int, str, str]:
    """The exit code, the output and the messages of a script in a checkout in this folder."""
    shutil.copytree(ROOT / "scripts", folder / "scripts", dirs_exist_ok=True)
    write_program(folder / "programs" / "uv", uv)
    for name in ("audit", "sbom"):
        write_program(folder / f".venv-{name}" / "bin" / "python", INSTALLED)
    for name, commands in tools.items():
        write_program(folder / ".venv-audit" / "bin" / name.replace("_", "-"), commands)
    ended = subprocess.run(
        [folder / "scripts" / script, *arguments],
        env={"PATH": f"{folder / 'programs'}:/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        cwd=folder,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_audit_says_what_it_knows(tmp_path: Path) -> None:
    code, output, _ = run_script(tmp_path, "audit", pip_audit=CLEAN)
    assert (code, output) == (0, "No known vulnerabilities found\n")
    code, output, _ = run_script(tmp_path, "audit", pip_audit=FOUND)
    assert code == 1 and "jinja2" in output


@pytest.mark.parametrize("tool", [UNREACHABLE, CRASHED, "exit 7"])
def test_audit_without_a_network_is_neither_good_nor_bad(tmp_path: Path, tool: str) -> None:
    code, output, messages = run_script(tmp_path, "audit", pip_audit=tool)
    assert (code, output) == (2, "")
    assert "audit: the list of known vulnerabilities" in messages and "nothing was" in messages


def test_audit_takes_no_package_for_safe_that_it_cannot_look_up() -> None:
    assert "--strict" in (ROOT / "scripts" / "audit").read_text()


def test_without_their_tools_the_scripts_say_so(tmp_path: Path) -> None:
    code, _, messages = run_script(tmp_path, "audit", uv=OFFLINE)
    assert code == 2 and "audit: its tools cannot be installed" in messages
    code, _, messages = run_script(tmp_path, "sbom", "sbom.json", uv=OFFLINE)
    assert code == 2 and "sbom: packages are missing" in messages
    assert not (tmp_path / "sbom.json").exists()


def test_sbom_is_written_where_the_caller_says(tmp_path: Path) -> None:
    code, _, messages = run_script(tmp_path, "sbom", "sbom.json", cyclonedx_py=SBOM)
    assert code == 0, messages
    assert (tmp_path / "sbom.json").read_text() == "{}\n"
