"""`mitmcodex script`"""

from addons.launch import SCRIPT

from ..console import print_line


def print_script_path() -> None:
    """Print the path of relay.py, for mitmproxy's own programs.

    Example: mitmweb -s "$(mitmcodex script)"
    """
    print_line(str(SCRIPT))
