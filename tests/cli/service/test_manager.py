"""`mitmcodex service`, before a real systemd of a user in a mount namespace of its own."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.cli.errors import CommandFailed
from scripts.cli.service import manager
from scripts.cli.service.plan import ServiceProgram
from scripts.cli.service.systemd import systemd_plan
from tests.cli.service.test_systemd import planted_program
from tests.cli.user_home import CommandHere

ROOT = Path(__file__).parents[3]
NO_SYSTEMD = 77  # exit status
# systemd wants a machine that was booted with it, and a writable tree of control groups. What it
# leaves there is removed.
SYSTEMD_SCRIPT = f"""
{{
  mount -t tmpfs tmpfs /run &&
  mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR" && chmod 700 "$XDG_RUNTIME_DIR" &&
  mount -t cgroup2 none /sys/fs/cgroup &&
  mkdir "/sys/fs/cgroup/$GROUP" && echo $$ > "/sys/fs/cgroup/$GROUP/cgroup.procs"
}} || exit {NO_SYSTEMD}
/usr/lib/systemd/systemd --user > "$HOME/systemd.log" 2>&1 &
systemd=$!
for attempt in $(seq 100); do
  systemctl --user is-system-running > /dev/null 2>&1 && break
  sleep 0.1
done
systemctl --user is-system-running > /dev/null || exit {NO_SYSTEMD}
"$@"
status=$?
kill $systemd
wait $systemd
echo $$ > /sys/fs/cgroup/cgroup.procs
find "/sys/fs/cgroup/$GROUP" -depth -type d -exec rmdir {{}} +
exit $status
"""


def systemd_command(folder: Path, *command: str) -> list[str]:
    """The command, in a namespace in which a systemd of the user runs; both end with it."""
    namespace = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    environment = [f"HOME={folder}", "XDG_RUNTIME_DIR=/run/user/0", f"GROUP=test-{os.getpid()}"]
    environment += [f"XDG_CONFIG_HOME={folder}/cfg", f"XDG_STATE_HOME={folder}/state"]
    return [*namespace, "env", *environment, "bash", "-c", SYSTEMD_SCRIPT, "bash", *command]


DRIVER = """
import json, sys
from pathlib import Path
from tests.cli.service.test_manager import drive_service
print(json.dumps(drive_service(Path(sys.argv[1]))))
"""


def drive_service(folder: Path) -> list[object]:
    """What happens as the service is installed, looked at, and removed."""
    program = planted_program(folder, 'echo "$XDG_CONFIG_HOME" "$@" > "$HOME/arguments"\nsleep 60')
    plan = systemd_plan(program, folder, os.environ)
    states: list[object] = [manager.service_state(plan).is_running]
    manager.install_service(plan)
    state = manager.service_state(plan)
    states += [state.is_installed, state.is_running]
    for _ in range(100):
        if (folder / "arguments").exists() and (text := (folder / "arguments").read_text()):
            break
        time.sleep(0.05)
    states += [text, manager.remove_service(plan), manager.service_state(plan).is_running]
    return [*states, manager.remove_service(plan)]


HAS_SYSTEMD = shutil.which("unshare") and Path("/usr/lib/systemd/systemd").exists()


@pytest.mark.skipif(not HAS_SYSTEMD, reason="no systemd here")
def test_systemd_runs_the_service(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    command = systemd_command(folder, sys.executable, "-c", DRIVER, str(folder))
    result = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=ROOT)
    if result.returncode == NO_SYSTEMD or "unshare" in result.stderr:
        pytest.skip(f"no systemd of a user can be started here: {result.stderr}")
    assert result.returncode == 0, result.stderr
    program = planted_program(tmp_path / "same")  # with the same variables and arguments
    configuration = program.variables["XDG_CONFIG_HOME"].replace("/same/", "/service/")
    arguments = f"{configuration} {' '.join(program.command[1:])}\n"
    assert json.loads(result.stdout) == [False, True, True, arguments, True, False, False]
    assert not [path for path in (folder / "cfg").rglob("*") if not path.is_dir()]  # no trace


@pytest.mark.skipif(sys.platform != "linux", reason="it prints a unit of systemd")
def test_dry_run_prints_the_file_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEX_RELAY_API_KEY", "sk-secret-of-the-shell")
    command = CommandHere(tmp_path, monkeypatch, capfd)
    result = command.run_line("service install --dry-run")
    assert result.status == 0 and result.output.startswith("[Unit]\n")
    assert '"up"\n' in result.output and "secret" not in result.output + result.messages
    assert "CODEX_RELAY_API_KEY" in result.messages  # the service does not see it
    assert not list(tmp_path.iterdir())
    status = command.run_line("service status --json")
    assert status.status == 3 and json.loads(status.output)["installed"] is False


def test_program_in_a_cache_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/ada/.cache/uv/archive-v0/abc")
    with pytest.raises(CommandFailed, match="uv's cache"):
        manager.own_command("up")


def test_command_starts_with_an_absolute_path() -> None:
    assert Path(manager.own_command("up")[0]).is_absolute()


def test_only_folders_reach_the_service(tmp_path: Path) -> None:
    codex = tmp_path / "codex"
    environment = {
        "XDG_DATA_HOME": "/data",
        "CODEX_RELAY_CONFIG": "relay.toml",
        "CODEX_RELAY_API_KEY": "sk-1",
        "DEEPSEEK_API_KEY": "sk-2",
        "CODEX_HOME": "",
        "PATH": str(tmp_path),
    }
    folders = {"XDG_DATA_HOME": "/data", "CODEX_RELAY_CONFIG": f"{Path.cwd()}/relay.toml"}
    assert manager.service_variables(environment) == folders
    assert manager.left_out_variables(environment) == ["CODEX_RELAY_API_KEY"]
    codex.touch(0o755)
    path = {"PATH": f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"}
    assert manager.service_variables(environment) == folders | path


def test_failure_of_the_system_is_told_with_its_words(tmp_path: Path) -> None:
    program = ServiceProgram(("/bin/true",), tmp_path / "log")
    plan = systemd_plan(program, tmp_path, {})
    with pytest.raises(CommandFailed, match="refuses it: no such thing"):
        manager.run_system_command(
            ("sh", "-c", "echo no such thing >&2; exit 5"), f"{plan.system} refuses it"
        )
    with pytest.raises(CommandFailed, match="there is no program 'no-such-program'"):
        manager.run_system_command(("no-such-program",), "it failed")
