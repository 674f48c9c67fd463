"""The URL of mitmweb's page with its token, in a private file for the program that started it.

`/health` shows it without the token, as other users of the machine can ask there."""

import logging
import os
from pathlib import Path

from addons.identity import WEB_PAGE_VARIABLE
from addons.private_files import write_private_bytes


def save_web_page(url: str) -> None:
    """Write the URL into the file that WEB_PAGE_VARIABLE names, if it names one."""
    if not (url and (path := os.environ.get(WEB_PAGE_VARIABLE))):
        return
    try:
        write_private_bytes(Path(path), url.encode())
    except OSError as error:
        logging.warning(f"{path}: {error.strerror}: `mitmcodex open mitmweb` cannot find the page")
