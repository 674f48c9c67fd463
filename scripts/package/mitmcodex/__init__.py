"""mitmcodex in Python: `start` runs the relay in a process of its own.

from mitmcodex import start

with start(port=4446, upstream="https://api.deepseek.com/v1", api_key="sk-…") as relay:
    client = OpenAI(base_url=relay.url, api_key="none")
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Only the installed package has `addons` in it: in a checkout, type checkers do not find it.
    from .addons.launch import (  # type: ignore[import-not-found]
        NotStarted,
        RelayProcess,
        start,
    )

__all__ = ["NotStarted", "RelayProcess", "start"]

OWN_NAMES = frozenset({"addons", "translate"})  # what the relay's modules call one another
PACKAGE = Path(__file__).resolve().parent
# The folder that holds `addons` and `translate`: this package, or the checkout around it.
ROOT = PACKAGE if (PACKAGE / "addons").is_dir() else PACKAGE.parents[2]
if ROOT != PACKAGE:
    __path__.append(str(ROOT / "scripts"))  # for mitmcodex.cli


def __getattr__(name: str) -> object:
    """Load `start` and what belongs to it when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    launch = load_launch_module()
    for public in __all__:
        globals()[public] = value = getattr(launch, public)
        value.__module__ = __name__  # where the program finds it, and where tracebacks place it
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)


def load_launch_module() -> ModuleType:
    """`addons.launch`, loaded so that the program's own `addons` and `translate` stay what they
    are: the relay's modules are in `sys.modules` only while they load one another. Other threads
    must not import their own modules of these names in that second."""
    modules_of_program = remove_modules()
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module("addons.launch")
    finally:
        sys.path.remove(str(ROOT))
        remove_modules()
        sys.modules.update(modules_of_program)


def remove_modules() -> dict[str, ModuleType]:
    """Take the packages with our names out of `sys.modules`."""
    names = [name for name in sys.modules if name.partition(".")[0] in OWN_NAMES]
    return {name: sys.modules.pop(name) for name in names}
