"""`python scripts/package`: the command of a checkout in which nothing is installed."""

import sys

from mitmcodex.cli.app import main  # type: ignore[import-not-found]  # lies in scripts/cli

if __name__ == "__main__":
    sys.exit(main())
