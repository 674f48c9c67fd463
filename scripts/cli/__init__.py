"""The command `mitmcodex`. It can undo all that it writes.

`commands` has one module for each command; what they do stands in the packages beside it."""

import sys
from pathlib import Path

# The folder that holds `addons` and `translate`: a checkout, or the installed package. They are not
# top-level packages of an environment, where their names would collide with others.
ROOT = next(
    folder
    for folder in Path(__file__).resolve().parents
    if (folder / "addons" / "relay.py").is_file()
)
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
