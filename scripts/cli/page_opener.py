"""Opens a page in the user's browser."""

import os
import sys
import webbrowser


def can_open_browser() -> bool:
    """Whether there is a screen: on a server, a browser of the terminal would open instead."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def open_page(url: str) -> bool:
    """Whether a browser has opened the page."""
    if not can_open_browser():
        return False
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
