"""`python -m mitmcodex`"""

import sys

from .cli.app import main  # type: ignore[import-not-found]  # lies in scripts/cli

if __name__ == "__main__":
    sys.exit(main())
