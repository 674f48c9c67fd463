from addons.launch import SCRIPT
from tests.cli.user_home import CommandHere


def test_script_is_what_mitmproxy_loads(command: CommandHere) -> None:
    assert command.run_line("script").output == f"{SCRIPT}\n" and SCRIPT.is_file()
