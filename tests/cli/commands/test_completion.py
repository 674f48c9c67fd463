import pytest

from tests.cli.user_home import CommandHere


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_has_a_script(shell: str, command: CommandHere) -> None:
    script = command.run_line(f"completion {shell}").output
    assert "_MITMCODEX_COMPLETE" in script and f"complete_{shell}" in script
