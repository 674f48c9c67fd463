"""The unit of systemd, judged by systemd itself."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.service.plan import ServiceProgram
from scripts.cli.service.systemd import quote_word, systemd_plan, unit_text

ODD_FOLDER = 'my "tools" 100%i $HOME'  # spaces, quotes, a specifier and a variable


def planted_program(folder: Path, script: str = "exit 0") -> ServiceProgram:
    """A program in a folder with an odd name, which a service can run."""
    path = folder / ODD_FOLDER / "mitmcodex"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    variables = {"XDG_CONFIG_HOME": f"{folder}/{ODD_FOLDER}"}
    return ServiceProgram((str(path), "up", "%n $USER"), folder / "log", variables)


def test_unit_lies_in_the_configuration_folder(tmp_path: Path) -> None:
    program = ServiceProgram(("/bin/mitmcodex", "up"), tmp_path / "log")
    usual = systemd_plan(program, tmp_path, {})
    moved = systemd_plan(program, tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "cfg")})
    assert usual.path == tmp_path / ".config/systemd/user/mitmcodex.service"
    assert moved.path == tmp_path / "cfg/systemd/user/mitmcodex.service"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("up", '"up"'),
        ("/a b/c", '"/a b/c"'),
        ("100%h", '"100%%h"'),
        ('a"b', r'"a\"b"'),
        (r"C:\x", r'"C:\\x"'),
        ("a\nb", r'"a\x0ab"'),
    ],
)
def test_word_is_quoted(word: str, text: str) -> None:
    assert quote_word(word) == text


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("/bin/my relay", '"/bin/my relay" "$$x"'),
        ("/bin/$x", '"/usr/bin/env" "/bin/$$x" "$$x"'),
        ("/bin/a\nb", '"/usr/bin/env" "/bin/a\\x0ab" "$$x"'),
        ("/bin/'x'", '"/usr/bin/env" "/bin/\'x\'" "$$x"'),
    ],
)
def test_program_with_odd_characters_is_an_argument(program: str, line: str) -> None:
    text = unit_text(ServiceProgram((program, "$x"), Path("log")))
    assert f"\nExecStart={line}\n" in text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    program = planted_program(tmp_path)
    unit = tmp_path / "mitmcodex.service"
    unit.write_text(unit_text(program))
    command = ["systemd-analyze", "--user", "--man=no", "verify", str(unit)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    options: Any = {"capture_output": True, "text": True, "timeout": 30, "env": environment}
    result = subprocess.run(command, **options)
    assert (result.returncode, result.stderr) == (0, "")
    unit.write_text(unit_text(program).replace("RestartSec", "RestrtSec"))
    result = subprocess.run(command, **options)
    assert "RestrtSec" in result.stderr  # it would have named a fault
