"""`python -m scripts.cli` in a checkout, `python -m mitmcodex.cli` where it is installed."""

import sys

from .app import main

if __name__ == "__main__":
    sys.exit(main())
